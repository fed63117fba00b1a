"""What the backends have in common on the Python side: making one, its alias, and what Django gives all caches."""

from __future__ import annotations

import inspect
import logging
import time
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import (
    DEFAULT_TIMEOUT,
    MEMCACHE_MAX_KEY_LENGTH,
    BaseCache,
    InvalidCacheKey,
    default_key_func,
    memcache_key_warnings,
)

from pinyon import _pinyon
from pinyon.django import event_loop, single_flight
from pinyon.django.asynchronous import follow_overrides

logger = logging.getLogger("pinyon")

#: Methods that Rust stands in for. Replacing one on an object, which ``mock.patch.object`` does, is noticed here; replacing
#: one on a class is noticed in Rust.
STAND_INS = frozenset(
    {"make_key", "validate_key", "make_and_validate_key", "get_backend_timeout", "get", "set", "delete"}
)

#: What BaseCache sets, and Rust keeps.
ATTRIBUTES = ("default_timeout", "key_prefix", "version", "key_func", "_max_entries", "_cull_frequency")

#: Settings that have been read, by what they say and the alias that they had. A backend is made per thread and per asyncio task:
#: that must be cheap.
_configurations: dict[Any, _pinyon.Configuration] = {}
#: The same by what they say alone, with the dictionary in which the alias was looked up.
_latest: dict[Any, tuple[Any, _pinyon.Configuration]] = {}


