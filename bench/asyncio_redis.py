"""Redis from asyncio: `aget` of 100 bytes by 1, 50 and 300 tasks, plain and over TLS, on asyncio and on uvloop.

    python bench/asyncio_redis.py [--rounds 5] [--seconds 0.5] [--json PATH]

Needs Django, a release build of pinyon, and redis-server with TLS; redis-py, hiredis, django-vcache, uvloop and trustme from
PyPI, and a peer that is not installed is listed as missing. Every turn is a process of its own; the peers take turns in every
round and another one begins each time. The figures are medians of the rounds, in operations per second.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TASKS = (1, 50, 300)
VALUE = "x" * 100
#: Name: module that has to be there, BACKEND.
PEERS = {
    "pinyon": ("pinyon", "pinyon.django.RedisCache"),
    "django-vcache": ("django_vcache", "django_vcache.backend.ValkeyCache"),
    # Django has no async client of its own: this is the client library below everything else, with asyncio's own TLS.
    "redis.asyncio": ("redis", None),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Servers:
    """One redis-server with a plain and a TLS port."""

    def __init__(self, directory: Path) -> None:
        import trustme

        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        self.ca, key, chain = (directory / name for name in ("ca.pem", "key.pem", "chain.pem"))
        authority.cert_pem.write_to_path(str(self.ca))
        certificate.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
        self.plain, self.tls = free_port(), free_port()
        command = ["redis-server", "--port", str(self.plain), "--tls-port", str(self.tls), "--save", ""]
        command += ["--tls-cert-file", str(chain), "--tls-key-file", str(key), "--tls-ca-cert-file", str(self.ca)]
        command += ["--tls-auth-clients", "no", "--dir", str(directory)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.tls)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("redis-server did not start; does it have TLS?")

    def url(self, tls: bool) -> str:
        return f"rediss://localhost:{self.tls}/1" if tls else f"redis://localhost:{self.plain}/1"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def getter(peer: str, url: str, ca: str) -> Any:
    """Return `set(key, value)` and `get(key)` of a peer."""
    backend = PEERS[peer][1]
    if backend is None:
        import pickle

        from redis import asyncio as redis_asyncio

        options = {"ssl_ca_certs": ca} if url.startswith("rediss") else {}
        options |= {"max_connections": 50, "timeout": 60, "socket_timeout": 60, "socket_connect_timeout": 60}
        client = redis_asyncio.Redis(connection_pool=redis_asyncio.BlockingConnectionPool.from_url(url, **options))

        async def set_value(key: str, value: str) -> None:
            await client.set(key, pickle.dumps(value, 5))

        async def get_value(key: str) -> Any:
            return pickle.loads(await client.get(key))

        return set_value, get_value
    from django.conf import settings

    options = {"ssl_ca_certs": ca} if url.startswith("rediss") else {}
    settings.configure(CACHES={"default": {"BACKEND": backend, "LOCATION": url, "OPTIONS": options}})
    from django.core.cache import caches

    return caches["default"].aset, caches["default"].aget


async def turn(peer: str, url: str, ca: str, tasks: int, seconds: float) -> float:
    """Return the operations per second of one turn."""
    set_value, get_value = getter(peer, url, ca)
    await set_value("key", VALUE)
    assert await get_value("key") == VALUE
    await asyncio.gather(*(get_value("key") for _ in range(tasks)))
    count, start = 0, time.perf_counter()
    end = start + seconds

    async def ask() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await get_value("key")
            count += 1

    await asyncio.gather(*(ask() for _ in range(tasks)))
    return count / (time.perf_counter() - start)


def run_turn(arguments: argparse.Namespace) -> None:
    peer, url, ca, tasks, loop = arguments.turn
    operation = turn(peer, url, ca, int(tasks), arguments.seconds)
    if loop == "uvloop":
        import uvloop

        print(uvloop.run(operation))
    else:
        print(asyncio.run(operation))


def measure(servers: Servers, rounds: int, seconds: float) -> list[dict[str, Any]]:
    peers = [peer for peer, (module, _) in PEERS.items() if importlib.util.find_spec(module)]
    loops = ["asyncio"] + (["uvloop"] if importlib.util.find_spec("uvloop") else [])
    for missing in PEERS.keys() - set(peers):
        print(f"{missing} is not installed", file=sys.stderr)
    rows = []
    for tls in (False, True):
        for loop in loops:
            for tasks in TASKS:
                found: dict[str, list[float]] = {peer: [] for peer in peers}
                for number in range(rounds):
                    for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
                        command = [sys.executable, __file__, "--seconds", str(seconds), "--turn"]
                        command += [peer, servers.url(tls), str(servers.ca), str(tasks), loop]
                        done = subprocess.run(command, capture_output=True, text=True, check=False)
                        if done.returncode:
                            raise SystemExit(f"{peer} failed:\n{done.stderr}")
                        found[peer].append(float(done.stdout))
                rates = {peer: round(statistics.median(rate)) for peer, rate in found.items()}
                rows.append({"tls": tls, "loop": loop, "tasks": tasks, "per_second": rates})
                words = ", ".join(f"{peer} {rate:,}" for peer, rate in rates.items())
                print(f"{'TLS  ' if tls else 'plain'} {loop:8} {tasks:4} tasks: {words}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turn", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turn:
        run_turn(arguments)
        return
    with tempfile.TemporaryDirectory() as directory:
        servers = Servers(Path(directory))
        try:
            rows = measure(servers, arguments.rounds, arguments.seconds)
        finally:
            servers.stop()
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
