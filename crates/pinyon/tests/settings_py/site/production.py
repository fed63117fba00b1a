from .base import *

try:
    from .local import *
except ImportError:
    LOCAL = False

CACHES["default"]["TIMEOUT"] = 20
