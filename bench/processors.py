"""On which processor a process runs, where the system lets one say that (Linux)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def pin(process: int) -> None:
    """Let a process with all its threads run on the last of this process's processors only."""
    if sys.platform == "linux":
        _set(process, {max(os.sched_getaffinity(0))})


@contextmanager
def pinned(process: int) -> Iterator[None]:
    """Do that for a while."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(process)
    pin(process)
    try:
        yield
    finally:
        _set(process, before)


def _set(process: int, processors: set[int]) -> None:
    if sys.platform == "linux":
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), processors)
