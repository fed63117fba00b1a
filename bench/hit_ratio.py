"""How often a cache that has room for a tenth of the keys has what is asked for. A case is a trace of traces.py."""

from __future__ import annotations

from typing import Any

from django.core.cache import caches

from bench.one_thread import check
from bench.traces import trace


class HitRatio:
    def __init__(self, options: dict[str, Any]) -> None:
        self.lookups = options["lookups"]

    def prepare(self, case: str) -> None:
        cache = caches["default"]
        cache.set("first", 1)
        check(cache.get("first"), 1, "get")

    def turn(self, case: str, number: int) -> tuple[float, float]:
        """Look-ups, and those of them that found something: of the second half, when nobody's cache is empty any more."""
        cache = caches["default"]
        cache.clear()
        keys = trace(case, number, self.lookups)
        half = len(keys) // 2
        hits = 0
        for number, key in enumerate(keys):
            if cache.get(key) is None:
                cache.set(key, 1)
            elif number >= half:
                hits += 1
        return len(keys) - half, hits
