"""What can go wrong in a cache. Settings that cannot be right are Django's ``ImproperlyConfigured``, keys its ``InvalidCacheKey``."""

from __future__ import annotations


class CacheError(Exception):
    """Something went wrong in a cache. The text says what, where, and what to do.

    ``alias``, ``server`` (without credentials), ``operation`` and ``hint`` are text or None. ``maybe_applied`` is True if
    the request had been sent, so that the server may have applied it.
    """

    alias: str | None = None
    server: str | None = None
    operation: str | None = None
    hint: str | None = None
    maybe_applied: bool = False


class CacheConnectionError(CacheError, ConnectionError):
    """The server is not running, not reachable, or the connection to it was lost."""


class CacheTimeoutError(CacheError, TimeoutError):
    """The server did not answer in time."""


class CacheAuthError(CacheConnectionError):
    """The server refused the credentials, or wants some."""


class CacheProtocolError(CacheError):
    """The other side does not speak the protocol: another kind of server at that address."""


class CacheServerError(CacheError):
    """The server answered with an error of its own."""


class CacheFileError(CacheError, OSError):
    """The file system refused: it is full or read-only, or the permissions are wrong."""


class NotAnIntegerError(CacheError, TypeError):
    """``incr`` or ``decr`` on a value that is not an integer."""


class BadValueError(CacheError, ValueError):
    """A cached value that cannot be read, with ``OPTIONS = {"ON_BAD_VALUE": "raise"}``. ``__cause__`` says why."""


class LockError(CacheError, ValueError):
    """A lock could not be acquired in time, or was to be released by somebody who had not acquired it."""


class LockNotOwnedError(LockError):
    """The time of a lock was over before its holder released or extended it."""
