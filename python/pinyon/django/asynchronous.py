"""The ``a*`` methods of the backends: on the event loop itself where servers are asked, at once where nothing is waited for,
and in one hop to a thread where something blocks.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT

from pinyon import _pinyon

#: The methods of ``BaseCache`` whose names with an ``a`` in front are coroutines, but for ``get_or_set``, which awaits what
#: its callable returns, and is written once for all backends.
METHODS = (
    *("add", "get", "set", "touch", "delete", "has_key", "ttl", "incr", "decr", "incr_version", "decr_version"),
    *("get_many", "set_many", "delete_many", "clear", "close"),
)

#: The most threads that wait for files at a time.
FILE_THREADS = min(32, (os.cpu_count() or 1) + 4)

Method = Callable[..., Coroutine[Any, Any, Any]]


class OnTheLoop:
    """The ``a*`` methods of backends with servers. One connection a server and event loop; no thread.

    A cancelled call leaves the connection to the others: its reply is dropped when it comes.
    """

    version: Any

    async def aget(self, key: Any, default: Any = None, version: Any = None) -> Any:
        pending = _pinyon.start_get(self, key, default, version)
        await pending
        return pending.result()

    async def aset(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        await _pinyon.start_set(self, key, value, timeout, version)

    async def aadd(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        return await _pinyon.start_add(self, key, value, timeout, version)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        return await _pinyon.start_touch(self, key, timeout, version)

    async def adelete(self, key: Any, version: Any = None) -> bool:
        return await _pinyon.start_delete(self, key, version)

    async def ahas_key(self, key: Any, version: Any = None) -> bool:
        return await _pinyon.start_has_key(self, key, version)

    async def attl(self, key: Any, version: Any = None) -> int | None:
        return await _pinyon.start_ttl(self, key, version)

    async def aincr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        return await _pinyon.start_incr(self, key, delta, version)

    async def adecr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        return await self.aincr(key, -delta, version)

    async def aget_many(self, keys: Any, version: Any = None) -> dict[Any, Any]:
        return await _pinyon.start_get_many(self, keys, version)

    async def aset_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> list[Any]:
        return await _pinyon.start_set_many(self, data, timeout, version)

    async def adelete_many(self, keys: Any, version: Any = None) -> Any:
        await _pinyon.start_delete_many(self, keys, version)

    async def aincr_version(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        if version is None:
            version = self.version
        value = await self.aget(key, _MISSING, version=version)
        if value is _MISSING:
            raise ValueError(f"Key '{key}' not found")
        timeout = await self.attl(key, version)
        await self.aset(key, value, timeout=timeout, version=version + delta)
        await self.adelete(key, version=version)
        return version + delta

    async def adecr_version(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        return await self.aincr_version(key, -delta, version)

    async def aclear(self) -> Any:
        return await _pinyon.start_clear(self)

    async def aclose(self, **kwargs: Any) -> None:
        """Nothing: the connections belong to the event loop, and stay open between requests."""


_MISSING = object()


def at_once(cls: type) -> type:
    """Give a backend that never waits ``a*`` methods that call their namesakes in place."""

    def make(name: str) -> Method:
        async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return getattr(self, name)(*args, **kwargs)

        return method

    return _with_methods(cls, make)


def in_file_threads(cls: type) -> type:
    """Give a backend on files ``a*`` methods that call their namesakes in a thread of one bounded pool."""

    def make(name: str) -> Method:
        async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            context = contextvars.copy_context()
            call = functools.partial(context.run, getattr(self, name), *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(_file_threads(), call)

        return method

    return _with_methods(cls, make)


def in_sync_thread(cls: type) -> type:
    """Give a backend ``a*`` methods that call their namesakes in the thread where Django keeps its database connections."""
    return _with_methods(cls, _in_sync_thread)


def follow_overrides(cls: type) -> None:
    """Have the ``a*`` twin of every method that a site's subclass overrides call that method in a thread, as Django's do."""
    for name in [*cls.__dict__]:
        has_twin = name in METHODS or hasattr(getattr(cls, f"a{name}", None), "_plan")
        if has_twin and f"a{name}" not in cls.__dict__:
            setattr(cls, f"a{name}", _in_sync_thread(name))


def _in_sync_thread(name: str) -> Method:
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(getattr(self, name), thread_sensitive=True)(*args, **kwargs)

    return method


def _with_methods(cls: type, make: Callable[[str], Method]) -> type:
    for name in METHODS:
        method = make(name)
        method.__name__, method.__qualname__ = f"a{name}", f"{cls.__qualname__}.a{name}"
        method.__doc__ = getattr(cls, name).__doc__
        setattr(cls, method.__name__, method)
    return cls


_threads: tuple[int, Executor] | None = None


def _file_threads() -> Executor:
    """Return the pool of this process; a forked child has none of its parent's threads."""
    global _threads
    if _threads is None or _threads[0] != os.getpid():
        _threads = (os.getpid(), ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="pinyon-files"))
    return _threads[1]
