"""What `make bench-rust` measured: the crate beside its peers, as lines of tables."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

#: Pinyon's columns; it is what the others are compared with.
OWN = ("pinyon", "pinyon tinylfu")
#: Workload: at most so many times the time of a peer, or at least so many times its throughput, with the best column of Pinyon.
BOUNDS = {
    "memory get, 1 thread": ("quick_cache", 1.2),
    "memory set, 1 thread": ("quick_cache", 1.2),
    "memory 90 % get, 10 % set, 1 thread": ("quick_cache", 1.2),
    "memory get, 2 threads": ("quick_cache", 1.0),
    "memory set, 2 threads": ("quick_cache", 1.0),
    "memory 90 % get, 10 % set, 2 threads": ("quick_cache", 1.0),
    "redis get, 64 tasks on tokio": ("redis-rs", 1.3),
}


#: A line of the page: workload, unit, Pinyon's figures, the peers', and what became of the target.
Line = list[str]


def rust_lines(criterion: Path, beside: Path) -> list[Line]:
    """Of what criterion has measured, and of what took turns, which counts where both have; nothing without the files."""
    lines = {}
    if criterion.exists():
        figures: dict[tuple[str, str], dict[str, float]] = {}
        for row in json.loads(criterion.read_text(encoding="utf-8")):
            figures.setdefault((row["workload"], row["unit"]), {})[row["peer"]] = row["median"]
        lines = {workload: line(workload, unit, peers, "") for (workload, unit), peers in figures.items()}
    if beside.exists():
        for row in json.loads(beside.read_text(encoding="utf-8")):
            workload, unit, rounds = row["workload"], row["unit"], row["rounds"]
            medians = {peer: statistics.median(figures) for peer, figures in rounds.items()}
            lines[workload] = line(workload, unit, medians, verdict(workload, unit, rounds))
    return [lines[workload] for workload in sorted(lines)]


def failed_workloads(beside: Path) -> list[str]:
    """Those with a target that does not hold."""
    rows = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else []
    return [row["workload"] for row in rows if "**no**" in verdict(row["workload"], row["unit"], row["rounds"])]


def compared_with(workload: str) -> str:
    """The peer that a target of a workload is about."""
    return BOUNDS[workload][0]


def line(workload: str, unit: str, peers: dict[str, float], verdict: str) -> Line:
    own = "; ".join(f"{peer} {figure:,.4g}" for peer, figure in peers.items() if peer in OWN)
    others = "; ".join(f"{peer} {figure:,.4g}" for peer, figure in peers.items() if peer not in OWN)
    return [workload, unit, own, others, verdict]


def verdict(workload: str, unit: str, rounds: dict[str, list[float]]) -> str:
    """As words, by the column of Pinyon whose median of the rounds' ratios is better; empty where there is no target."""
    against, bound = BOUNDS.get(workload, ("", 0.0))
    if against not in rounds:
        return ""
    ratios = [
        [own / other for own, other in zip(rounds[peer], rounds[against], strict=True)]
        for peer in OWN
        if peer in rounds
    ]
    if unit == "ns":
        best = min(ratios, key=statistics.median)
        words, holds = f"at most {bound:g}× {against}'s time", statistics.median(best) <= bound
    else:
        best = max(ratios, key=statistics.median)
        words, holds = f"at least {bound:g}× {against}", statistics.median(best) >= bound
    low, middle, high = statistics.quantiles(best, n=4)
    return f"{words}: {'yes' if holds else '**no**'}, {middle:.3g} ({low:.3g} - {high:.3g})"


def hit_ratio_table(path: Path) -> dict[str, Any] | None:
    """Heads and lines, in hits of a hundred; None without the file."""
    if not path.exists():
        return None
    rows = json.loads(path.read_text(encoding="utf-8"))
    peers = list(rows[0]["ratios"])
    return {
        "heads": ["trace", *peers],
        "lines": [[row["trace"], *(f"{100 * row['ratios'][peer]:.1f}" for peer in peers)] for row in rows],
    }
