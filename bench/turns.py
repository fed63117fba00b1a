"""The processes of the peers, and whose turn it is."""

from __future__ import annotations

import json
import os
import pickle
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import processors
from bench.peers import SOCKET, Peer, peers_of
from bench.results import Row, Table
from bench.scale import Scale
from bench.sections import UNITS, Case, Section
from bench.stores import ROOT, Stores
from bench.values import VALUES

#: Seconds after which a process is taken for stuck.
PATIENCE = 300


class PeerError(Exception):
    """A peer gave a wrong answer, or its process ended."""


class Worker:
    """One process, which waits on its standard input."""

    def __init__(self, command: list[str]) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in stop)
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1
        )

    def say(self, line: str) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(line + "\n")
        except BrokenPipeError:
            raise self.ended() from None

    def hear(self) -> str:
        assert self.process.stdout
        # One line is one answer, so none waits in the buffer.
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            self.process.kill()
            raise PeerError(f"no answer for {PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            raise self.ended()
        return line.strip()

    def hear_ready(self) -> None:
        if (answer := self.hear()) != "ready":
            raise PeerError(f"said {answer!r}")

    def ended(self) -> PeerError:
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return PeerError(lines[-1] if lines else f"ended with {self.process.wait()}")

    def stop(self) -> None:
        assert self.process.stdin and self.process.stdout
        # What waits for standard input ends by itself; what hangs does not.
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Crew:
    """The processes of one peer, which take each turn together; nearly always there is one."""

    def __init__(self, peer: Peer, command: list[str], processes: int = 1, pinned: bool = False) -> None:
        self.peer = peer
        self.command = command
        self.size = processes
        self.pinned = pinned
        self.workers: list[Worker] = []

    def __enter__(self) -> Crew:
        self.workers = [self.worker()]
        return self

    def worker(self) -> Worker:
        worker = Worker(self.command)
        if self.pinned:
            processors.pin(worker.process.pid)
        return worker

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.stop()

    def wait_until_ready(self) -> None:
        self.workers[0].hear_ready()
        # The first one has made what there is to make, such as a table.
        self.workers += [self.worker() for _ in range(self.size - 1)]
        for worker in self.workers[1:]:
            worker.hear_ready()

    def prepare(self, case: Case) -> bool:
        """Check and warm up; False: there is no such operation."""
        for worker in self.workers:
            worker.say(f"prepare {case.id}")
        answers = [worker.hear().partition(" ") for worker in self.workers]
        for answer, _, why in answers:
            if answer == "wrong":
                raise PeerError(why)
        return all(answer != "unsupported" for answer, _, _ in answers)

    def turn(self, case: Case, number: int) -> float:
        """The figure of one turn, in the unit of the case."""
        for worker in self.workers:
            worker.say(f"turn {number} {case.id}")
        answers = [worker.hear().split() for worker in self.workers]
        # Of several processes the speeds are added: 1 / (1/a + 1/b).
        speed = sum(float(amount) / float(total) if float(total) else float("inf") for amount, total in answers)
        return float(UNITS[case.unit][0](1 / speed if speed else 0.0))


def command_of(section: Section, peer: Peer, stores: Stores, scale: Scale, socket_program: Path) -> list[str]:
    if peer is SOCKET:
        sizes = [f"{name}={stored_size(value)}" for name, value in VALUES.items()]
        return [str(socket_program), section.kind, str(stores.port(section.kind)), str(scale.turn_ms * 1e6), *sizes]
    options = {"turn_ms": scale.turn_ms, "entries": scale.entries, "lookups": scale.lookups, **section.options}
    files = scale.files if section.files is None else section.files
    settings = stores.settings(section.kind, peer, files, section.entries)
    spec = {"work": section.work, "options": options, "settings": settings}
    return [sys.executable, "-m", "bench.worker", json.dumps(spec)]


def stored_size(value: Any) -> int:
    return len(pickle.dumps(value, 5))


def built_socket_program(directory: Path) -> Path:
    """The floor of every client, compiled."""
    program = directory / "bare_socket"
    source = Path(__file__).with_name("bare_socket.rs")
    compiler = os.environ.get("RUSTC", "rustc")
    subprocess.run([compiler, "--edition", "2024", "-O", "-o", program, source], check=True)
    return program


def in_turn(peers: list[Any], number: int) -> list[Any]:
    """The same peers, another one first in each round."""
    first = number % max(1, len(peers))
    return peers[first:] + peers[:first]


class Measurement:
    """Measures sections. `advance(what)` is called after every turn; `notes` collects who failed."""

    def __init__(self, stores: Stores, scale: Scale, socket_program: Path, advance: Callable[[str], None]) -> None:
        self.stores = stores
        self.scale = scale
        self.socket_program = socket_program
        self.advance = advance
        self.notes: list[str] = []

    def table(self, section: Section) -> Table:
        peers = [peer for peer in peers_of(section.kind, section.work) if not peer.is_missing]
        self.stores.empty(section.kind)
        table = Table(section.id, section.group, section.title, {peer.name: peer.role for peer in peers})
        crews = [self.crew(section, peer) for peer in peers]
        if section.fresh:
            table.rows = [self.fresh_row(section, case, crews) for case in section.cases]
            return table
        with ExitStack() as stack:
            if section.pinned:
                stack.enter_context(self.stores.pinned(section.kind))
            for crew in crews:
                stack.enter_context(crew)
            crews = [crew for crew in crews if self.succeeds(section, crew, "start", crew.wait_until_ready)]
            table.rows = [self.row(section, case, crews) for case in section.cases]
        return table

    def crew(self, section: Section, peer: Peer) -> Crew:
        command = command_of(section, peer, self.stores, self.scale, self.socket_program)
        return Crew(peer, command, section.processes, section.pinned)

    def row(self, section: Section, case: Case, crews: list[Crew]) -> Row:
        """One case: everybody is checked, and then takes a turn in every round."""
        able = [crew for crew in crews if self.succeeds(section, crew, case.title, partial(crew.prepare, case))]
        row = Row(case, {crew.peer.name: [] for crew in crews if crew in able})
        for number in range(self.scale.rounds):
            for crew in in_turn(able, number):
                if crew.peer.name in row.values:
                    self.take_turn(section, row, crew, number)
                self.advance(f"{section.title}: {case.title}")
        return row

    def fresh_row(self, section: Section, case: Case, crews: list[Crew]) -> Row:
        row = Row(case, {crew.peer.name: [] for crew in crews})
        for number in range(self.scale.rounds):
            for crew in in_turn(crews, number):
                if crew.peer.name in row.values:
                    with crew:
                        self.take_turn(section, row, crew, number)
                self.advance(f"{section.title}: {case.title}")
        return row

    def take_turn(self, section: Section, row: Row, crew: Crew, number: int) -> None:
        def turn() -> None:
            if section.fresh:
                crew.wait_until_ready()
                crew.prepare(row.case)
            row.values[crew.peer.name].append(crew.turn(row.case, number))

        if not self.succeeds(section, crew, row.case.title, turn):
            # Ratios need every round.
            del row.values[crew.peer.name]

    def succeeds(self, section: Section, crew: Crew, what: str, step: Callable[[], Any]) -> bool:
        """Whether a step was done. A failure of an incumbent is noted, and one of Pinyon or of a floor ends the run."""
        try:
            return step() is not False
        except PeerError as error:
            note = f"{section.title}, {what}: {crew.peer.name}: {error}"
            if crew.peer.role in ("pinyon", "floor"):
                raise SystemExit(note) from error
            self.notes.append(note)
            return False
