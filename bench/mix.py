"""Nine gets and a set of 100 bytes, again and again, in one thread or in several at once. A case is their number: "threads/4"."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.core.cache import caches

from bench.one_thread import check
from bench.timing import Action, Timed
from bench.values import VALUES

KEYS = [f"mix-{number}" for number in range(200)]
BATCH = 10


def nine_to_one(thread: int) -> Callable[[int], int]:
    """`run(batches)` with the backend object of the thread that calls it first, as in a site."""
    value = VALUES["100B"]
    # Each thread begins elsewhere, and all of them use all the keys.
    first = thread * 7 % len(KEYS)
    keys = KEYS[first:] + KEYS[:first]
    batches = [(keys[at : at + BATCH - 1], keys[at + BATCH - 1]) for at in range(0, len(keys), BATCH)]

    def run(count: int) -> int:
        cache = caches["default"]
        get, set_value = cache.get, cache.set
        for number in range(count):
            reads, write = batches[number % len(batches)]
            for key in reads:
                get(key)
            set_value(write, value)
        return count * BATCH

    return run


class Threads:
    """Threads that wait for a turn, run it together, and wait again. They end with the process."""

    def __init__(self, count: int) -> None:
        self.start, self.end = threading.Barrier(count + 1), threading.Barrier(count + 1)
        self.batches = 0
        self.failures: list[BaseException] = []
        self.runs = [nine_to_one(number) for number in range(count)]
        for run in self.runs:
            threading.Thread(target=self.work, args=(run,), daemon=True).start()

    def work(self, run: Callable[[int], int]) -> None:
        while True:
            self.start.wait()
            try:
                run(self.batches)
            except BaseException as failure:
                self.failures.append(failure)
            self.end.wait()

    def run(self, count: int) -> int:
        """Every thread runs its share of `count` batches."""
        self.batches = -(-count // len(self.runs))
        self.start.wait()
        self.end.wait()
        if self.failures:
            raise self.failures[0]
        return self.batches * len(self.runs) * BATCH


class Mix(Timed):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        # Long enough that all the threads get their time from the interpreter.
        self.turn_ns *= 5

    def action(self, case: str) -> Action:
        threads = int(case.removeprefix("threads/"))
        cache, value = caches["default"], VALUES["100B"]
        for key in KEYS:
            cache.set(key, value)
        run = nine_to_one(0) if threads == 1 else Threads(threads).run
        run(threads)
        for key in KEYS[:: BATCH - 1]:
            check(cache.get(key), value, "get")
        return Action(run)
