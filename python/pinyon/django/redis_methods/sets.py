"""Sets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from pinyon.django.redis_methods.plan import Plan, RedisMethods, Request, operation, twin


class Sets(RedisMethods):
    """Members are any values; integers are stored as digits."""

    @operation(int)
    def sadd(self, key: Any, *values: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Add members; return how many were not there."""
        words = [self._encode(value) for value in values]
        (added,) = yield Request(("SADD", self._key(key, version), *words))
        return int(added)

    @operation(int)
    def scard(self, key: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Return the number of members."""
        (count,) = yield Request(("SCARD", self._key(key, version)), read=True)
        return int(count)

    @operation(set)
    def sdiff(self, *keys: Any, version: Any = None, client: Any = None) -> Plan[set[Any]]:
        """Return the members of the first set that are in none of the others."""
        return (yield from self._combined("SDIFF", keys, version))

    @operation(int)
    def sdiffstore(
        self, dest: Any, *keys: Any, version_dest: Any = None, version_keys: Any = None, client: Any = None
    ) -> Plan[int]:
        """Store what ``sdiff`` returns under ``dest``; return the number of members."""
        return (yield from self._stored("SDIFFSTORE", dest, keys, version_dest, version_keys))

    @operation(set)
    def sinter(self, *keys: Any, version: Any = None, client: Any = None) -> Plan[set[Any]]:
        """Return the members that are in all of the sets."""
        return (yield from self._combined("SINTER", keys, version))

    @operation(int)
    def sinterstore(self, dest: Any, *keys: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Store what ``sinter`` returns under ``dest``; return the number of members."""
        return (yield from self._stored("SINTERSTORE", dest, keys, version, version))

    @operation(set)
    def sunion(self, *keys: Any, version: Any = None, client: Any = None) -> Plan[set[Any]]:
        """Return the members that are in any of the sets."""
        return (yield from self._combined("SUNION", keys, version))

    @operation(int)
    def sunionstore(self, destination: Any, *keys: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Store what ``sunion`` returns under ``destination``; return the number of members."""
        return (yield from self._stored("SUNIONSTORE", destination, keys, version, version))

    @operation(list)
    def smismember(self, key: Any, *members: Any, version: Any = None, client: Any = None) -> Plan[list[bool]]:
        """Return for each of ``members`` whether it is in the set. Redis 6.2 or later."""
        words = [self._encode(member) for member in members]
        (found,) = yield Request(("SMISMEMBER", self._key(key, version), *words), read=True)
        return [bool(one) for one in found]

    @operation(bool)
    def sismember(self, key: Any, member: Any, version: Any = None, client: Any = None) -> Plan[bool]:
        """Return whether ``member`` is in the set."""
        (found,) = yield Request(("SISMEMBER", self._key(key, version), self._encode(member)), read=True)
        return bool(found)

    @operation(set)
    def smembers(self, key: Any, version: Any = None, client: Any = None) -> Plan[set[Any]]:
        """Return all members."""
        return (yield from self._combined("SMEMBERS", (key,), version))

    @operation(bool)
    def smove(self, source: Any, destination: Any, member: Any, version: Any = None, client: Any = None) -> Plan[bool]:
        """Move a member to another set; return whether it was in the first."""
        keys = (self._key(source, version), self._key(destination, version))
        (moved,) = yield Request(("SMOVE", *keys, self._encode(member)))
        return bool(moved)

    @operation(several=set)
    def spop(self, key: Any, count: int | None = None, version: Any = None, client: Any = None) -> Plan[Any]:
        """Remove a member by chance and return it, or None; with ``count``, a set of as many."""
        made = self._key(key, version)
        (popped,) = yield Request(("SPOP", made) if count is None else ("SPOP", made, count))
        return self._decode(made, popped) if count is None else self._members(made, popped)

    @operation(several=list)
    def srandmember(self, key: Any, count: int | None = None, version: Any = None, client: Any = None) -> Plan[Any]:
        """Return a member by chance, or None; with ``count``, a list of as many."""
        made = self._key(key, version)
        (chosen,) = yield Request(("SRANDMEMBER", made) if count is None else ("SRANDMEMBER", made, count), read=True)
        return self._decode(made, chosen) if count is None else [self._decode(made, one) for one in chosen]

    @operation(int)
    def srem(self, key: Any, *members: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Remove members; return how many were there."""
        words = [self._encode(member) for member in members]
        (removed,) = yield Request(("SREM", self._key(key, version), *words))
        return int(removed)

    @operation(set)
    def sscan(
        self, key: Any, match: Any = None, count: int | None = 10, version: Any = None, client: Any = None
    ) -> Plan[set[Any]]:
        """Return one page of members, about ``count``; ``match`` is compared with what is stored: see :meth:`sscan_iter`."""
        _, page = yield from self._scan_members(key, match, count, version, 0)
        return set(page)

    @operation(lambda: (0, []), called="sscan_iter")
    def _sscan_page(
        self, key: Any, match: Any, count: int | None, version: Any, cursor: int
    ) -> Plan[tuple[int, list[Any]]]:
        return (yield from self._scan_members(key, match, count, version, cursor))

    _asscan_page = twin(_sscan_page)

    def sscan_iter(
        self, key: Any, match: Any = None, count: int | None = 10, version: Any = None, client: Any = None
    ) -> Iterator[Any]:
        """Iterate over the members, about ``count`` a round trip. One may come twice if the set changes meanwhile.

        ``match`` is a pattern of the stored form: with the default serializer, useful for integers only.
        """
        if client is not None:
            self._check_client(client)
        cursor = -1
        while cursor:
            cursor, page = self._sscan_page(key, match, count, version, max(cursor, 0))
            yield from page

    async def asscan_iter(
        self, key: Any, match: Any = None, count: int | None = 10, version: Any = None, client: Any = None
    ) -> AsyncIterator[Any]:
        """:meth:`sscan_iter` on the event loop."""
        if client is not None:
            self._check_client(client)
        cursor = -1
        while cursor:
            cursor, page = await self._asscan_page(key, match, count, version, max(cursor, 0))
            for member in page:
                yield member

    def _combined(self, command: str, keys: tuple[Any, ...], version: Any) -> Plan[set[Any]]:
        made = [self._key(key, version) for key in keys]
        (members,) = yield Request((command, *made), read=True)
        return self._members(made[0], members)

    def _stored(
        self, command: str, dest: Any, keys: tuple[Any, ...], version_dest: Any, version_keys: Any
    ) -> Plan[int]:
        made = [self._key(key, version_keys) for key in keys]
        (count,) = yield Request((command, self._key(dest, version_dest), *made), repeatable=True)
        return int(count)

    def _members(self, made: str, members: list[bytes]) -> set[Any]:
        return {self._decode(made, member) for member in members}

    def _scan_members(
        self, key: Any, match: Any, count: int | None, version: Any, cursor: int
    ) -> Plan[tuple[int, list[Any]]]:
        made = self._key(key, version)
        words: list[Any] = ["SSCAN", made, cursor]
        if match is not None:
            # As django-redis: what is looked for is written as members are, so that text is found only whole.
            words += ["MATCH", self._encode(match)]
        if count is not None:
            words += ["COUNT", count]
        # Not from a replica: a cursor is one server's.
        ((following, page),) = yield Request(tuple(words), repeatable=True)
        return int(following), [self._decode(made, member) for member in page]

    asadd = twin(sadd)
    ascard = twin(scard)
    asdiff = twin(sdiff)
    asdiffstore = twin(sdiffstore)
    asinter = twin(sinter)
    asinterstore = twin(sinterstore)
    asunion = twin(sunion)
    asunionstore = twin(sunionstore)
    asmismember = twin(smismember)
    asismember = twin(sismember)
    asmembers = twin(smembers)
    asmove = twin(smove)
    aspop = twin(spop)
    asrandmember = twin(srandmember)
    asrem = twin(srem)
    asscan = twin(sscan)
