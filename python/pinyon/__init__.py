"""Pinyon: Django's cache framework with a Rust core.

Use the backends of ``pinyon.django`` in ``CACHES``, or wrap the dictionary that you have::

    CACHES = pinyon.django.accelerate(CACHES)
"""

from pinyon._pinyon import __version__
from pinyon.exceptions import (
    BadValueError,
    CacheAuthError,
    CacheConnectionError,
    CacheError,
    CacheFileError,
    CacheProtocolError,
    CacheServerError,
    CacheTimeoutError,
    LockError,
    LockNotOwnedError,
    NotAnIntegerError,
)

__all__ = [
    "BadValueError",
    "CacheAuthError",
    "CacheConnectionError",
    "CacheError",
    "CacheFileError",
    "CacheProtocolError",
    "CacheServerError",
    "CacheTimeoutError",
    "LockError",
    "LockNotOwnedError",
    "NotAnIntegerError",
    "__version__",
]
