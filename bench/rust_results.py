"""What `make bench-rust` measured: the crate beside its peers, as lines of tables."""

from __future__ import annotations

import json
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


def rust_lines(path: Path) -> list[list[str]]:
    """Workload, unit, Pinyon's figures, the peers', and what became of the target; nothing without the file."""
    if not path.exists():
        return []
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for row in json.loads(path.read_text(encoding="utf-8")):
        figures.setdefault((row["workload"], row["unit"]), {})[row["peer"]] = row["median"]
    return [
        [
            workload,
            unit,
            "; ".join(f"{peer} {figure:,.4g}" for peer, figure in peers.items() if peer in OWN),
            "; ".join(f"{peer} {figure:,.4g}" for peer, figure in peers.items() if peer not in OWN),
            verdict(workload, unit, peers),
        ]
        for (workload, unit), peers in figures.items()
    ]


def verdict(workload: str, unit: str, peers: dict[str, float]) -> str:
    """As words; empty where there is no target."""
    against, bound = BOUNDS.get(workload, ("", 0.0))
    own = [peers[peer] for peer in OWN if peer in peers]
    if against not in peers or not own:
        return ""
    if unit == "ns":
        share = min(own) / peers[against]
        return f"at most {bound:g}× {against}'s time: {'yes' if share <= bound else '**no**'}, {share:.3g}"
    times = max(own) / peers[against]
    return f"at least {bound:g}× {against}: {'yes' if times >= bound else '**no**'}, {times:.3g}"


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
