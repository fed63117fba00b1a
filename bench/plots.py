"""One picture a group: every peer as a point, in multiples of the best incumbent."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same figures make the same file.
matplotlib.rcParams["svg.hashsalt"] = "pinyon"
matplotlib.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from bench.peers import PINYON  # noqa: E402
from bench.results import Report, Row, Table  # noqa: E402

COLOURS = {"pinyon": "#2a7f3f", "variant": "#7fbf8f", "incumbent": "#c0562b", "library": "#7a6ba8", "floor": "#808080"}
MARKERS = "osD^vP*X"


def draw(report: Report, directory: Path) -> Path | None:
    """Write the picture of a group; None if no table of it has an incumbent to compare with."""
    tables = [table for table in report.tables if any(table.ratio(row) for row in table.rows)]
    if not tables:
        return None
    heights = [len(table.rows) + 2 for table in tables]
    figure, axes = pyplot.subplots(
        len(tables), 1, figsize=(9, 0.32 * sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for table, axis in zip(tables, axes[:, 0], strict=True):
        draw_table(table, axis)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{report.group}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def draw_table(table: Table, axis: Axes) -> None:
    """Its cases from top to bottom; right of 1 is better than the best incumbent."""
    rows = [row for row in table.rows if table.ratio(row)]
    for number, (peer, role) in enumerate(table.peers.items()):
        points = [(multiple(table, row, peer), place) for place, row in enumerate(rows) if peer in row.values]
        points = [(times, place) for times, place in points if times > 0]
        size = 52 if peer == PINYON else 24
        marker = MARKERS[number % len(MARKERS)]
        axis.scatter(
            [times for times, _ in points],
            [place for _, place in points],
            s=size,
            color=COLOURS[role],
            marker=marker,
            label=peer,
            zorder=3 if peer == PINYON else 2,
        )
    axis.axvline(1, color="#b0b0b0", linewidth=1)
    axis.set_xscale("log")
    axis.set_yticks(range(len(rows)), [row.case.title for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x", which="both", alpha=0.2)
    axis.set_title(f"{table.title}: times the best incumbent", loc="left", fontsize=10)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)


def multiple(table: Table, row: Row, peer: str) -> float:
    """How many times better than the best incumbent."""
    best = row.best(table.incumbents())
    assert best is not None
    return statistics.median(row.times_better(peer, best))
