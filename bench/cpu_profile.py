"""Where the time of what does not hold goes: Linux's perf looks at all processors while one peer works.

    python -m bench.cpu_profile [RESULTS]

For every target that bench/results says does not hold, each of Pinyon, the peer that it is compared with and the floor works for some
seconds alone; for the rows of the Rust crate, each peer does. The samples are told apart by the process and the library in which they
were taken, and written to profiles.json beside the results. Needs perf (in Debian: linux-perf), and the right to look at the kernel.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench import performance_page
from bench.pages import CASES as PAGE_CASES
from bench.pages import PageMeasurement, PageSection, page_sections, section_peers
from bench.peers import NO_CACHE, PINYON, SOCKET, peers_of
from bench.performance_page import RESULTS, reports_in
from bench.results import Table
from bench.rust_results import compared_with, failed_workloads
from bench.scale import FULL
from bench.sections import Section, all_sections
from bench.stores import ROOT, Stores
from bench.targets import BEST, verdicts
from bench.turns import Crew, built_socket_program, command_of

SECONDS = 3.0
#: Longer than in the bench: what a worker does between two turns is not told apart.
SCALE = dataclasses.replace(FULL, turn_ms=200)
#: Samples a second and processor; prime, so that it does not beat with anything.
FREQUENCY = 1_997
#: The targets that are about somebody else's time.
COMPARED = ("times", "share", "added")
#: How much of a Rust program's time is told by function.
FUNCTIONS = 6
#: The parts of a client's time by the library that it is spent in; what is not here belongs to the peer.
INTERPRETER = (
    "python",
    "libpython",
    "_asyncio",
    "select.",
    "uvloop",
    "loop.cpython",
    "math.",
    "zlib.",
    "_json.",
    "_struct.",
)
WEB_SERVER = ("_granian", "parser.cpython", "url_parser.cpython")
C_LIBRARY = ("libc.", "libc-", "ld-linux", "libm.", "libpthread", "[vdso]", "[vsyscall]")


@dataclasses.dataclass(frozen=True)
class Sample:
    process: int
    command: str
    #: The file name of the library, or ``[kernel.kallsyms]``.
    library: str
    function: str


#: What `perf script -F comm,pid,tid,ip,sym,dso` prints: ``redis-server 77/79  7f1d2c3b call (/usr/bin/redis-server)``.
LINE = re.compile(r"\s*(?P<command>.+?)\s+(?P<process>\d+)/\d+\s+[0-9a-f]+ (?P<function>.*) \((?P<library>.*)\)")


def read(text: str) -> list[Sample]:
    """The samples in what perf prints; a line each."""
    found = (LINE.fullmatch(line) for line in text.splitlines())
    return [
        Sample(int(line["process"]), line["command"], line["library"].rpartition("/")[2], line["function"])
        for line in found
        if line
    ]


def part_of(sample: Sample, clients: set[int], servers: set[int]) -> str:
    """Whose time a sample is."""
    if sample.process == 0:
        return "idle"
    if sample.process in servers:
        return "server"
    if sample.process not in clients:
        return "others"
    if sample.library.startswith("[kernel") or sample.library.startswith("[guest.kernel"):
        return "kernel"
    if sample.library.startswith(C_LIBRARY):
        return "C library"
    if sample.library.startswith(INTERPRETER):
        return "interpreter"
    if sample.library.startswith(WEB_SERVER):
        return "web server"
    return "client"


def shares(samples: list[Sample], clients: set[int], servers: set[int]) -> dict[str, float]:
    """Parts of the time of all processors; together 1."""
    parts: Counter[str] = Counter()
    for sample in samples:
        parts[part_of(sample, clients, servers)] += 1
    total = parts.total() or 1
    return {name: count / total for name, count in parts.most_common()}


def functions(samples: list[Sample]) -> list[tuple[str, float]]:
    """Where the time of a program goes, the most of it first; what the kernel does for it is one part."""
    counts: Counter[str] = Counter()
    for sample in samples:
        counts["the kernel" if sample.library.startswith("[kernel") else sample.function or "?"] += 1
    total = counts.total() or 1
    return [(name, count / total) for name, count in counts.most_common(FUNCTIONS)]


@contextmanager
def watched(directory: Path, found: list[Sample]) -> Iterator[None]:
    """Samples of all processors meanwhile."""
    data = directory / "perf.data"
    record = ["perf", "record", "-q", "-a", "-F", str(FREQUENCY), "-o", str(data)]
    perf = subprocess.Popen(record, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    # It says nothing when it has begun.
    time.sleep(0.3)
    try:
        yield
    finally:
        perf.send_signal(signal.SIGINT)
        _, complaint = perf.communicate(timeout=60)
    script = ["perf", "script", "-i", str(data), "-F", "comm,pid,tid,ip,sym,dso"]
    done = subprocess.run(script, capture_output=True, text=True, errors="replace", check=False)
    found += read(done.stdout)
    if not found:
        raise SystemExit(f"perf took no sample: {complaint}{done.stderr}")


def cases_to_look_at(tables: list[Table]) -> dict[tuple[str, str], set[str]]:
    """Section and case of every target that does not hold, with the peers that it is about."""
    found: dict[tuple[str, str], set[str]] = {}
    by_id = {table.id: table for table in tables}
    pages = {section.id for section in page_sections(FULL)}
    for target in (verdict.target for verdict in verdicts(tables) if not verdict.holds):
        table = by_id[target.section]
        row = table.row(target.case)
        if row is None or target.kind not in COMPARED:
            continue
        best = row.best(table.incumbents())
        names = {PINYON, best if target.against == BEST and best else target.against}
        names |= {floor.name for floor in (SOCKET, NO_CACHE) if floor.name in row.values}
        # A page is the same work whichever figure of it is looked at.
        case = "" if target.section in pages else target.case
        found.setdefault((target.section, case), set()).update(names)
    return found


class Profiler:
    def __init__(self, stores: Stores, tables: list[Table]) -> None:
        self.stores = stores
        self.tables = {table.id: table for table in tables}
        self.socket_program = built_socket_program(stores.directory)
        self.sections: dict[str, Section | PageSection] = {
            section.id: section for section in [*all_sections(FULL), *page_sections(FULL)]
        }

    def profiles(self) -> Iterator[dict[str, Any]]:
        """One of each peer of each case that has a target which does not hold."""
        for (section_id, case_id), names in cases_to_look_at(list(self.tables.values())).items():
            section = self.sections[section_id]
            measure = self.page if isinstance(section, PageSection) else self.case
            for name in (name for name in self.tables[section_id].peers if name in names):
                yield measure(section, case_id, name)

    def case(self, section: Any, case_id: str, name: str) -> dict[str, Any]:
        peer = next(peer for peer in peers_of(section.kind, section.work) if peer.name == name)
        case = next(case for case in section.cases if case.id == case_id)
        server = {"redis": self.stores.redis, "memcached": self.stores.memcached}.get(section.kind)
        command = command_of(section, peer, self.stores, SCALE, self.socket_program)
        with ExitStack() as stack:
            if section.pinned:
                stack.enter_context(self.stores.pinned(section.kind))
            crew = stack.enter_context(Crew(peer, command, section.processes, section.pinned))
            crew.wait_until_ready()
            crew.prepare(case)
            clients = {worker.process.pid for worker in crew.workers}
            servers = {server.process.pid} if server and server.process else set()
            figures: list[float] = []

            def work() -> None:
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    figures.append(crew.turn(case, len(figures)))

            parts = self.parts(work, clients, servers)
        figure = statistics.median(figures)
        microseconds = figure if case.unit == "µs" else 1e6 / figure
        return told(f"{section.title}: {case.title}", name, microseconds, "µs", parts)

    def page(self, section: Any, _: str, name: str) -> dict[str, Any]:
        peer = next(peer for peer in section_peers(section) if peer.name == name)
        measurement = PageMeasurement(self.stores, FULL, lambda _: None)
        figures: list[dict[str, float]] = []
        with measurement.site(section, peer) as site:
            site.check_page()
            site.load(SECONDS / 2)
            clients = {member.pid for member in site.family()}
            processes = [server.process for server in (self.stores.redis, self.stores.memcached) if server.process]
            parts = self.parts(
                lambda: figures.append(site.turn(SECONDS)), clients, {process.pid for process in processes}
            )
        milliseconds = 1e3 / figures[0][PAGE_CASES[0].id]
        return told(section.title, name, milliseconds, "ms", parts)

    def parts(self, work: Callable[[], None], clients: set[int], servers: set[int]) -> dict[str, float]:
        samples: list[Sample] = []
        with watched(self.stores.directory, samples):
            work()
        return shares(samples, clients, servers)


def told(title: str, peer: str, wall: float, unit: str, parts: dict[str, float]) -> dict[str, Any]:
    """`wall`: how long one operation, or one page, takes of the clock, with all that are under way counted together."""
    return {"title": title, "peer": peer, "wall": wall, "unit": unit, "parts": parts}


def rust_profiles(workloads: list[str]) -> Iterator[dict[str, Any]]:
    """Of workloads of the benchmark `beside`: by function, and where a server takes part by process."""
    bench = ["cargo", "bench", "--quiet", "-p", "pinyon-bench", "--features", "peers", "--bench", "beside"]
    # Compiled before anything is looked at.
    subprocess.run([*bench, "--no-run"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as directory:
        for workload in workloads:
            own = "pinyon tinylfu" if workload.startswith("memory") else "pinyon"
            for peer in (own, compared_with(workload)):
                samples: list[Sample] = []
                with watched(Path(directory), samples):
                    subprocess.run(
                        [*bench, "--", "--only", workload, peer, str(SECONDS)],
                        cwd=ROOT,
                        check=True,
                        stdout=subprocess.DEVNULL,
                    )
                programs = {sample.process for sample in samples if sample.command.startswith(("beside", "tokio"))}
                servers = {sample.process for sample in samples if sample.command.startswith("redis-server")}
                yield {
                    "title": workload,
                    "peer": peer,
                    "parts": shares(samples, programs, servers),
                    "functions": functions([sample for sample in samples if sample.process in programs]),
                }


def write(results: Path = RESULTS) -> None:
    if shutil.which("perf") is None:
        sys.exit("There is no perf here: install linux-perf, or what your system calls it.")
    tables = [table for report in reports_in(results) for table in report.tables]
    with Stores() as stores:
        cases = []
        for profile in Profiler(stores, tables).profiles():
            print(f"{profile['title']}: {profile['peer']}", flush=True)
            cases.append(profile)
    rust = []
    for profile in rust_profiles(failed_workloads(results / "rust-beside.json")):
        print(f"{profile['title']}: {profile['peer']}", flush=True)
        rust.append(profile)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    found = {"date": date, "processors": os.cpu_count(), "cases": cases, "rust": rust}
    path = results / "profiles.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if results == RESULTS:
        performance_page.write()


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
