"""What is measured: groups of sections, and each section is one table of cases by peers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.scale import Scale

#: Unit: how a figure is made of the second number of a turn divided by the first, and whether less of it is better.
UNITS: dict[str, tuple[Any, bool]] = {
    "µs": (lambda ns: ns / 1000, True),
    "operations/s": (lambda ns: 1e9 / ns, False),
    "bytes": (lambda size: size, True),
    "%": (lambda part: 100 * part, False),
    # Of pages.py, which has no turns of a worker.
    "requests/s": (None, False),
    "ms": (None, True),
    "connections": (None, True),
    "threads": (None, True),
    "MiB": (None, True),
}

#: Units of what nobody is times better at.
COUNTS = ("connections", "threads")


@dataclass(frozen=True)
class Case:
    id: str
    title: str
    unit: str = "µs"

    @property
    def less_is_better(self) -> bool:
        return bool(UNITS[self.unit][1])


@dataclass(frozen=True)
class Section:
    """`work` on a `kind` of store. `processes`: how many a peer has, which take each turn together.

    `fresh`: every turn is a process of its own. `entries`: for how many the store has room; `files`: how many lie in it, if not as
    usual. `pinned`: the processes of the peers and the server share one processor. Whether the system runs client and server on one
    or on two is chance otherwise, and makes more of a difference than the client does.
    """

    id: str
    group: str
    title: str
    kind: str
    work: str
    cases: tuple[Case, ...]
    options: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    fresh: bool = False
    entries: int = 1_000_000
    files: int | None = None
    pinned: bool = False


TITLES = {"memory": "Process memory", "redis": "Redis", "memcached": "Memcached", "file": "Files", "database": "SQLite"}
VALUE_TITLES = {"100B": "100 B", "dict": "dict of 10", "10KiB": "10 KiB"}


def one_thread_cases() -> Iterator[Case]:
    """Those that leave garbage behind come last: on a disk it is felt for seconds."""
    for operation in ("get", "set"):
        for value, title in VALUE_TITLES.items():
            yield Case(f"{operation}/{value}", f"{operation} {title}")
    yield Case("miss/100B", "get, a miss")
    for operation in ("get_many", "set_many"):
        for value, title in VALUE_TITLES.items():
            yield Case(f"{operation}/{value}", f"{operation} of 100, {title}")
    for operation in ("touch", "incr", "add", "delete"):
        yield Case(f"{operation}/100B", operation)


ONE_THREAD = tuple(one_thread_cases())
# Where thousands of files were removed or replaced within seconds, ext4 takes a millisecond to make one, which would punish
# whoever is faster. So a turn on files writes no more than so many.
FILE_OPTIONS: dict[bool, dict[str, Any]] = {True: {"writes": 25}, False: {}}
# Django takes a tenth of a second for a set there.
LARGE_OPTIONS = {"writes": 25, "keys": 10}
GET_SET = tuple(case for case in ONE_THREAD if case.id in ("get/100B", "set/100B"))
UNPINNED = tuple(case for case in ONE_THREAD if case.id.endswith("many/100B") or case in GET_SET)
FIRST_GET = (Case("first get", "a backend object and its first get"),)
ENTRY = (Case("entry/100B", "an entry of 100 B, key and value", "bytes"),)
TRACE_CASES = (
    Case("zipf", "Zipf(1.0)", "%"),
    Case("scans", "Zipf with scans", "%"),
    Case("loops", "Zipf and loops", "%"),
    Case("drift", "Zipf, drifting", "%"),
)


def mix_cases(*threads: int) -> tuple[Case, ...]:
    return tuple(
        Case(f"threads/{count}", f"{count} threads" if count > 1 else "one thread each", "operations/s")
        for count in threads
    )


def task_cases(*tasks: int) -> tuple[Case, ...]:
    return tuple(Case(f"tasks/{count}", f"{count} task{'s' * (count > 1)}", "operations/s") for count in tasks)


def all_sections(scale: Scale) -> list[Section]:
    """Every section but the pages, in the order of the tables."""
    found = [
        Section(
            kind,
            "operations",
            f"{title}: one thread",
            kind,
            "one_thread",
            ONE_THREAD,
            FILE_OPTIONS[kind == "file"],
            pinned=True,
        )
        for kind, title in TITLES.items()
    ]
    for kind in ("redis", "memcached"):
        title = f"{TITLES[kind]}: one thread, wherever the system runs it"
        found.append(Section(f"{kind}-free", "operations", title, kind, "one_thread", UNPINNED))
    large = f"Files: one thread, {scale.large_files:,} files in the directory"
    found.append(
        Section(
            "file-large",
            "operations",
            large,
            "file",
            "one_thread",
            GET_SET,
            FILE_OPTIONS[True],
            files=scale.large_files,
            pinned=True,
        )
    )
    for kind in ("memory", "redis", "memcached"):
        title = f"{TITLES[kind]}: threads, nine gets and a set of 100 B"
        found.append(Section(f"{kind}-threads", "threads", title, kind, "mix", mix_cases(4, 16)))
    for kind in ("redis", "memcached"):
        for loop in ("asyncio", "uvloop"):
            title = f"{TITLES[kind]}: tasks on {loop}, aget of 100 B"
            cases = task_cases(1, 50, 300)
            found.append(Section(f"{kind}-{loop}", "async", title, kind, "tasks", cases, {"loop": loop}))
    for loop in ("asyncio", "uvloop"):
        title = f"Redis over TLS: tasks on {loop}, aget of 100 B"
        found.append(
            Section(f"redis-tls-{loop}", "async", title, "redis-tls", "tasks", task_cases(1, 50), {"loop": loop})
        )
    for kind in ("memory", "redis", "memcached"):
        title = f"{TITLES[kind]}: making a backend"
        found.append(Section(f"{kind}-making", "making", title, kind, "making", FIRST_GET, pinned=True))
    for kind in ("redis", "memcached", "file", "database"):
        title = f"{TITLES[kind]}: four processes, nine gets and a set of 100 B"
        found.append(Section(f"{kind}-processes", "processes", title, kind, "mix", mix_cases(1), processes=4))
    found.append(
        Section("rss", "rss", f"Memory an entry, of {scale.entries:,}", "memory", "memory_use", ENTRY, fresh=True)
    )
    title = "Hit ratio: room for 1,000 of 10,000 keys"
    found.append(Section("hits", "hits", title, "memory", "hit_ratio", TRACE_CASES, entries=1_000))
    return found


GROUPS = ("operations", "threads", "async", "making", "processes", "rss", "hits", "pages")
