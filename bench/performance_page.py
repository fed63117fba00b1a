"""Renders docs/performance.md from the results that lie in bench/results: ``python -m bench.performance_page [RESULTS PAGE]``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from django.template import Context, Engine

from bench.profile_tables import function_lines, part_table
from bench.results import Report, Table, read
from bench.rust_results import hit_ratio_table, rust_lines
from bench.sections import GROUPS
from bench.tables import heads, lines, unit_of
from bench.targets import verdicts

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "performance.md"
TEMPLATE = HERE / "performance.md.template"


def rendered(reports: list[Report], results: Path = RESULTS) -> str:
    """The page as Markdown. `results`: where the Rust half's lie."""
    tables = [table for report in reports for table in report.tables]
    every = verdicts(tables)
    titles = {(table.id, row.case.id): f"{table.title}: {row.case.title}" for table in tables for row in table.rows}
    context: dict[str, Any] = {
        "runs": runs_of(reports),
        "groups": [
            {
                "group": report.group,
                "plot": any(table.ratio(row) for table in report.tables for row in table.rows),
                "tables": [markdown_table(table, every) for table in report.tables],
                "notes": report.notes,
            }
            for report in reports
        ],
        "targets": [
            {
                "what": titles[found.target.section, found.target.case],
                "target": found.target.words(),
                "figure": f"{found.figure:.3g}",
                "floor": found.floor,
                "holds": found.holds,
            }
            for found in every
        ],
        "profile": part_table(results / "profiles.json"),
        "functions": function_lines(results / "profiles.json"),
        "rust": rust_lines(results / "rust.json", results / "rust-beside.json"),
        "rust_hits": hit_ratio_table(results / "rust-hits.json"),
        "failed": str(sum(not found.holds for found in every)),
        "measured": str(len(every)),
    }
    text = Engine().from_string(TEMPLATE.read_text(encoding="utf-8")).render(Context(context, autoescape=False))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def runs_of(reports: list[Report]) -> list[dict[str, Any]]:
    """What is to be said of each run; mostly all groups are of one."""
    distinct: list[Report] = []
    for report in reports:
        if report.facts not in [other.facts for other in distinct]:
            distinct.append(report)
    return [
        {
            "groups": ", ".join(report.group for report in reports if report.facts == run.facts),
            # Only words: to write a number, the template engine would ask for a site's settings.
            "facts": {name: str(fact) for name, fact in run.facts.items()},
            "scale": run.facts["scale"]["name"],
            "rounds": str(run.facts["scale"]["rounds"]),
            "is_busy": run.facts["load"] > 0.5,
            "versions": ", ".join(f"{name} {version}" for name, version in run.facts["versions"].items()),
            "missing": ", ".join(run.missing),
        }
        for run in distinct
    ]


def markdown_table(table: Table, every: list[Any]) -> dict[str, Any]:
    unit = unit_of(table)
    return {
        "title": f"{table.title} ({unit})" if unit else table.title,
        "heads": heads(table),
        "lines": list(lines(table, every)),
    }


def reports_in(directory: Path) -> list[Report]:
    """Those that there are, in the order of the groups."""
    paths = [directory / f"{group}.json" for group in GROUPS]
    return [read(path) for path in paths if path.exists()]


def write(results: Path = RESULTS, page: Path = PAGE) -> None:
    reports = reports_in(results)
    if not reports:
        sys.exit(f"There is no result in {results}: run python -m bench first.")
    page.write_text(rendered(reports, results), encoding="utf-8")


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
