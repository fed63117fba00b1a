"""Tasks of one event loop that each call `aget` for 100 bytes, one after the other. A case is their number: "tasks/50"."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.cache import caches

from bench.one_thread import check
from bench.timing import Action, Timed
from bench.values import VALUES

KEY = "tasks"


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


class Tasks(Timed):
    """`options["loop"]`: "asyncio" or "uvloop"."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.turn_ns *= 5
        self.loop = new_loop(options["loop"])

    def action(self, case: str) -> Action:
        tasks = int(case.removeprefix("tasks/"))
        cache = self.loop.run_until_complete(self.checked())

        async def ask(times: int) -> None:
            for _ in range(times):
                await cache.aget(KEY)

        async def all_of_them(times: int) -> None:
            await asyncio.gather(*(ask(times) for _ in range(tasks)))

        def run(count: int) -> int:
            times = -(-count // tasks)
            self.loop.run_until_complete(all_of_them(times))
            return times * tasks

        return Action(run)

    async def checked(self) -> Any:
        cache = caches["default"]
        await cache.aset(KEY, VALUES["100B"])
        check(await cache.aget(KEY), VALUES["100B"], "aget")
        return cache
