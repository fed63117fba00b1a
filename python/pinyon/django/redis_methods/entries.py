"""Django's own methods with what django-redis adds to them: conditions, results, and the argument ``client``."""

from __future__ import annotations

from typing import Any, cast

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from pinyon import _pinyon
from pinyon.django.redis_methods.connection import RedisConnection
from pinyon.django.redis_methods.plan import Plan, RedisMethods, Request, arun, operation, run, twin
from pinyon.exceptions import CacheServerError

# What stands behind these methods; asked here and not through super(), which costs a look-up more.
_rust: Any = _pinyon.RedisCache


class Entries(RedisMethods):
    """``get``, ``set``, ``add``, ``touch`` and ``delete`` are in Rust; what they leave to Python is here."""

    _configuration: _pinyon.Configuration

    def _check_client(self, client: Any) -> None:
        """Raise unless ``client`` is a connection to the server of this cache: then the method needs no other."""
        if not isinstance(client, RedisConnection):
            raise TypeError(
                f"client must come from pinyon.django.get_redis_connection, not be a {type(client).__module__}."
                f"{type(client).__qualname__}: leave it out, the cache has connections of its own"
            )
        if client.cache._configuration.places != self._configuration.places:
            raise ValueError("client belongs to a cache on another server: call the method of that cache")

    @operation(bool, called="set")
    def _set_if(self, key: Any, value: Any, timeout: Any, version: Any, nx: bool, xx: bool, get: bool) -> Plan[Any]:
        """``set`` with a condition, or with the value that was there before."""
        made = self._key(key, version)
        lifetime = cast(Any, self)._lifetime(timeout)
        if lifetime == 0:
            # What would be expired at once is not stored; the answer is that of the condition.
            (found,) = yield Request(("EXISTS", made) if nx else ("GETDEL", made) if get else ("DEL", made))
            return not found if nx else self._decode(made, found) if get else bool(found)
        words: list[Any] = ["SET", made, self._encode(value)]
        if lifetime is not None:
            words += ["PX", lifetime]
        words += [word for word, chosen in (("NX", nx), ("XX", xx), ("GET", get)) if chosen]
        (reply,) = yield Request(tuple(words))
        return self._decode(made, reply) if get else reply is not None

    @operation(bool, called="delete")
    def _delete_prefixed(self, key: Any, version: Any, prefix: Any) -> Plan[bool]:
        """``delete`` of a key with another prefix."""
        made = self.key_func(key, prefix, self.version if version is None else version)
        (deleted,) = yield Request(("DEL", made))
        return bool(deleted)

    @operation(int)
    def delete_many(self, keys: Any, version: Any = None, client: Any = None) -> Plan[int | None]:
        """Remove many entries; return how many there were. None if no key is given, which Django's tests ask for."""
        made = [self._key(key, version) for key in keys]
        if not made:
            return None
        return sum((yield Request(*self._for_keys("DEL", made), repeatable=True)))

    @operation()
    def incr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> Plan[Any]:
        """Move an entry to the version that is ``delta`` higher, with the time it has left; return that version.

        Atomic, but where several servers share the keys. ValueError if there is no entry.
        """
        version = self.version if version is None else version
        names = (self._key(key, version), self._key(key, version + delta))
        if _pinyon.is_divided(self):
            value, left = yield Request(("DUMP", names[0]), ("PTTL", names[0]))
            if value is None:
                raise ValueError(f"Key '{key}' not found")
            # 0 stands for no expiry here.
            lifetime = 0 if left < 0 else max(left, 1)
            yield Request(("RESTORE", names[1], lifetime, value, "REPLACE"), repeatable=True)
            yield Request(("DEL", names[0]), repeatable=True)
            return version + delta
        (reply,) = yield Request(("RENAME", *names), raise_errors=False)
        if isinstance(reply, CacheServerError) and "no such key" in str(reply):
            raise ValueError(f"Key '{key}' not found")
        if isinstance(reply, Exception):
            raise reply
        return version + delta

    @operation(called="incr")
    def _begin_count(self, key: Any, version: Any) -> Plan[None]:
        """Give a key that has no value a 0 to count from, which does not expire."""
        yield Request(("SET", self._key(key, version), 0, "NX"), repeatable=True)

    adelete_many = twin(delete_many)
    aincr_version = twin(incr_version)
    _aset_if = twin(_set_if)
    _adelete_prefixed = twin(_delete_prefixed)
    _abegin_count = twin(_begin_count)

    # Python functions, for which Django's tests and its async methods ask.

    def has_key(self, key: Any, version: Any = None, client: Any = None) -> Any:
        """Return whether there is an entry."""
        self._check_given(client)
        return _rust.has_key(self, key, version)

    def incr(
        self, key: Any, delta: Any = 1, version: Any = None, client: Any = None, ignore_key_check: bool = False
    ) -> Any:
        """Add ``delta`` atomically and keep the timeout; return the sum.

        ValueError if the key has no value; with ``ignore_key_check`` it counts from 0, and does not expire.
        """
        self._check_given(client)
        if ignore_key_check:
            self._begin_count(key, version)
        return _rust.incr(self, key, delta, version)

    def decr(self, key: Any, delta: Any = 1, version: Any = None, client: Any = None) -> Any:
        """Subtract ``delta`` as ``incr`` adds it."""
        return self.incr(key, -delta, version, client)

    def decr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> Any:
        """Move an entry to the version that is ``delta`` lower; return that version."""
        return self.incr_version(key, -delta, version, client)

    def get_many(self, keys: Any, version: Any = None, client: Any = None) -> Any:
        """Return the values that there are, by the keys as they were given."""
        self._check_given(client)
        return _rust.get_many(self, keys, version)

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> Any:
        """Store many values; return the keys that were not stored."""
        self._check_given(client)
        return _rust.set_many(self, data, timeout, version)

    def clear(self, client: Any = None) -> Any:
        """Empty the database, other applications' entries in it too, as Django does; return True.

        With OPTIONS ``CLEAR`` ``"prefix"``: only the entries of this cache's prefix and version.
        """
        self._check_given(client)
        if not self._configuration.clears_prefix:
            return _rust.clear(self)
        run(self, "clear", cast(Any, self)._delete_all())
        return True

    async def aget(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        self._check_given(client)
        pending = _pinyon.start_get(self, key, default, version)
        await pending
        return pending.result()

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
        self._check_given(client)
        if nx or xx or get:
            return await self._aset_if(key, value, timeout, version, nx, xx, get)
        return await _pinyon.start_set(self, key, value, timeout, version)

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None
    ) -> bool:
        self._check_given(client)
        return await _pinyon.start_add(self, key, value, timeout, version)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        self._check_given(client)
        return await _pinyon.start_touch(self, key, timeout, version)

    async def adelete(self, key: Any, version: Any = None, prefix: Any = None, client: Any = None) -> bool:
        self._check_given(client)
        if prefix is not None:
            return await self._adelete_prefixed(key, version, prefix)
        return await _pinyon.start_delete(self, key, version)

    async def ahas_key(self, key: Any, version: Any = None, client: Any = None) -> bool:
        self._check_given(client)
        return await _pinyon.start_has_key(self, key, version)

    async def aincr(
        self, key: Any, delta: Any = 1, version: Any = None, client: Any = None, ignore_key_check: bool = False
    ) -> Any:
        self._check_given(client)
        if ignore_key_check:
            await self._abegin_count(key, version)
        return await _pinyon.start_incr(self, key, delta, version)

    async def adecr(self, key: Any, delta: Any = 1, version: Any = None, client: Any = None) -> Any:
        return await self.aincr(key, -delta, version, client)

    async def adecr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> Any:
        return await self.aincr_version(key, -delta, version, client)

    async def aget_many(self, keys: Any, version: Any = None, client: Any = None) -> dict[Any, Any]:
        self._check_given(client)
        return await _pinyon.start_get_many(self, keys, version)

    async def aset_many(
        self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None
    ) -> list[Any]:
        self._check_given(client)
        return await _pinyon.start_set_many(self, data, timeout, version)

    async def aclear(self, client: Any = None) -> Any:
        self._check_given(client)
        if not self._configuration.clears_prefix:
            return await _pinyon.start_clear(self)
        await arun(self, "clear", cast(Any, self)._delete_all())
        return True

    def _check_given(self, client: Any) -> None:
        if client is not None:
            self._check_client(client)
