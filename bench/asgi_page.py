"""A page with six cache operations, served by uvicorn and by granian: Pinyon beside its peers, and beside no cache at all.

    python bench/asgi_page.py [--seconds 5] [--connections 300] [--rounds 5] [--quick] [--json PATH]

The site is the bookshop (asgi_site), in one worker process; http_load.py asks it from a process of its own over loopback.
Every turn is a new server process on an empty cache server, and begins with a check that the page is right. The peers take
turns in each round, and another one begins each time. Figures are medians over the rounds; connections, threads and memory
are the highest that were seen. Needs a release build of pinyon, redis-server, memcached, and requirements.txt; a peer that is
not installed is listed as missing.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TESTS = ROOT / "python" / "tests"
SITE_PATH = [HERE, ROOT / "examples" / "bookshop"]
for folder in (TESTS, *SITE_PATH):
    sys.path.append(str(folder))

from servers import HOST, MemcachedServer, RedisServer, free_port, wait_until  # noqa: E402

PACKAGES = [
    "Django",
    "asgiref",
    "django-redis",
    "django-vcache",
    "granian",
    "hiredis",
    "httptools",
    "pymemcache",
    "redis",
    "uvicorn",
    "uvloop",
]
MIB = 2**20


@dataclass(frozen=True)
class Peer:
    """A backend on a kind of server. `module` is what has to be installed."""

    name: str
    module: str
    kind: str | None = None
    backend: str | None = None
    options: tuple[tuple[str, Any], ...] = ()


# redis-py allows a pool 100 connections, and django-redis, which has one pool, fails the requests beyond.
POOL = (("CONNECTION_POOL_KWARGS", {"max_connections": 10_000}),)
PEERS = [
    Peer("no cache", "django"),
    Peer("Django RedisCache", "redis", "redis", "django.core.cache.backends.redis.RedisCache"),
    Peer("django-redis", "django_redis", "redis", "django_redis.cache.RedisCache", POOL),
    Peer("django-vcache", "django_vcache", "redis", "django_vcache.backend.ValkeyCache"),
    Peer("Pinyon RedisCache", "pinyon", "redis", "pinyon.django.RedisCache"),
    Peer("Django PyMemcacheCache", "pymemcache", "memcached", "django.core.cache.backends.memcached.PyMemcacheCache"),
    Peer("Pinyon MemcachedCache", "pinyon", "memcached", "pinyon.django.MemcachedCache"),
]
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "--host", HOST, "--log-level", "warning", "--no-access-log", "--lifespan", "off"],
    "granian": ["-m", "granian", "--host", HOST, "--interface", "asginl", "--workers", "1", "--log-level", "warning"],
}
APPLICATION = "asgi_site.asgi:application"


class Stores:
    """One redis-server and one memcached for all turns."""

    def __init__(self) -> None:
        self.redis, self.memcached = RedisServer("--maxclients", 20_000), MemcachedServer("-c", "20000")

    def __enter__(self) -> Stores:
        self.redis.start()
        self.memcached.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()
        self.memcached.close()

    def entry(self, peer: Peer) -> dict[str, Any] | None:
        """The peer's entry of CACHES, on an empty server."""
        if peer.kind == "redis":
            with self.redis.client() as client:
                client.flushall()
            return {"BACKEND": peer.backend, "LOCATION": f"{self.redis.url}/1", "OPTIONS": dict(peer.options)}
        if peer.kind == "memcached":
            self.memcached.flush()
            return {"BACKEND": peer.backend, "LOCATION": self.memcached.address}
        return None

    def connections(self, peer: Peer) -> int:
        return getattr(self, peer.kind).connections() if peer.kind else 0


