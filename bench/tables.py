"""Results as tables: for the terminal, and as cells for the page of the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table as Grid

from bench.results import Row, Table
from bench.targets import Verdict, verdicts, verdicts_of


def figure(value: float) -> str:
    """Three digits, or all that stand before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.01 or not value else f"{value:.2g}"


def cell(row: Row, peer: str) -> str:
    """The median, and how far a round was from it; empty if there is none."""
    if peer not in row.values:
        return ""
    return f"{figure(row.median(peer))} ±{100 * row.spread(peer):.0f}%"


def ratio_cell(table: Table, row: Row) -> str:
    """How many times better than the best incumbent, with the lowest and highest round, and who that is."""
    found = table.ratio(row)
    if found is None:
        return ""
    best, ratios = found
    words = f"{figure(statistics.median(ratios))}×"
    if len(ratios) > 1:
        words += f" ({figure(min(ratios))} - {figure(max(ratios))})"
    return f"{words} {best}" if len(table.incumbents()) > 1 else words


def heads(table: Table) -> list[str]:
    return ["", *table.peers, "Pinyon / best", "target: holds, figure"]


def lines(table: Table, every: list[Verdict]) -> Iterator[list[str]]:
    """The cells of each row, the words of its targets at the end."""
    unit = table.rows[0].case.unit if table.rows else ""
    one_unit = all(row.case.unit == unit for row in table.rows)
    for row in table.rows:
        title = row.case.title if one_unit else f"{row.case.title}, {row.case.unit}"
        cells = [cell(row, peer) for peer in table.peers]
        words = "; ".join(found.words() for found in verdicts_of(table, row, every))
        yield [title, *cells, ratio_cell(table, row), words]


def unit_of(table: Table) -> str:
    """The unit of all its figures; empty if they differ."""
    units = {row.case.unit for row in table.rows}
    return units.pop() if len(units) == 1 else ""


def show(table: Table, every: list[Table], console: Console) -> None:
    """Print one table; `every`: all that were measured so far, which a target may look at."""
    title = f"{table.title} ({unit_of(table)})" if unit_of(table) else table.title
    grid = Grid(title=title, title_justify="left", show_lines=False)
    for number, head in enumerate(heads(table)):
        grid.add_column(head, justify="left" if number in (0, len(table.peers) + 2) else "right", overflow="fold")
    for cells in lines(table, verdicts(every)):
        grid.add_row(*cells)
    console.print(grid)


def show_targets(tables: list[Table], console: Console) -> None:
    """All targets in one table."""
    titles = {(table.id, row.case.id): f"{table.title}: {row.case.title}" for table in tables for row in table.rows}
    grid = Grid(title="Targets", title_justify="left")
    for head in "what", "target", "figure", "holds":
        grid.add_column(head, justify="right" if head == "figure" else "left", overflow="fold")
    for found in verdicts(tables):
        target = found.target
        style = "green" if found.holds else "bold red"
        holds = f"[{style}]{'yes' if found.holds else 'NO'}[/]"
        grid.add_row(titles[target.section, target.case], target.words(), f"{found.figure:.3g}", holds)
    console.print(grid)