class Backend(BaseCache):
    """The Python half of every backend. The Rust class stands before it in the class hierarchy."""

    #: What an error of the settings calls the backend.
    _backend_path: str
    _configuration: _pinyon.Configuration
    #: Whether an error that the settings ignore goes to `_log_ignored`.
    _logs_ignored = False
    #: Whether each object needs `_initialise`, because Rust cannot set all of BaseCache's attributes at once.
    _initialises_anew = False

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        # Read first: a wrong value shall be named, not fall back to a default in BaseCache.
        configuration = self._read(location, params)
        # Not by __setattr__, which would take longer than all the rest.
        own = self.__dict__
        own["_params"] = params
        own["_location"] = location
        own["_configuration"] = configuration
        if self._initialises_anew or not self._recall(configuration):
            self._initialise(location, params)
        self._configure(configuration)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_backend_path" not in cls.__dict__:
            follow_overrides(cls)
        cls._initialises_anew = (
            cls.__setattr__ is not Backend.__setattr__
            or cls._initialise is not Backend._initialise
            or any(getattr(cls, name, None) is not getattr(_pinyon.Backend, name) for name in ATTRIBUTES)
        )

    def _initialise(self, location: Any, params: dict[str, Any]) -> None:
        """Django's own ``__init__``, which not every class of Django's takes the same arguments for.

        What it makes of the same settings is remembered.
        """
        before = len(self.__dict__)
        BaseCache.__init__(self, params)
        if not self._initialises_anew and len(self.__dict__) == before:
            self._remember(self._configuration)

    def _read(
        self, location: Any, params: dict[str, Any], given: dict[str, Any] | None = None
    ) -> _pinyon.Configuration:
        """Read the settings; ``given`` is what they were before a setting for all caches was added to them."""
        where = location if type(location) is str else (repr(location),)
        says = (self._backend_path, where, repr(params), None if given is params else repr(given))
        # None before anybody has asked for it. It is another one when the settings have changed.
        settings = caches.__dict__.get("settings")
        known = _latest.get(says)
        if known is not None and known[0] is settings:
            return known[1]
        alias = find_alias(location, params if given is None else given) or "?"
        configuration = _configurations.get((alias, says))
        if configuration is None:
            configuration = _pinyon.Configuration(alias, self._backend_path, location, params)
            for warning in configuration.warnings:
                logger.warning("%s", warning)
            _configurations[alias, says] = configuration
        if settings is not None:
            _latest[says] = (settings, configuration)
        return configuration

    @classmethod
    def _complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        """Add what settings outside of CACHES say about a cache."""
        return params

    def _alias(self) -> str | None:
        """The alias that the settings give this cache, for messages."""
        return find_alias(self._location, self._params)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in STAND_INS:
            self._note_patched()
        super().__setattr__(name, value)

    def incr_version(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        """As Django's, which gives the entry the default timeout: here it keeps the one that it has. Not atomic."""
        if version is None:
            version = self.version
        value = self.get(key, self._missing_key, version=version)
        if value is self._missing_key:
            raise ValueError(f"Key '{key}' not found")
        self.set(key, value, timeout=self.ttl(key, version), version=version + delta)
        self.delete(key, version=version)
        return version + delta

    def get_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        """As Django's; and a value that cannot be read, which ``get`` takes for a miss but ``add`` does not, is replaced.

        A callable runs once in this process however many threads ask: the others wait, and get what it made.
        """
        since = single_flight.landings
        value = self.get(key, self._missing_key, version=version)
        if value is not self._missing_key:
            return value
        if not callable(default):
            return self._get_or_add(key, default, timeout, version)
        with single_flight.Turn(self._flight_key(key, version), since) as made:
            if made:
                value = self.get(key, self._missing_key, version=version)
                if value is not self._missing_key:
                    return value
            return self._get_or_add(key, default(), timeout, version)

    def _get_or_add(self, key: Any, default: Any, timeout: Any, version: Any) -> Any:
        added = self.add(key, default, timeout=timeout, version=version)
        # Somebody else may have been faster: then theirs is everybody's.
        value = self.get(key, self._missing_key, version=version)
        if value is not self._missing_key:
            return value
        if not added:
            self.set(key, default, timeout=timeout, version=version)
        return default

    def _flight_key(self, key: Any, version: Any = None) -> tuple[Any, str] | None:
        """What names a key in this process; None if nothing is stored, so that nobody waits for nothing."""
        store = single_flight.store_of(self._configuration)
        return (store, self.make_key(key, version=version)) if store else None

    async def aget_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        """As ``get_or_set``, between tasks, on whichever event loops. What the callable returns is awaited if it can be."""
        since = single_flight.landings
        value = await self.aget(key, self._missing_key, version=version)
        if value is not self._missing_key:
            return value
        if not callable(default):
            return await self._aget_or_add(key, default, timeout, version)
        async with single_flight.Turn(self._flight_key(key, version), since) as made:
            if made:
                value = await self.aget(key, self._missing_key, version=version)
                if value is not self._missing_key:
                    return value
            default = default()
            if inspect.isawaitable(default):
                default = await default
            return await self._aget_or_add(key, default, timeout, version)

    async def _aget_or_add(self, key: Any, default: Any, timeout: Any, version: Any) -> Any:
        added = await self.aadd(key, default, timeout=timeout, version=version)
        value = await self.aget(key, self._missing_key, version=version)
        if value is not self._missing_key:
            return value
        if not added:
            await self.aset(key, default, timeout=timeout, version=version)
        return default


def with_functions(cls: type) -> type:
    """Give a backend Python functions where Django's own tests and its async methods ask for ``method.__func__``.

    A method in Rust has none. Only the methods that are asked for it get one, because it costs a Python call; ``get``, ``set``,
    ``add``, ``touch`` and ``delete`` go straight into Rust.
    """
    rust: Any = cls
    rust_get_many, rust_set_many, rust_delete_many = rust.get_many, rust.set_many, rust.delete_many
    rust_has_key, rust_incr = rust.has_key, rust.incr

    def get_many(self: Any, keys: Any, version: Any = None) -> Any:
        return rust_get_many(self, keys, version)

    def set_many(self: Any, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        return rust_set_many(self, data, timeout, version)

    def delete_many(self: Any, keys: Any, version: Any = None) -> None:
        rust_delete_many(self, keys, version)

    def has_key(self: Any, key: Any, version: Any = None) -> Any:
        return rust_has_key(self, key, version)

    def incr(self: Any, key: Any, delta: Any = 1, version: Any = None) -> Any:
        return rust_incr(self, key, delta, version)

    for function in (get_many, set_many, delete_many, has_key, incr):
        function.__qualname__ = f"{cls.__name__}.{function.__name__}"
        function.__doc__ = getattr(cls, function.__name__).__doc__
        setattr(cls, function.__name__, function)
    return cls


def find_alias(location: Any, params: dict[str, Any]) -> str | None:
    """Return the alias of ``settings.CACHES`` that has these settings; several, joined by " or ", if they are the same.

    Django does not tell a backend its alias, and sites ask for it in every error. ``params`` is the dictionary that Django
    passes: the alias's own without BACKEND and LOCATION.
    """

    def fits(settings: dict[str, Any]) -> bool:
        rest = {key: value for key, value in settings.items() if key not in ("BACKEND", "LOCATION")}
        return bool((settings.get("LOCATION") or "") == (location or "") and rest == params)

    try:
        found = [alias for alias, settings in caches.settings.items() if fits(settings)]
    except Exception:  # the settings may be what is wrong
        return None
    return "' or '".join(found) or None


def redis_timeout(self: BaseCache, timeout: Any = DEFAULT_TIMEOUT) -> int | None:
    """Return whole seconds, 0 for "expired already", or None for "never", as Django's ``RedisCache`` does."""
    if timeout == DEFAULT_TIMEOUT:
        timeout = self.default_timeout
    return None if timeout is None else max(0, int(timeout))


def memcached_timeout(self: BaseCache, timeout: Any = DEFAULT_TIMEOUT) -> int:
    """Return Memcached's ``exptime``, as Django does: 0 never, -1 at once, beyond 30 days a moment in Unix time."""
    if timeout == DEFAULT_TIMEOUT:
        timeout = self.default_timeout
    if timeout is None:
        return 0
    if int(timeout) == 0:
        return -1
    if timeout > 2_592_000:
        timeout += int(time.time())
    return int(timeout)


def validate_memcached_key(self: BaseCache, key: str) -> None:
    """Raise ``InvalidCacheKey`` for a made key that Memcached does not take; it counts bytes, and Django characters."""
    for warning in memcache_key_warnings(key):
        raise InvalidCacheKey(warning)
    if len(key.encode("utf-8", "surrogatepass")) > MEMCACHE_MAX_KEY_LENGTH:
        raise InvalidCacheKey(
            f"Cache key will cause errors if used with memcached: {key!r} "
            f"(longer than {MEMCACHE_MAX_KEY_LENGTH} bytes in UTF-8)"
        )


_pinyon.install(
    DEFAULT_TIMEOUT,
    default_key_func,
    [
        ("make_key", [BaseCache.make_key]),
        ("make_and_validate_key", [BaseCache.make_and_validate_key]),
        ("validate_key", [BaseCache.validate_key, validate_memcached_key]),
        ("get_backend_timeout", [BaseCache.get_backend_timeout, redis_timeout, memcached_timeout]),
        *((name, [getattr(_pinyon.LocMemCache, name)]) for name in ("get", "set", "delete")),
    ],
    event_loop.resolved(),
)
