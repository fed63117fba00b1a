"""What Pinyon promises to be, in figures of one run; the tables say of each whether it holds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.peers import NO_CACHE, PINYON, SOCKET, TINYLFU
from bench.results import Row, Table

BEST = "the best incumbent"
SECTION_OF_SMALL_DIRECTORY = "file"


@dataclass(frozen=True)
class Target:
    """`against` is a peer, BEST, or empty where the figure itself is bounded."""

    section: str
    case: str
    bound: float
    against: str = BEST
    #: "times": at least so many times better. "share": at most so many times the other's figure. "value": at most that.
    #: "least": at least that. "added": at most so much more than the other. "growth": at most so many times Pinyon's own in the
    #: small directory.
    kind: str = "times"
    #: Whose figure it is about.
    of: str = PINYON

    def words(self) -> str:
        bound = f"{self.bound:g}"
        match self.kind:
            case "times":
                return f"at least {bound}× {self.against}"
            case "share":
                return f"at most {bound}× {self.against}"
            case "added":
                return f"at most {bound} more than {self.against}"
            case "growth":
                return f"at most {bound}× as with few files"
            case "least":
                return f"at least {bound}"
        return f"at most {bound}"


@dataclass(frozen=True)
class Verdict:
    """What became of a target: the figure that it bounds, and whether it holds."""

    target: Target
    figure: float
    holds: bool
    #: What is reached in the place of Pinyon by that which no client can do without: a bare socket, a page without a cache.
    floor: str = ""

    def words(self) -> str:
        floor = f" ({self.floor})" if self.floor else ""
        return f"{self.target.words()}: {'yes' if self.holds else 'NO'}, {self.figure:.3g}{floor}"


def all_targets() -> list[Target]:
    locmem, pickle, socket = "Django LocMemCache", "pickle", SOCKET.name
    found = [
        Target("memory", "get/100B", 20, locmem),
        Target("memory", "set/100B", 15, locmem),
        Target("memory", "get/dict", 3, locmem),
        Target("memory", "set/dict", 3, locmem),
        Target("memory", "get/dict", 1, pickle, "share"),
        Target("memory", "set/dict", 1, pickle, "share"),
        Target("memory-threads", "threads/16", 15, locmem),
        Target("rss", "entry/100B", 220, "", "value"),
        Target("redis", "get/100B", 2.2),
        Target("redis", "set/100B", 2.2),
        Target("redis", "get/100B", 1.25, socket, "share"),
        Target("redis", "set/100B", 1.25, socket, "share"),
        Target("redis", "get_many/100B", 2),
        Target("redis", "set_many/100B", 2),
        Target("redis-threads", "threads/4", 1.5),
        Target("redis-threads", "threads/16", 1.5),
        Target("memcached", "get/100B", 1.3),
        Target("memcached", "set/100B", 1.3),
        Target("memcached", "get_many/100B", 3),
        Target("memcached", "set_many/100B", 8),
        Target("file", "set/100B", 10, "Django FileBasedCache"),
        Target("file", "get/100B", 1.5, "Django FileBasedCache"),
        Target("file-large", "get/100B", 1.5, "", "growth"),
        Target("file-large", "set/100B", 1.5, "", "growth"),
        Target("database", "set/100B", 2),
        Target("database", "set_many/100B", 12),
        Target("redis-making", "first get", 2),
        Target("hits", "zipf", 1, locmem),
        Target("hits", "zipf", 73, "", "least", TINYLFU),
        Target("hits", "scans", 1.1, locmem, of=TINYLFU),
    ]
    for kind, bound in (("redis", 2.2), ("memcached", 1.3)):
        found += [Target(f"{kind}-free", case, bound) for case in ("get/100B", "set/100B")]
    for loop in ("asyncio", "uvloop"):
        for tasks, bound in ((1, 1.5), (50, 2.5), (300, 2.5)):
            found.append(Target(f"redis-{loop}", f"tasks/{tasks}", bound))
    for server in ("granian", "uvicorn"):
        found.append(Target(f"asgi-{server}-redis", "cpu", 0.2, NO_CACHE.name, "added"))
        found.append(Target(f"asgi-{server}-redis", "requests", 1.12))
    for server in ("granian", "gunicorn"):
        found += [Target(f"wsgi-{server}-{kind}", "requests", 1.5) for kind in ("memory", "redis", "memcached")]
    return found


TARGETS = all_targets()


def verdict(target: Target, tables: dict[str, Table]) -> Verdict | None:
    """None if the run has not measured what it takes. `tables`: by id."""
    table = tables.get(target.section)
    row = table.row(target.case) if table else None
    if table is None or row is None or target.of not in row.values:
        return None
    if target.kind == "value":
        return at_most(target, row.median(target.of))
    if target.kind == "least":
        return Verdict(target, row.median(target.of), row.median(target.of) >= target.bound)
    if target.kind == "growth":
        small = tables.get(SECTION_OF_SMALL_DIRECTORY)
        other = small.row(target.case) if small else None
        if other is None or PINYON not in other.values:
            return None
        return at_most(target, row.median(PINYON) / other.median(PINYON))
    against = row.best(table.incumbents()) if target.against == BEST else target.against
    if against not in row.values:
        return None
    return compared(target, row, against)


def compared(target: Target, row: Row, against: str) -> Verdict:
    """Against another column, round by round."""
    if target.kind == "added":
        pairs = zip(row.values[target.of], row.values[against], strict=True)
        return at_most(target, statistics.median(own - other for own, other in pairs))
    figure = statistics.median(row.times_better(target.of, against))
    if target.kind == "share":
        return at_most(target, 1 / figure)
    floors = [name for name in (SOCKET.name, NO_CACHE.name) if name in row.values and target.against == BEST]
    floor = ", ".join(f"{name}: {statistics.median(row.times_better(name, against)):.3g}" for name in floors)
    return Verdict(target, figure, figure >= target.bound, floor)


def at_most(target: Target, figure: float) -> Verdict:
    return Verdict(target, figure, figure <= target.bound)


def verdicts(tables: list[Table]) -> list[Verdict]:
    """Of all targets that these tables have figures for."""
    by_id = {table.id: table for table in tables}
    return [found for target in TARGETS if (found := verdict(target, by_id))]


def verdicts_of(table: Table, row: Row, every: list[Verdict]) -> list[Verdict]:
    """Those that stand in one line of a table."""
    return [found for found in every if (found.target.section, found.target.case) == (table.id, row.case.id)]
