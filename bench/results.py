"""Figures of a run: JSON in and out, medians, spreads and ratios."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.peers import PINYON
from bench.sections import COUNTS, Case


@dataclass
class Row:
    """One case: the figures of every round by peer. A peer that cannot do it is not in it."""

    case: Case
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, peer: str) -> float:
        return statistics.median(self.values[peer])

    def spread(self, peer: str) -> float:
        """The larger distance of a round from the median, as a part of it."""
        middle = self.median(peer)
        far = max(abs(value - middle) for value in self.values[peer])
        return far / middle if middle else 0.0

    def best(self, peers: list[str]) -> str | None:
        """Which of these has the best median."""
        found = [peer for peer in peers if peer in self.values]
        if not found:
            return None
        return (min if self.case.less_is_better else max)(found, key=self.median)

    def times_better(self, peer: str, than: str) -> list[float]:
        """How many times better in each round. Only figures of one round are compared."""
        pairs = zip(self.values[peer], self.values[than], strict=True)
        ratios = [(other, own) if self.case.less_is_better else (own, other) for own, other in pairs]
        return [over / under if under else float("inf") for over, under in ratios]


@dataclass
class Table:
    """What a section found. `peers`: name -> role."""

    id: str
    group: str
    title: str
    peers: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    def row(self, case: str) -> Row | None:
        return next((row for row in self.rows if row.case.id == case), None)

    def incumbents(self) -> list[str]:
        return [peer for peer, role in self.peers.items() if role == "incumbent"]

    def ratio(self, row: Row) -> tuple[str, list[float]] | None:
        """The best incumbent and how many times better Pinyon is in each round; None without both, and of counts."""
        best = row.best(self.incumbents())
        if best is None or PINYON not in row.values or row.case.unit in COUNTS:
            return None
        return best, row.times_better(PINYON, best)


@dataclass
class Report:
    """One group of one run. `facts`: date, machine, versions, scale. `notes`: who failed in what, and how."""

    group: str
    facts: dict[str, Any]
    tables: list[Table] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.group}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def read(path: Path) -> Report:
    found = json.loads(path.read_text(encoding="utf-8"))
    found["tables"] = [
        Table(**{**table, "rows": [Row(Case(**row["case"]), row["values"]) for row in table["rows"]]})
        for table in found["tables"]
    ]
    return Report(**found)
