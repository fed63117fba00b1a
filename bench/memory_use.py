"""How much memory an entry takes: the growth of the process (RSS) over many entries of 100 bytes. One case: "entry/100B"."""

from __future__ import annotations

import gc
from typing import Any

import psutil
from django.core.cache import caches

from bench.one_thread import check


class MemoryUse:
    """Every turn needs a process of its own: what was freed comes back from the allocator, and not from the system."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.entries = options["entries"]
        self.process = psutil.Process()

    def prepare(self, case: str) -> None:
        cache = caches["default"]
        cache.set("first", "x" * 100)
        check(cache.get("first"), "x" * 100, "get")

    def turn(self, case: str, number: int) -> tuple[float, float]:
        """Entries, and the bytes that they take."""
        cache = caches["default"]
        gc.collect()
        before = self.process.memory_info().rss
        for entry in range(self.entries):
            # Key and value are the entry's own, as they are when they come from a database.
            cache.set(f"key-{entry}", f"{entry:0100d}")
        gc.collect()
        grown = self.process.memory_info().rss - before
        check(cache.get("key-0"), f"{0:0100d}", "get of the first entry")
        return self.entries, grown
