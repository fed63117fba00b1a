"""A lock between processes, compatible with redis-py's: a key that holds the token of whoever holds the lock."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from types import SimpleNamespace, TracebackType
from typing import Any

from pinyon import _pinyon
from pinyon.django.redis_methods.plan import Pause, Plan, Request, Script, arun, run
from pinyon.exceptions import LockError, LockNotOwnedError

# Each does nothing, and answers 0, unless the token is that of the holder.
_RELEASE = Script(
    """if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
return 1
"""
)
#: ARGV[2]: milliseconds, ARGV[3]: '1' if they are added to those that are left.
_EXTEND = Script(
    """if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local left = ARGV[3] == '1' and redis.call('pttl', KEYS[1]) or 0
redis.call('pexpire', KEYS[1], math.max(left, 0) + ARGV[2])
return 1
"""
)


class _Lock:
    """What both locks do, as plans. IGNORE_EXCEPTIONS is nothing for them: who cannot ask does not hold a lock."""

    def __init__(
        self,
        cache: Any,
        name: str,
        timeout: float | None,
        sleep: float,
        blocking: bool,
        blocking_timeout: float | None,
        thread_local: bool,
    ) -> None:
        self._cache = cache
        #: The key on the server.
        self.name = name
        self.timeout = timeout
        self.sleep = sleep
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self.thread_local = thread_local
        self.local: Any = threading.local() if thread_local else SimpleNamespace()
        self.local.token = None

    def _acquire(
        self, token: bytes, blocking: bool | None, blocking_timeout: float | None, sleep: float | None
    ) -> Plan[bool]:
        blocking = self.blocking if blocking is None else blocking
        limit = self.blocking_timeout if blocking_timeout is None else blocking_timeout
        sleep = self.sleep if sleep is None else sleep
        until = None if limit is None else time.monotonic() + limit
        lease = ("PX", _milliseconds(self.timeout)) if self.timeout else ()
        while True:
            (taken,) = yield Request(("SET", self.name, token, "NX", *lease), ignore=False)
            if taken is not None:
                self.local.token = token
                return True
            if not blocking or (until is not None and time.monotonic() + sleep > until):
                return False
            yield Pause(sleep)

    def _release(self) -> Plan[None]:
        token = self._token("release")
        self.local.token = None
        if not (yield from _RELEASE.plan((self.name,), (token,), ignore=False)):
            raise self._lost()

    def _extend(self, seconds: float, add: bool) -> Plan[bool]:
        token = self._token("extend")
        arguments = (token, _milliseconds(seconds), int(add))
        if not (yield from _EXTEND.plan((self.name,), arguments, ignore=False)):
            raise self._lost()
        return True

    def _lease(self) -> float:
        if self.timeout is None:
            raise LockError("a lock without a timeout does not end by itself: there is nothing to extend")
        return self.timeout

    def _holder(self) -> Plan[bytes | None]:
        # The primary knows who holds it.
        (holder,) = yield Request(("GET", self.name), repeatable=True, ignore=False)
        return holder  # type: ignore[no-any-return]

    def _token(self, what: str) -> bytes:
        token: bytes | None = getattr(self.local, "token", None)
        if token is None:
            raise LockError(f"cannot {what} the lock {self.name!r}: it was not acquired, or is released already")
        return token

    def _owned_by(self, holder: bytes | None) -> bool:
        return holder is not None and holder == getattr(self.local, "token", None)

    def _not_acquired(self) -> LockError:
        return LockError(f"the lock {self.name!r} could not be acquired within the time given")

    def _lost(self) -> LockNotOwnedError:
        return LockNotOwnedError(f"the lock {self.name!r} is not ours any more: its time was over")


class RedisLock(_Lock):
    """A lock for threads and processes. Use it with ``with``, or call ``acquire`` and ``release``."""

    def acquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
        sleep: float | None = None,
    ) -> bool:
        """Take the lock, and wait for it as the arguments or those of the lock say; return whether it was taken."""
        return run(self._cache, "lock", self._acquire(_new_token(token), blocking, blocking_timeout, sleep))

    def release(self) -> None:
        """Give the lock back. LockError if it was not acquired, LockNotOwnedError if its time was over."""
        run(self._cache, "lock", self._release())

    def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Hold it ``additional_time`` seconds longer than it has left, or with ``replace_ttl`` from now; return True."""
        self._lease()
        return run(self._cache, "lock", self._extend(additional_time, not replace_ttl))

    def reacquire(self) -> bool:
        """Hold it for its whole timeout again, from now; return True."""
        return run(self._cache, "lock", self._extend(self._lease(), False))

    def locked(self) -> bool:
        """Return whether anybody holds it."""
        return run(self._cache, "lock", self._holder()) is not None

    def owned(self) -> bool:
        """Return whether it is held here."""
        return self._owned_by(run(self._cache, "lock", self._holder()))

    def __enter__(self) -> RedisLock:
        if not self.acquire():
            raise self._not_acquired()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class AsyncRedisLock(_Lock):
    """A lock for tasks. Use it with ``async with``, or await ``acquire`` and ``release``."""

    async def acquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
        sleep: float | None = None,
    ) -> bool:
        """Take the lock, and wait for it as the arguments or those of the lock say; return whether it was taken."""
        made = _new_token(token)
        try:
            return await arun(self._cache, "lock", self._acquire(made, blocking, blocking_timeout, sleep))
        except asyncio.CancelledError:
            # The server may have taken it for us: it goes back behind that request, on the same connection.
            command = ("EVAL", _RELEASE.text, 1, self.name, made)
            returned = _pinyon.start_commands(self._cache, "lock", (command,), Request(command))
            returned.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    async def release(self) -> None:
        """Give the lock back. LockError if it was not acquired, LockNotOwnedError if its time was over."""
        await arun(self._cache, "lock", self._release())

    async def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Hold it ``additional_time`` seconds longer than it has left, or with ``replace_ttl`` from now; return True."""
        self._lease()
        return await arun(self._cache, "lock", self._extend(additional_time, not replace_ttl))

    async def reacquire(self) -> bool:
        """Hold it for its whole timeout again, from now; return True."""
        return await arun(self._cache, "lock", self._extend(self._lease(), False))

    async def locked(self) -> bool:
        """Return whether anybody holds it."""
        return await arun(self._cache, "lock", self._holder()) is not None

    async def owned(self) -> bool:
        """Return whether it is held here."""
        return self._owned_by(await arun(self._cache, "lock", self._holder()))

    async def __aenter__(self) -> AsyncRedisLock:
        if not await self.acquire():
            raise self._not_acquired()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.release()


def _new_token(given: str | bytes | None) -> bytes:
    if given is None:
        return uuid.uuid4().hex.encode()
    return given.encode() if isinstance(given, str) else given


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
