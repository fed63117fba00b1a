"""The raw client: Redis commands as they are, on the connections of a cache."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pinyon.django.redis_methods.plan import Plan, Request, Script, arun, run


def get_redis_connection(alias: str = "default", write: bool = True) -> RedisConnection:
    """Return the raw client of a cache in ``settings.CACHES``; with ``write=False``, one that reads from its replicas.

    It opens nothing and needs no closing. NotImplementedError if the cache is not one on Redis.
    """
    from django.core.cache import caches

    from pinyon.django.redis import RedisCache

    cache = caches[alias]
    if not isinstance(cache, RedisCache):
        raise NotImplementedError(f"the cache {alias!r} is not a pinyon.django.RedisCache")
    return RedisConnection(cache, write)


class RedisConnection:
    """Redis commands for the server of a cache. Keys and values are as they are given: no prefix, no version, no pickle.

    A word of a command is bytes, str, int or float. A reply is bytes, int, None, or a list of them; OK is ``b"OK"``.
    """

    def __init__(self, cache: Any, write: bool = True) -> None:
        #: The cache whose connections these are.
        self.cache = cache
        self.write = write

    def execute(self, *words: Any) -> Any:
        """Send one command; return the reply. CacheServerError if it is an error."""
        return run(self.cache, "command", self._one(words))

    async def aexecute(self, *words: Any) -> Any:
        """:meth:`execute` on the event loop."""
        return await arun(self.cache, "command", self._one(words))

    def script(self, lua: str | Script, keys: Iterable[Any] = (), args: Iterable[Any] = ()) -> Any:
        """Run a Lua script; its text is sent only if the server does not know it yet. Return the reply."""
        return run(self.cache, "script", _script(lua).plan(keys, args, ignore=False))

    async def ascript(self, lua: str | Script, keys: Iterable[Any] = (), args: Iterable[Any] = ()) -> Any:
        """:meth:`script` on the event loop."""
        return await arun(self.cache, "script", _script(lua).plan(keys, args, ignore=False))

    def pipeline(self, transaction: bool = False) -> Pipeline:
        """Return what collects commands for one round trip; ``transaction``: nothing else is done between them."""
        return Pipeline(self, transaction)

    def _one(self, words: tuple[Any, ...]) -> Plan[Any]:
        (reply,) = yield Request(words, read=not self.write, ignore=False)
        return reply


class Pipeline:
    """Commands for one round trip: ``add`` them, then ``execute``."""

    def __init__(self, connection: RedisConnection, transaction: bool) -> None:
        self._connection = connection
        self._transaction = transaction
        self._commands: list[tuple[Any, ...]] = []

    def add(self, *words: Any) -> Pipeline:
        """Collect a command; return the pipeline."""
        self._commands.append(words)
        return self

    def __len__(self) -> int:
        return len(self._commands)

    def execute(self, raise_errors: bool = True) -> list[Any]:
        """Send what was collected; return the replies in their order.

        The first error is raised, after all were done; without ``raise_errors`` errors are among the replies.
        """
        return run(self._connection.cache, "pipeline", self._all(raise_errors))

    async def aexecute(self, raise_errors: bool = True) -> list[Any]:
        """:meth:`execute` on the event loop."""
        return await arun(self._connection.cache, "pipeline", self._all(raise_errors))

    def _all(self, raise_errors: bool) -> Plan[list[Any]]:
        commands, self._commands = self._commands, []
        return (
            yield Request(
                *commands,
                read=not self._connection.write,
                transaction=self._transaction,
                raise_errors=raise_errors,
                ignore=False,
            )
        )


def _script(lua: str | Script) -> Script:
    return lua if isinstance(lua, Script) else Script(lua)
