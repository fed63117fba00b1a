"""CLIENT_CLASS = django-redis's HerdClient: a value outlives its timeout, and one reader at a time is told to make it anew.

An entry is a pickled ``(Marker, value, seconds of Unix time)``, the same as django-redis's own, which lives CACHE_HERD_TIMEOUT
seconds longer than it says. Without a timeout it is the value alone.
"""

from __future__ import annotations

import functools
import io
import pickle
import time
from typing import Any, cast

from django.conf import settings
from django.core.cache.backends.base import DEFAULT_TIMEOUT

from pinyon.django.redis_methods.plan import Plan, RedisMethods, Request, operation, twin
from pinyon.exceptions import NotAnIntegerError

_MISSING = object()

#: Replaces an entry if it still is what it was. ARGV[3]: milliseconds that it lives then, 0: for ever, -1: as long as it would have.
_EXCHANGE = """if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local left = tonumber(ARGV[3])
if left < 0 then left = math.max(redis.call('pttl', KEYS[1]), 0) end
if left > 0 then redis.call('set', KEYS[1], ARGV[2], 'PX', left) else redis.call('set', KEYS[1], ARGV[2]) end
return 1
"""


@functools.cache
def herding(cls: Any) -> Any:
    """Return the subclass of a ``RedisCache`` that does as HerdClient does."""
    return type(cls.__name__, (Herd, cls), {"__module__": cls.__module__, "_backend_path": cls._backend_path})


class _Marker:
    """Stands for django-redis's class of this name where that is not installed."""


@functools.cache
def _marker() -> Any:
    """Return the class that marks an entry."""
    try:
        from django_redis.client.herd import Marker  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return _Marker
    return Marker


class MarkedPickle:
    """Pickle that knows the marker by django-redis's name without django-redis, which Python's own would import."""

    NAME = ("django_redis.client.herd", "Marker")

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self._protocol = int((options or {}).get("PICKLE_VERSION", pickle.DEFAULT_PROTOCOL))

    def dumps(self, value: Any) -> bytes:
        if _unpack(value)[1] is None:
            return pickle.dumps(value, self._protocol)
        # An instance of the class; the two other items, each without the marks of its beginning and its end; a tuple of three.
        marker = pickle.GLOBAL + "\n".join([*self.NAME, ""]).encode() + pickle.EMPTY_TUPLE + pickle.REDUCE
        stored, ends = (pickle.dumps(item, 3)[2:-1] for item in value[1:])
        return pickle.PROTO + b"\3" + marker + stored + ends + pickle.TUPLE3 + pickle.STOP

    def loads(self, data: bytes) -> Any:
        return _MarkedUnpickler(io.BytesIO(data)).load()


class _MarkedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _Marker if (module, name) == MarkedPickle.NAME else super().find_class(module, name)