@contextmanager
def serving(server: str, entry: dict[str, Any] | None) -> Iterator[tuple[psutil.Process, int]]:
    """The site in a new process: that, and its port."""
    port = free_port()
    path = os.pathsep.join([*map(str, SITE_PATH), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "ASGI_SITE_CACHE": json.dumps(entry)}
    command = [sys.executable, *COMMANDS[server], "--port", str(port), APPLICATION]
    with tempfile.TemporaryFile() as log:
        process = psutil.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def up() -> bool:
            if process.poll() is not None:
                log.seek(0)
                raise SystemExit(f"{server} ended:\n{log.read().decode()}")
            try:
                return bool(ask(port, "/fill/") == {})
            except ConnectionError:
                return False
            except OSError as error:
                log.seek(0)
                raise SystemExit(f"{server}: {error}\n{log.read().decode()}") from error

        try:
            wait_until(lambda: listens(process), f"{server} to listen", patience=60)
            wait_until(up, f"{server} to answer", patience=60)
            yield process, port
        finally:
            family = [*process.children(recursive=True), process]
            process.terminate()
            _, alive = psutil.wait_procs(family, timeout=10)
            for left in alive:
                left.kill()


def listens(process: psutil.Process) -> bool:
    return not process.is_running() or any(
        connection.status == psutil.CONN_LISTEN
        for member in [process, *process.children(recursive=True)]
        for connection in member.net_connections("tcp")
    )


def ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=30) as response:
        return json.load(response)


def check_page(port: int, peer: Peer) -> None:
    """Ask for two visitors' pages twice each, and compare every value on them."""
    for visits in (1, 2):
        for visitor in (3, 98):
            found = ask(port, f"/page/{visitor}/")
            expected = expected_page(visitor, visits) if peer.kind else expected_plain_page(visitor)
            if found != expected:
                raise SystemExit(f"{peer.name}: the page is wrong.\nexpected {expected}\ngot      {found}")


def expected_page(visitor: int, visits: int) -> dict[str, Any]:
    from asgi_site import views

    text = views.fragment(visitor)
    pks = [int(key.removeprefix("book-")) for key in views.shelf(visitor)]
    return {
        "visitor": visitor,
        "name": views.profile(visitor)["name"],
        "visits": visits,
        "titles": [views.book(pk)["title"] for pk in pks],
        "fragment": [len(text), hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()],
    }


def expected_plain_page(visitor: int) -> dict[str, Any]:
    from asgi_site import views

    return {"visitor": visitor, "titles": [views.book(pk)["title"] for pk in range(10)]}


class Watch:
    """Looks at the server process and its children, and at the cache server, ten times a second."""

    def __init__(self, process: psutil.Process, stores: Stores, peer: Peer) -> None:
        self.family = [process, *process.children(recursive=True)]
        self.stores = stores
        self.peer = peer
        self.threads = self.memory = self.connections = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while True:
            self.threads = max(self.threads, sum(member.num_threads() for member in self.family))
            self.memory = max(self.memory, sum(member.memory_info().rss for member in self.family))
            self.connections = max(self.connections, self.stores.connections(self.peer))
            if self.done.wait(0.1):
                return

    def seconds(self) -> float:
        """How long the processors worked for the process so far."""
        times = [member.cpu_times() for member in self.family]
        return sum(time.user + time.system for time in times)

    def __enter__(self) -> Watch:
        self.worked = self.seconds()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worked = self.seconds() - self.worked
        self.done.set()
        self.thread.join()


def turn(server: str, peer: Peer, stores: Stores, options: argparse.Namespace) -> dict[str, float]:
    with serving(server, stores.entry(peer)) as (process, port):
        check_page(port, peer)
        # What is made once, threads and connections among it, is made before anything is timed.
        load(port, options.connections, min(1.0, options.seconds / 2))
        with Watch(process, stores, peer) as watch:
            result = load(port, options.connections, options.seconds)
    if not result["requests"]:
        raise SystemExit(f"{peer.name} on {server}: no request was answered, {result['errors']:,} errors")
    return {
        "requests_per_second": result["requests"] / result["seconds"],
        "cpu_ms_per_request": watch.worked * 1000 / result["requests"],
        "median_ms": result["median_ms"],
        "p99_ms": result["p99_ms"],
        "errors": result["errors"],
        "connections": watch.connections,
        "threads": watch.threads,
        "memory_bytes": watch.memory,
    }


