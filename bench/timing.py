"""Timed calls inside a worker: how many fit into a turn, and how long they took."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Unsupported(Exception):
    """The peer has no such operation: the cell of the table stays empty."""


class Wrong(Exception):
    """The peer's answer is not what Django documents."""


def nothing(count: int) -> None:
    """Do nothing before or after a turn."""


@dataclass
class Action:
    """`run(count)` is timed and answers how many operations that were, `count` or a multiple of it.

    `before(count)` and `after(count)` are not timed.
    """

    run: Callable[[int], int]
    before: Callable[[int], None] = nothing
    after: Callable[[int], None] = nothing
    #: The highest count of one turn.
    limit: int = 5_000_000

    def timed(self, count: int) -> tuple[int, int]:
        """Operations and nanoseconds."""
        self.before(count)
        gc.collect()
        start = time.perf_counter_ns()
        done = self.run(count)
        elapsed = time.perf_counter_ns() - start
        self.after(count)
        return done, elapsed


class Timed:
    """A work whose turns take a given time. A subclass says what is called."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.turn_ns = options["turn_ms"] * 1e6
        self.ready: dict[str, tuple[Action, int]] = {}

    def action(self, case: str) -> Action:
        """Check that the peer is right in this case, and return what to time. Raises Unsupported, Wrong."""
        raise NotImplementedError

    def prepare(self, case: str) -> None:
        action = self.action(case)
        self.ready[case] = action, self.fitting(action)

    def fitting(self, action: Action) -> int:
        """The count that takes about as long as a turn; at least 1. It warms up, too."""
        count = 1
        while True:
            _, elapsed = action.timed(count)
            if elapsed > self.turn_ns / 2 or count == action.limit:
                fitting: int = max(1, min(action.limit, round(count * self.turn_ns / elapsed)))
                return fitting
            # Not at once to the end: the first calls open connections, and are slow.
            count = min(action.limit, count * max(2, min(10, int(self.turn_ns / elapsed))))

    def turn(self, case: str, number: int) -> tuple[float, float]:
        """Operations and nanoseconds of one turn."""
        action, count = self.ready[case]
        return action.timed(count)
