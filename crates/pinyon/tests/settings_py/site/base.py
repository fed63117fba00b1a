"""What all settings of the site share."""

from .names import LOCATION as _LOCATION
from .names import make_key

SECRET_KEY = undefined_here()  # noqa: F821

CACHES = {
    "default": {"BACKEND": "redis", "LOCATION": _LOCATION, "TIMEOUT": 10, "OPTIONS": {"db": 3}},
    "named": {"BACKEND": "memory", "KEY_FUNCTION": make_key},
}
