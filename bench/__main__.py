"""Pinyon beside every incumbent, on the same work in the same run.

    python -m bench [--quick] [--only GROUP...] [--rounds N] [--json DIRECTORY]

Needs bench/requirements.txt, a release build of pinyon, redis-server, memcached and rustc; a peer that is not installed is
listed as missing. Writes one JSON file and one picture for each group into bench/results, and renders docs/performance.md from
all that lie there; a quick run, or one with --json, leaves both alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import machine, performance_page, plots
from bench.pages import PageMeasurement, PageSection, page_sections, section_peers
from bench.peers import PEERS, Peer, peers_of
from bench.results import Report, Table
from bench.scale import FULL, QUICK, SMOKE, Scale
from bench.sections import GROUPS, Section, all_sections
from bench.stores import Stores
from bench.tables import show, show_targets
from bench.turns import Measurement, built_socket_program

HERE = Path(__file__).resolve().parent
QUICK_RESULTS = HERE.parent / "target" / "bench-quick"


def options_of(arguments: list[str] | None) -> tuple[argparse.Namespace, Scale]:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer and shorter turns: less than five minutes")
    size.add_argument("--smoke", action="store_true", help="one turn of a millisecond: shows that it works")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--rounds", type=int, help="turns of every peer (9, pages 5; quick 5 and 2)")
    parser.add_argument("--json", type=Path, help="write results there, and render no page")
    found = parser.parse_args(arguments)
    scale = SMOKE if found.smoke else QUICK if found.quick else FULL
    if found.rounds:
        scale = dataclasses.replace(scale, rounds=max(1, found.rounds), page_rounds=max(1, found.rounds))
    return found, scale


def missing_peers() -> list[Peer]:
    """Peers that are not installed, each once."""
    every = [peer for peers in PEERS.values() for peer in peers]
    return [peer for number, peer in enumerate(every) if peer.is_missing and peer not in every[:number]]


def turns_of(section: Section | PageSection, scale: Scale) -> int:
    """How many turns a section has, for the progress bar."""
    if isinstance(section, PageSection):
        return scale.page_rounds * sum(not peer.is_missing for peer in section_peers(section))
    peers = sum(not peer.is_missing for peer in peers_of(section.kind, section.work))
    return scale.rounds * peers * len(section.cases)


def measured(
    sections: list[Section | PageSection], scale: Scale, console: Console, report_of: dict[str, Report]
) -> None:
    """Measure all of these into the reports, and show each table when it is there."""
    every: list[Table] = []
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    with (
        Stores() as stores,
        Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar,
    ):
        task = bar.add_task("", total=sum(turns_of(section, scale) for section in sections))
        done = 0

        def advance(what: str) -> None:
            bar.update(task, advance=1, description=what)

        turns = Measurement(stores, scale, built_socket_program(stores.directory), advance)
        pages = PageMeasurement(stores, scale, advance)
        for section in sections:
            measurement: Any = pages if isinstance(section, PageSection) else turns
            table = measurement.table(section)
            # A case that a peer cannot do has no turns.
            done += turns_of(section, scale)
            bar.update(task, completed=done)
            report = report_of[table.group]
            report.tables.append(table)
            report.notes += measurement.notes
            measurement.notes.clear()
            every.append(table)
            show(table, every, bar.console)
    show_targets(every, console)


def main(arguments: list[str] | None = None) -> None:
    options, scale = options_of(arguments)
    # As with Ctrl-C, the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    # A peer may open a connection for each request; the limit is inherited by all that is started here.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    console = Console(width=None if os.isatty(1) else 200)
    facts = {**machine.facts(), "scale": dataclasses.asdict(scale)}
    missing = [peer.name for peer in missing_peers()]
    for name in missing:
        console.print(f"{name}: missing, not installed")
    reports = {group: Report(group, facts, missing=missing) for group in GROUPS if group in options.only}
    sections: list[Section | PageSection] = [*all_sections(scale)]
    sections = [section for section in sections if isinstance(section, Section) and section.group in reports]
    if "pages" in reports:
        sections += page_sections(scale)
    measured(sections, scale, console, reports)
    is_real = scale.name == "full" and options.json is None
    directory = options.json or (performance_page.RESULTS if is_real else QUICK_RESULTS)
    for report in reports.values():
        for note in report.notes:
            console.print(f"[red]{note}[/]")
        report.write(directory)
        plots.draw(report, directory)
    console.print(f"Written to {os.path.relpath(directory)}")
    if is_real:
        performance_page.write()
        console.print(f"Rendered {os.path.relpath(performance_page.PAGE)}")


if __name__ == "__main__":
    main()