class Herd(RedisMethods):
    """What stands before the methods of ``RedisCache``."""

    _herds = True
    default_timeout: Any

    def _read(self, location: Any, params: dict[str, Any], given: Any = None) -> Any:
        options = params.get("OPTIONS") or {}
        if _marker() is _Marker and not {"SERIALIZER", "serializer"} & options.keys():
            given = params if given is None else given
            params = {
                **params,
                "OPTIONS": {**options, "SERIALIZER": f"{MarkedPickle.__module__}.{MarkedPickle.__qualname__}"},
            }
        return cast(Any, super())._read(location, params, *(() if given is None else (given,)))

    def get(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        """Return the value. Past its timeout one reader gets ``default``, and the others the old value for a while."""
        found = cast(Any, super()).get(key, _MISSING, version, client)
        if found is _MISSING:
            return default
        value, ends = _unpack(found)
        if _over(ends):
            value = self._refresh([key], version).get(key, value)
        return default if value is _MISSING else value

    async def aget(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        found = await cast(Any, super()).aget(key, _MISSING, version, client)
        if found is _MISSING:
            return default
        value, ends = _unpack(found)
        if _over(ends):
            value = (await self._arefresh([key], version)).get(key, value)
        return default if value is _MISSING else value

    def get_many(self, keys: Any, version: Any = None, client: Any = None) -> Any:
        """Return the values that there are, without those that this reader is to make anew."""
        found = cast(Any, super()).get_many(keys, version, client)
        values, over = _sorted(found)
        return _without_missing(values | self._refresh(over, version) if over else values)

    async def aget_many(self, keys: Any, version: Any = None, client: Any = None) -> Any:
        found = await cast(Any, super()).aget_many(keys, version, client)
        values, over = _sorted(found)
        return _without_missing(values | await self._arefresh(over, version) if over else values)

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        nx: bool = False,
        xx: bool = False,
        get: bool = False,
    ) -> Any:
        """Store the value for ``timeout`` seconds, and CACHE_HERD_TIMEOUT more in which it is to be made anew."""
        if nx and not (xx or get):
            return self.add(key, value, timeout, version, client)
        packed, lasting = self._pack(value, timeout)
        before = cast(Any, super()).set(key, packed, lasting, version, client, nx, xx, get)
        return _unpack(before)[0] if get else before

    async def aset(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        nx: bool = False,
        xx: bool = False,
        get: bool = False,
    ) -> Any:
        if nx and not (xx or get):
            return await self.aadd(key, value, timeout, version, client)
        packed, lasting = self._pack(value, timeout)
        before = await cast(Any, super()).aset(key, packed, lasting, version, client, nx, xx, get)
        return _unpack(before)[0] if get else before

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> Any:
        """Store the value if there is none, or one whose timeout is over; return whether it was stored."""
        packed, lasting = self._pack(value, timeout)
        added = cast(Any, super()).add(key, packed, lasting, version, client)
        return added or self._replace_old(key, packed, lasting, version)

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None
    ) -> Any:
        packed, lasting = self._pack(value, timeout)
        added = await cast(Any, super()).aadd(key, packed, lasting, version, client)
        return added or await self._areplace_old(key, packed, lasting, version)

    def set_many(
        self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None, herd: bool = True
    ) -> Any:
        """Store many values; return the keys that were not stored. Without ``herd``, they end with their timeout."""
        data, lasting = self._pack_all(data, timeout) if herd else (data, timeout)
        return cast(Any, super()).set_many(data, lasting, version, client)

    async def aset_many(
        self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None, herd: bool = True
    ) -> Any:
        data, lasting = self._pack_all(data, timeout) if herd else (data, timeout)
        return await cast(Any, super()).aset_many(data, lasting, version, client)

    @operation(bool)
    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> Plan[bool]:
        """Give an entry whose timeout is not over a new one; return whether there is such an entry."""
        made = self._key(key, version)
        while True:
            data, value, ends = yield from self._read_entry(made)
            if data is None or _over(ends):
                return False
            packed, lasting = self._pack(value, timeout)
            lifetime = cast(Any, self)._lifetime(lasting)
            if lifetime == 0:
                (deleted,) = yield Request(("DEL", made))
                return bool(deleted)
            if (yield from self._exchange(made, data, packed, lifetime or 0)):
                return True

    @operation()
    def incr(
        self, key: Any, delta: Any = 1, version: Any = None, client: Any = None, ignore_key_check: bool = False
    ) -> Plan[Any]:
        """Add ``delta`` atomically and keep the timeout; return the sum.

        ValueError if the key has no value; with ``ignore_key_check`` it counts from 0, and does not expire.
        """
        made = self._key(key, version)
        if ignore_key_check:
            yield Request(("SET", made, 0, "NX"), repeatable=True)
        while True:
            data, value, ends = yield from self._read_entry(made)
            if data is None or _over(ends):
                raise ValueError(f"Key '{key}' not found")
            if not isinstance(value, int):
                raise NotAnIntegerError(f"the value of '{key}' is of {type(value).__name__}, and not an integer")
            total = value + delta
            if (yield from self._exchange(made, data, total if ends is None else (_marker()(), total, ends), -1)):
                return total

    atouch = twin(touch)
    aincr = twin(incr)

    def _get_or_add(self, key: Any, default: Any, timeout: Any, version: Any) -> Any:
        # What was read as a miss may be there for the others, so that it cannot be added.
        self.set(key, default, timeout, version)
        return default

    async def _aget_or_add(self, key: Any, default: Any, timeout: Any, version: Any) -> Any:
        await self.aset(key, default, timeout, version)
        return default

    def _pack(self, value: Any, timeout: Any) -> tuple[Any, Any]:
        """Return what is stored for a value, and for how long."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None or timeout <= 0:
            return value, timeout
        return (_marker()(), value, timeout + int(time.time())), timeout + _herd_timeout()

    def _pack_all(self, data: Any, timeout: Any) -> tuple[dict[Any, Any], Any]:
        packed = {key: self._pack(value, timeout)[0] for key, value in data.items()}
        return packed, self._pack(None, timeout)[1]

    @operation(dict, called="get")
    def _refresh(self, keys: Any, version: Any) -> Plan[dict[Any, Any]]:
        """Return the values of entries whose timeout was over, and ``_MISSING`` for each that this reader is to make anew.

        Such an entry counts as fresh for half of the time that it has left: if nobody has replaced it then, another
        reader is told to.
        """
        made = {key: self._key(key, version) for key in keys}
        # The primary knows whether somebody was faster.
        replies = yield Request(*(("GET", name) for name in made.values()), repeatable=True)
        values: dict[Any, Any] = {}
        claims: dict[Any, tuple[Any, ...]] = {}
        for (key, name), data in zip(made.items(), replies, strict=True):
            values[key], ends = (_MISSING, None) if data is None else _unpack(self._decode(name, data))
            if _over(ends):
                half = max(1, int(cast(float, ends) + _herd_timeout() - time.time()) // 2)
                again = self._encode((_marker()(), values[key], int(time.time()) + half))
                claims[key] = ("EVAL", _EXCHANGE, 1, name, data, again, -1)
        if claims:
            taken = yield Request(*claims.values())
            values |= {key: _MISSING for key, done in zip(claims, taken, strict=True) if done}
        return values

    @operation(bool, called="add")
    def _replace_old(self, key: Any, packed: Any, lasting: Any, version: Any) -> Plan[bool]:
        made = self._key(key, version)
        data, _, ends = yield from self._read_entry(made)
        lifetime = cast(Any, self)._lifetime(lasting)
        if data is None or not _over(ends) or lifetime == 0:
            return False
        return (yield from self._exchange(made, data, packed, lifetime or 0))

    _arefresh = twin(_refresh)
    _areplace_old = twin(_replace_old)

    def _read_entry(self, made: str) -> Plan[tuple[bytes | None, Any, Any]]:
        """Return an entry as it is stored, its value and the end of its timeout."""
        (data,) = yield Request(("GET", made), repeatable=True)
        return (data, *_unpack(self._decode(made, data)))

    def _exchange(self, made: str, data: bytes, stored: Any, lifetime: int) -> Plan[bool]:
        (done,) = yield Request(("EVAL", _EXCHANGE, 1, made, data, self._encode(stored), lifetime))
        return bool(done)


def _herd_timeout() -> int:
    return int(getattr(settings, "CACHE_HERD_TIMEOUT", 60))


def _over(ends: Any) -> bool:
    return ends is not None and ends < int(time.time())


def _unpack(found: Any) -> tuple[Any, Any]:
    """Return the value of an entry and the end of its timeout; None if it has none."""
    if type(found) is tuple and len(found) == 3 and isinstance(found[0], _marker()):
        return found[1], found[2]
    return found, None


def _sorted(found: dict[Any, Any]) -> tuple[dict[Any, Any], list[Any]]:
    """Return the values of entries, and the keys of those whose timeout is over."""
    entries = {key: _unpack(packed) for key, packed in found.items()}
    values = {key: value for key, (value, _) in entries.items()}
    return values, [key for key, (_, ends) in entries.items() if _over(ends)]


def _without_missing(values: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in values.items() if value is not _MISSING}