def load(port: int, connections: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, str(HERE / "http_load.py"), str(port), "/page/{}/"]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(peers: list[Peer], options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    rows = []
    with Stores() as stores:
        for server in options.servers:
            turns: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
            for number in range(options.rounds):
                first = number % len(peers)
                for peer in peers[first:] + peers[:first]:
                    turns[peer.name].append(turn(server, peer, stores, options))
                    rate = turns[peer.name][-1]["requests_per_second"]
                    console.print(f"[dim]{server}, round {number + 1}: {peer.name}, {rate:,.0f} requests/s[/dim]")
            rows += [summary(server, name, found) for name, found in turns.items()]
    return rows


def summary(server: str, peer: str, turns: list[dict[str, float]]) -> dict[str, Any]:
    def of(name: str) -> list[float]:
        return [found[name] for found in turns]

    middle = {name: statistics.median(of(name)) for name in ("cpu_ms_per_request", "median_ms", "p99_ms")}
    highest = {name: max(of(name)) for name in ("connections", "threads", "memory_bytes")}
    rates = of("requests_per_second")
    rate = {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}
    return {
        "server": server,
        "peer": peer,
        "requests_per_second": rate,
        **middle,
        **highest,
        "errors": sum(of("errors")),
        "rounds": turns,
    }


def show(rows: list[dict[str, Any]], console: Console) -> None:
    for server in dict.fromkeys(row["server"] for row in rows):
        table = Table(title=f"{server}: a page with six cache operations")
        table.add_column("cache")
        for title in "requests/s", "lowest - highest", "CPU ms each", "median ms", "p99 ms", "connections", "threads":
            table.add_column(title, justify="right")
        table.add_column("RSS MiB", justify="right")
        table.add_column("errors", justify="right")
        for row in rows:
            if row["server"] == server:
                rate = row["requests_per_second"]
                figures = [f"{rate['median']:,.0f}", f"{rate['lowest']:,.0f} - {rate['highest']:,.0f}"]
                figures += [f"{row['cpu_ms_per_request']:.2f}", f"{row['median_ms']:,.0f}", f"{row['p99_ms']:,.0f}"]
                figures += [f"{row['connections']:,}", f"{row['threads']:,}", f"{row['memory_bytes'] / MIB:,.0f}"]
                table.add_row(row["peer"], *figures, f"{row['errors']:,.0f}")
        console.print(table)


def versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    for program in "redis-server --version", "memcached --version":
        answer = subprocess.run(program.split(), capture_output=True, text=True, check=True)
        found[program.split()[0]] = answer.stdout.strip()
    import pinyon

    found["pinyon"] = pinyon.__version__
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="of load in each turn (5)")
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--rounds", type=int, help="(5)")
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second: shows that it works, measures nothing"
    )
    parser.add_argument("--servers", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--json", type=Path, default=HERE / "results" / "asgi_page.json")
    options = parser.parse_args()
    options.seconds = options.seconds or (1 if options.quick else 5)
    options.rounds = options.rounds or (1 if options.quick else 5)

    # A peer may open a connection for each request; the limit is inherited by all that is started here.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # The expected page is made by the site's own code.
    os.environ.setdefault("ASGI_SITE_CACHE", "null")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "asgi_site.settings")

    console = Console(width=140)
    peers = [peer for peer in PEERS if importlib.util.find_spec(peer.module)]
    missing = [peer.name for peer in PEERS if peer not in peers]
    for name in missing:
        console.print(f"{name}: missing, not installed")
    start = time.monotonic()
    rows = measure(peers, options, console)
    show(rows, console)
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "processors": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "options": {name: getattr(options, name) for name in ("seconds", "connections", "rounds", "servers")},
        "missing": missing,
        "rows": rows,
    }
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"written to {options.json}")


if __name__ == "__main__":
    main()
