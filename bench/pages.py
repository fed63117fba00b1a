"""A page with six cache operations, served over HTTP: Pinyon beside its peers, and beside no cache at all.

Every peer has a server process (one worker) of its own that runs for the whole section; http_load.py asks one after the other
from a process of its own over loopback. Each begins with a check that the page is right. Of connections, threads and memory
the most that was seen counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import psutil

from bench.peers import NO_CACHE, Peer, peers_of
from bench.results import Row, Table
from bench.scale import Scale
from bench.sections import TITLES, Case
from bench.stores import HOST, ROOT, Stores, free_port, wait_until
from bench.turns import PeerError, in_turn

SITE_PATH = [ROOT, ROOT / "examples" / "bookshop"]
sys.path += [str(folder) for folder in SITE_PATH if str(folder) not in sys.path]
from bench.site import shelves  # noqa: E402

ASGI, WSGI = "bench.site.asgi:application", "bench.site.wsgi:application"
QUIET = ["--log-level", "warning"]
GRANIAN = ["granian", "--host", HOST, *QUIET, "--workers", "1", "--port", "{}"]
COMMANDS = {
    ("asgi", "granian"): [*GRANIAN, "--interface", "asginl", ASGI],
    ("asgi", "uvicorn"): [
        "uvicorn",
        "--host",
        HOST,
        *QUIET,
        "--no-access-log",
        "--lifespan",
        "off",
        "--port",
        "{}",
        ASGI,
    ],
    ("wsgi", "granian"): [*GRANIAN, "--interface", "wsgi", "--blocking-threads", "4", WSGI],
    ("wsgi", "gunicorn"): ["gunicorn", *QUIET, "--threads", "4", "--keep-alive", "60", "--bind", f"{HOST}:{{}}", WSGI],
}
MIB = 2**20
CASES = (
    Case("requests", "requests a second", "requests/s"),
    Case("cpu", "CPU of the server a request", "ms"),
    Case("median", "median time of a request", "ms"),
    Case("p99", "time of the slowest hundredth", "ms"),
    Case("connections", "connections to the cache", "connections"),
    Case("threads", "threads of the server", "threads"),
    Case("memory", "RSS of the server", "MiB"),
)


@dataclass(frozen=True)
class PageSection:
    """One kind of server, with the peers of one kind of store."""

    id: str
    title: str
    #: "asgi" or "wsgi".
    interface: str
    server: str
    kind: str
    #: How many connections ask at a time, each one request after the other.
    connections: int

    @property
    def path(self) -> str:
        return "/page/sync/{}/" if self.interface == "wsgi" else "/page/async/{}/"


def page_sections(scale: Scale) -> list[PageSection]:
    found = []
    for server in scale.asgi_servers:
        for kind in ("redis", "memcached"):
            title = f"A page with six operations under ASGI ({server}), {TITLES[kind]}"
            found.append(PageSection(f"asgi-{server}-{kind}", title, "asgi", server, kind, scale.page_connections))
    for server in scale.wsgi_servers:
        for kind in ("memory", "redis", "memcached"):
            title = f"A page with six operations under WSGI ({server}, four threads), {TITLES[kind]}"
            connections = min(16, scale.page_connections)
            found.append(PageSection(f"wsgi-{server}-{kind}", title, "wsgi", server, kind, connections))
    return found


class Site:
    """The server process of one peer."""

    def __init__(self, section: PageSection, peer: Peer, entry: dict[str, Any] | None, cache_port: int) -> None:
        self.section = section
        self.peer = peer
        self.cache_port = cache_port
        self.port = free_port()
        path = os.pathsep.join([*map(str, SITE_PATH), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": path, "BENCH_CACHE": json.dumps(entry)}
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)

    def __enter__(self) -> Site:
        command = [word.format(self.port) for word in COMMANDS[self.section.interface, self.section.server]]
        self.process = psutil.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family = self.family()
        if self.process.poll() is None:
            self.process.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for left in alive:
            left.kill()
        self.process.wait()
        self.log.close()

    def family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)] if self.process.poll() is None else []

    def ask(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=30) as response:
                return json.load(response)
        except OSError as error:
            self.log.seek(0)
            lines = self.log.read().decode(errors="replace").strip().splitlines()
            raise PeerError(f"{error}: {lines[-1] if lines else 'no message'}") from error

    def listens(self) -> bool:
        if self.process.poll() is not None:
            return True
        return any(
            connection.status == psutil.CONN_LISTEN
            for member in self.family()
            for connection in member.net_connections("tcp")
        )

    def check_page(self) -> None:
        """Fill the cache, ask for two visitors' pages twice each, and compare every value on them."""
        wait_until(self.listens, f"{self.section.server} to listen", patience=60)
        self.ask("/fill/")
        for visits in (1, 2):
            for visitor in (3, 98):
                found = self.ask(self.section.path.format(visitor))
                expected = shelves.expected(visitor, 0 if self.peer is NO_CACHE else visits)
                if found != expected:
                    raise PeerError(f"the page is {found!r:.200}, not {expected!r:.200}")

    def load(self, seconds: float) -> dict[str, float]:
        command = [sys.executable, "-m", "bench.http_load", str(self.port), self.section.path]
        command += ["--connections", str(self.section.connections), "--seconds", str(seconds)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    def turn(self, seconds: float) -> dict[str, float]:
        """The figure of every case."""
        with Watch(self) as watch:
            result = self.load(seconds)
        if not result["requests"] or result["errors"]:
            raise PeerError(f"{result['requests']:,} requests were answered, {result['errors']:,} failed")
        return {
            "requests": result["requests"] / result["seconds"],
            "cpu": watch.worked * 1000 / result["requests"],
            "median": result["median_ms"],
            "p99": result["p99_ms"],
            "connections": watch.connections,
            "threads": watch.threads,
            "memory": watch.memory / MIB,
        }


class Watch:
    """Looks at the server process and its children, twice a second: more would be felt."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.members = site.family()
        self.threads = self.memory = self.connections = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.done.wait(0.25):
            self.look()
            self.done.wait(0.25)

    def look(self) -> None:
        self.threads = max(self.threads, sum(member.num_threads() for member in self.members))
        self.memory = max(self.memory, sum(member.memory_info().rss for member in self.members))
        self.connections = max(self.connections, sum(self.connections_of(member) for member in self.members))

    def connections_of(self, member: psutil.Process) -> int:
        return sum(
            bool(connection.raddr) and connection.raddr.port == self.site.cache_port
            for connection in member.net_connections("tcp")
        )

    def seconds(self) -> float:
        """How long the processors worked for the process so far."""
        times = [member.cpu_times() for member in self.members]
        return float(sum(time.user + time.system for time in times))

    def __enter__(self) -> Watch:
        self.worked = self.seconds()
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.worked = self.seconds() - self.worked
        self.done.set()
        self.thread.join()
        self.look()


class PageMeasurement:
    """Measures page sections, as turns.Measurement does the others."""

    def __init__(self, stores: Stores, scale: Scale, advance: Callable[[str], None]) -> None:
        self.stores = stores
        self.scale = scale
        self.advance = advance
        self.notes: list[str] = []

    def table(self, section: PageSection) -> Table:
        peers = [peer for peer in section_peers(section) if not peer.is_missing]
        self.stores.empty(section.kind)
        table = Table(section.id, "pages", section.title, {peer.name: peer.role for peer in peers})
        figures: dict[str, list[dict[str, float]]] = {}
        with ExitStack() as stack:
            sites = [stack.enter_context(self.site(section, peer)) for peer in peers]
            sites = [site for site in sites if self.succeeds(site, "start", site.check_page)]
            for site in sites:
                figures[site.peer.name] = []
                # What is made once, threads and connections among it, is made before anything is timed.
                self.succeeds(site, "warm-up", partial(site.load, self.scale.page_seconds / 2))
            for number in range(self.scale.page_rounds):
                for site in in_turn(sites, number):
                    if site.peer.name in figures:
                        self.take_turn(site, figures)
                    self.advance(section.title)
            # All at once: each takes a moment to end.
            for site in sites:
                site.process.terminate()
        for case in CASES:
            table.rows.append(Row(case, {peer: [turn[case.id] for turn in found] for peer, found in figures.items()}))
        return table

    def take_turn(self, site: Site, figures: dict[str, list[dict[str, float]]]) -> None:
        def turn() -> None:
            figures[site.peer.name].append(site.turn(self.scale.page_seconds))

        if not self.succeeds(site, "load", turn):
            # Ratios need every round.
            del figures[site.peer.name]

    def site(self, section: PageSection, peer: Peer) -> Site:
        entry = None
        if peer is not NO_CACHE:
            entry = self.stores.settings(section.kind, peer, files=0, entries=1_000_000)["CACHES"]["default"]
        return Site(section, peer, entry, self.stores.port(section.kind))

    def succeeds(self, site: Site, what: str, step: Callable[[], Any]) -> bool:
        """Whether a step was done. A failure of an incumbent is noted, and one of Pinyon ends the run."""
        try:
            step()
        except PeerError as error:
            note = f"{site.section.title}, {what}: {site.peer.name}: {error}"
            if site.peer.role != "incumbent":
                raise SystemExit(note) from error
            self.notes.append(note)
            return False
        return True


def section_peers(section: PageSection) -> list[Peer]:
    """All of a table, installed or not; no cache comes first."""
    return [NO_CACHE, *peers_of(section.kind, "page")]
