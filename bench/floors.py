"""What is no Django backend, in the shape of one, so that CACHES can name it.

Methods that a library does not have are not here: the cell of the table stays empty. The methods are the library's own,
without a Python function around them where that can be.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import repeat
from typing import Any

# One store for all threads: Django makes a backend object for each.
_DICT: dict[str, Any] = {}
_BOXES: dict[tuple[str, int], Any] = {}


class Dict:
    """A dictionary, and nothing else: no key is made, nothing expires, values are shared."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        self.get = _DICT.get
        self.set = _DICT.__setitem__
        self.set_many = _DICT.update
        self.delete = _DICT.__delitem__

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        return {key: _DICT[key] for key in keys}


class Cachebox:
    """cachebox as a site would call it: no key is made, and values are shared, not copied. POLICY: "LRU", "LFU"."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        import cachebox

        options = params.get("OPTIONS", {})
        name, size = options.get("POLICY", "LRU"), options["MAX_ENTRIES"]
        box = _BOXES.setdefault((name, size), getattr(cachebox, f"{name}Cache")(size))
        self.get = box.get
        self.set = box.__setitem__
        self.set_many = box.update
        self.delete = box.__delitem__
        self.clear = box.clear

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        get = self.get
        return {key: get(key) for key in keys}


class Pickle:
    """`pickle` alone: what any cache has to do that keeps no Python objects."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        pass

    def run_of(self, operation: str, value: Any) -> Callable[[int], int] | None:
        """What one_thread.py is to time instead of a call of `operation`; None: it has no pickling."""
        blob, dumps, loads = pickle.dumps(value, 5), pickle.dumps, pickle.loads

        def get(count: int) -> int:
            for _ in repeat(None, count):
                loads(blob)
            return count

        def set(count: int) -> int:
            for _ in repeat(None, count):
                dumps(value, 5)
            return count

        return {"get": get, "set": set}.get(operation)


class RedisAsyncio:
    """redis-py's asyncio client with pickle, and a pool that waits."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        from redis import asyncio as redis_asyncio

        options = {"max_connections": 50, "timeout": 60, "socket_timeout": 60, "socket_connect_timeout": 60}
        pool = redis_asyncio.BlockingConnectionPool.from_url(location, **options, **params.get("OPTIONS", {}))
        self.client = redis_asyncio.Redis(connection_pool=pool)
        self.prefix = params["KEY_PREFIX"]

    async def aset(self, key: str, value: Any) -> None:
        await self.client.set(f"{self.prefix}:{key}", pickle.dumps(value, 5))

    async def aget(self, key: str) -> Any:
        return pickle.loads(await self.client.get(f"{self.prefix}:{key}"))
