"""Lists, which django-redis leaves to its raw client."""

from __future__ import annotations

from typing import Any

from pinyon.django.redis_methods.plan import Plan, RedisMethods, Request, operation, twin


class Lists(RedisMethods):
    """Items are any values; integers are stored as digits. Indexes count from 0, and from -1 at the end."""

    @operation(int)
    def lpush(self, key: Any, *values: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Put values before the first item, one after the other; return the length."""
        return (yield from self._push("LPUSH", key, values, version))

    @operation(int)
    def rpush(self, key: Any, *values: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Put values behind the last item; return the length."""
        return (yield from self._push("RPUSH", key, values, version))

    @operation(several=list)
    def lpop(self, key: Any, count: int | None = None, version: Any = None, client: Any = None) -> Plan[Any]:
        """Remove the first item and return it, or None; with ``count``, a list of as many (Redis 6.2 or later)."""
        return (yield from self._pop("LPOP", key, count, version))

    @operation(several=list)
    def rpop(self, key: Any, count: int | None = None, version: Any = None, client: Any = None) -> Plan[Any]:
        """Remove the last item and return it, or None; with ``count``, a list of as many (Redis 6.2 or later)."""
        return (yield from self._pop("RPOP", key, count, version))

    @operation(list)
    def lrange(self, key: Any, start: int, end: int, version: Any = None, client: Any = None) -> Plan[list[Any]]:
        """Return the items from ``start`` to ``end``, the last one included."""
        made = self._key(key, version)
        (items,) = yield Request(("LRANGE", made, start, end), read=True)
        return [self._decode(made, item) for item in items]

    @operation(int)
    def llen(self, key: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Return the number of items."""
        (count,) = yield Request(("LLEN", self._key(key, version)), read=True)
        return int(count)

    @operation()
    def lindex(self, key: Any, index: int, version: Any = None, client: Any = None) -> Plan[Any]:
        """Return an item, or None."""
        made = self._key(key, version)
        (item,) = yield Request(("LINDEX", made, index), read=True)
        return self._decode(made, item)

    @operation(bool)
    def lset(self, key: Any, index: int, value: Any, version: Any = None, client: Any = None) -> Plan[bool]:
        """Replace an item; return True. A CacheServerError if there is none with this index."""
        yield Request(("LSET", self._key(key, version), index, self._encode(value)), repeatable=True)
        return True

    @operation(int)
    def lrem(self, key: Any, count: int, value: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Remove items that equal ``value``: the first ``count``, the last ``-count``, or all for 0; return how many."""
        (removed,) = yield Request(("LREM", self._key(key, version), count, self._encode(value)))
        return int(removed)

    @operation(bool)
    def ltrim(self, key: Any, start: int, end: int, version: Any = None, client: Any = None) -> Plan[bool]:
        """Keep only the items from ``start`` to ``end``, the last one included; return True."""
        yield Request(("LTRIM", self._key(key, version), start, end))
        return True

    @operation()
    def lpos(self, key: Any, value: Any, version: Any = None, client: Any = None) -> Plan[int | None]:
        """Return the index of the first item that equals ``value``, or None. Redis 6.0.6 or later."""
        (index,) = yield Request(("LPOS", self._key(key, version), self._encode(value)), read=True)
        return None if index is None else int(index)

    @operation(int)
    def linsert(
        self, key: Any, where: str, pivot: Any, value: Any, version: Any = None, client: Any = None
    ) -> Plan[int]:
        """Put a value ``"before"`` or ``"after"`` the first item that equals ``pivot``; return the length, or -1 without one."""
        (length,) = yield Request(
            ("LINSERT", self._key(key, version), where.upper(), self._encode(pivot), self._encode(value))
        )
        return int(length)

    def _push(self, command: str, key: Any, values: tuple[Any, ...], version: Any) -> Plan[int]:
        words = [self._encode(value) for value in values]
        (length,) = yield Request((command, self._key(key, version), *words))
        return int(length)

    def _pop(self, command: str, key: Any, count: int | None, version: Any) -> Plan[Any]:
        made = self._key(key, version)
        (popped,) = yield Request((command, made) if count is None else (command, made, count))
        if count is None:
            return self._decode(made, popped)
        return [self._decode(made, item) for item in popped or ()]

    alpush = twin(lpush)
    arpush = twin(rpush)
    alpop = twin(lpop)
    arpop = twin(rpop)
    alrange = twin(lrange)
    allen = twin(llen)
    alindex = twin(lindex)
    alset = twin(lset)
    alrem = twin(lrem)
    altrim = twin(ltrim)
    alpos = twin(lpos)
    alinsert = twin(linsert)
