"""What Django does for every thread and every task: make a backend object, and use it. One case: "first get"."""

from __future__ import annotations

from django.core.cache import caches

from bench.one_thread import check
from bench.timing import Action, Timed
from bench.values import VALUES

KEY = "making"


class Making(Timed):
    def action(self, case: str) -> Action:
        caches["default"].set(KEY, VALUES["100B"])
        check(caches.create_connection("default").get(KEY), VALUES["100B"], "get")

        def run(count: int) -> int:
            for _ in range(count):
                cache = caches.create_connection("default")
                cache.get(KEY)
                # As at the end of a request.
                cache.close()
            return count

        return Action(run, limit=2000)
