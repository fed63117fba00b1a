"""Lifetimes, and finding keys by a pattern."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache.backends.base import default_key_func
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from pinyon.django.redis_methods.lock import AsyncRedisLock, RedisLock
from pinyon.django.redis_methods.plan import Groups, Plan, RedisMethods, Request, operation, twin

#: How many keys the server looks at in one round trip, unless DJANGO_REDIS_SCAN_ITERSIZE says something else: about a
#: millisecond of its time.
SCAN_ITERSIZE = 5000

#: The number of a primary, and its cursor; None at the end.
Place = tuple[int, int] | None
START: Place = (0, 0)


class Keys(RedisMethods):
    """A pattern is Redis's glob (``*``, ``?``, ``[ab]``) for the caller's keys: prefix and version are added literally."""

    @operation(int)
    def ttl(self, key: Any, version: Any = None, client: Any = None) -> Plan[int | None]:
        """Return the seconds that an entry has left; None if it does not expire, 0 if there is none."""
        left = yield from self._left(key, version)
        # Rounded as the server's TTL is.
        return left and (left + 500) // 1000

    @operation(int)
    def pttl(self, key: Any, version: Any = None, client: Any = None) -> Plan[int | None]:
        """Return the milliseconds that an entry has left; None if it does not expire, 0 if there is none."""
        return (yield from self._left(key, version))

    @operation(bool)
    def persist(self, key: Any, version: Any = None, client: Any = None) -> Plan[bool]:
        """Let an entry never expire; return whether it would have expired."""
        (done,) = yield Request(("PERSIST", self._key(key, version)))
        return bool(done)

    @operation(bool)
    def expire(self, key: Any, timeout: float | timedelta, version: Any = None, client: Any = None) -> Plan[bool]:
        """Let an entry expire in ``timeout`` seconds, now if that is not positive; return whether there is one."""
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return (yield from self._expire("PEXPIRE", key, seconds * 1000, version))

    @operation(bool)
    def pexpire(self, key: Any, timeout: float | timedelta, version: Any = None, client: Any = None) -> Plan[bool]:
        """Let an entry expire in ``timeout`` milliseconds; return whether there is one."""
        milliseconds = timeout / timedelta(milliseconds=1) if isinstance(timeout, timedelta) else timeout
        return (yield from self._expire("PEXPIRE", key, milliseconds, version))

    @operation(bool)
    def expire_at(self, key: Any, when: int | datetime, version: Any = None, client: Any = None) -> Plan[bool]:
        """Let an entry expire at a moment, a datetime or seconds of Unix time; return whether there is one."""
        moment = when.timestamp() if isinstance(when, datetime) else when
        return (yield from self._expire("EXPIREAT", key, moment, version))

    @operation(bool)
    def pexpire_at(self, key: Any, when: int | datetime, version: Any = None, client: Any = None) -> Plan[bool]:
        """Let an entry expire at a moment, a datetime or milliseconds of Unix time; return whether there is one."""
        moment = when.timestamp() * 1000 if isinstance(when, datetime) else when
        return (yield from self._expire("PEXPIREAT", key, moment, version))

    @operation(list)
    def keys(self, search: str, version: Any = None, client: Any = None) -> Plan[list[Any]]:
        """Return the keys that fit a pattern, as the caller's; each once. All of them are held in memory."""
        found: dict[str, None] = {}
        place = START
        while place:
            place, page = yield from self._page(self._pattern(search, version), None, place)
            found.update(dict.fromkeys(page))
        return [self._reverse(key, version) for key in found]

    @operation(lambda: (None, []), called="iter_keys")
    def _key_page(
        self, search: str, itersize: int | None, version: Any, place: tuple[int, int]
    ) -> Plan[tuple[Place, list[Any]]]:
        following, page = yield from self._page(self._pattern(search, version), itersize, place)
        return following, [self._reverse(key, version) for key in page]

    _akey_page = twin(_key_page)

    def iter_keys(
        self, search: str, itersize: int | None = None, client: Any = None, version: Any = None
    ) -> Iterator[Any]:
        """Iterate over the keys that fit a pattern; the server looks at ``itersize`` keys a round trip.

        A key may come twice if keys are added or removed meanwhile.
        """
        if client is not None:
            self._check_client(client)
        place = START
        while place:
            place, page = self._key_page(search, itersize, version, place)
            yield from page

    async def aiter_keys(
        self, search: str, itersize: int | None = None, client: Any = None, version: Any = None
    ) -> AsyncIterator[Any]:
        """:meth:`iter_keys` on the event loop."""
        if client is not None:
            self._check_client(client)
        place = START
        while place:
            place, page = await self._akey_page(search, itersize, version, place)
            for key in page:
                yield key

    @operation(int)
    def delete_pattern(
        self, pattern: str, version: Any = None, prefix: Any = None, client: Any = None, itersize: int | None = None
    ) -> Plan[int]:
        """Remove the entries whose keys fit a pattern; return how many.

        The server looks at ``itersize`` keys a round trip, in which those of the round trip before are removed too.
        """
        return (yield from self._delete(self._pattern(pattern, version, prefix), itersize))

    def lock(
        self,
        key: Any,
        version: Any = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        client: Any = None,
        thread_local: bool = True,
    ) -> RedisLock:
        """Make a lock that one process or thread at a time holds, of all that name this key; redis-py's are compatible.

        ``timeout``: seconds after which it is free even if nobody releases it; None: never. ``sleep``: seconds between two
        tries. ``blocking``, ``blocking_timeout``: whether and how many seconds ``acquire`` waits; None: as long as it takes.
        ``thread_local``: only the thread that acquired it may release it.
        """
        if client is not None:
            self._check_client(client)
        return RedisLock(self, self._key(key, version), timeout, sleep, blocking, blocking_timeout, thread_local)

    def alock(
        self,
        key: Any,
        version: Any = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        client: Any = None,
    ) -> AsyncRedisLock:
        """:meth:`lock` for ``async with``: its methods are coroutines, and waiting lets other tasks run."""
        if client is not None:
            self._check_client(client)
        return AsyncRedisLock(self, self._key(key, version), timeout, sleep, blocking, blocking_timeout, False)

    def _left(self, key: Any, version: Any) -> Plan[int | None]:
        (left,) = yield Request(("PTTL", self._key(key, version)), read=True)
        return {-2: 0, -1: None}.get(left, left)

    def _expire(self, command: str, key: Any, number: float, version: Any) -> Plan[bool]:
        (done,) = yield Request((command, self._key(key, version), int(number)), repeatable=command.endswith("AT"))
        return bool(done)

    def _page(self, pattern: str, itersize: int | None, place: tuple[int, int]) -> Plan[tuple[Place, list[str]]]:
        group, cursor = place
        # Not from a replica: a cursor is one server's.
        ((following, page),) = yield Request(self._scan(pattern, itersize, cursor), repeatable=True, group=group)
        keys = [key.decode("utf-8", "surrogateescape") for key in page]
        return (yield from self._following(group, int(following))), keys

    def _following(self, group: int, cursor: int) -> Plan[Place]:
        """Return where to go on: at this primary, or at the next one."""
        if cursor:
            return group, cursor
        (groups,) = yield Groups()
        return (group + 1, 0) if group + 1 < groups else None

    def _delete(self, pattern: str, itersize: int | None) -> Plan[int]:
        place, deleted = START, 0
        page: list[bytes] = []
        while place:
            group, cursor = place
            removals = self._for_keys("UNLINK", page) if page else []
            replies = yield Request(*removals, self._scan(pattern, itersize, cursor), repeatable=True, group=group)
            deleted += sum(replies[:-1])
            page = replies[-1][1]
            place = yield from self._following(group, int(replies[-1][0]))
        if page:
            deleted += sum((yield Request(*self._for_keys("UNLINK", page), repeatable=True)))
        return deleted

    def _delete_all(self) -> Plan[int]:
        """Remove the entries of this cache's prefix and version."""
        pattern = self._pattern("*", None)
        if "*" not in pattern:
            raise ImproperlyConfigured(
                'KEY_FUNCTION makes keys that no pattern fits, so CLEAR = "prefix" cannot find them. '
                'Set CLEAR to "database", or let the keys begin with prefix and version.'
            )
        return (yield from self._delete(pattern, None))

    def _scan(self, pattern: str, itersize: int | None, cursor: int) -> tuple[Any, ...]:
        count = itersize or getattr(settings, "DJANGO_REDIS_SCAN_ITERSIZE", None) or SCAN_ITERSIZE
        return ("SCAN", cursor, "MATCH", pattern, "COUNT", count)

    def _pattern(self, pattern: str, version: Any, prefix: Any = None) -> str:
        """Return the pattern of made keys."""
        prefix = self.key_prefix if prefix is None else prefix
        version = self.version if version is None else version
        return self.key_func(pattern, _literally(prefix), _literally(version))

    def _reverse(self, made: str, version: Any) -> Any:
        """Return the caller's key of a made one, by REVERSE_KEY_FUNCTION or as Django's key function made it."""
        given = self._params.get("REVERSE_KEY_FUNCTION")
        if given is not None:
            return (given if callable(given) else import_string(given))(made)
        if self.key_func is default_key_func:
            # A prefix may have colons in it.
            return made.removeprefix(self.key_func("", self.key_prefix, self.version if version is None else version))
        return made.split(":", 2)[-1]

    attl = twin(ttl)
    apttl = twin(pttl)
    apersist = twin(persist)
    aexpire = twin(expire)
    apexpire = twin(pexpire)
    aexpire_at = twin(expire_at)
    apexpire_at = twin(pexpire_at)
    akeys = twin(keys)
    adelete_pattern = twin(delete_pattern)


def _literally(text: Any) -> str:
    return re.sub(r"([*?\[\]\\^])", r"\\\1", str(text))
