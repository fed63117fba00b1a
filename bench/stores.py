"""The servers and directories of a run, and the settings with which a peer finds them."""

from __future__ import annotations

import pickle
import shutil
import sys
import tempfile
import zlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench import processors
from bench.peers import PEERS, Peer
from bench.values import VALUES

ROOT = Path(__file__).resolve().parent.parent
# The tests start the same servers.
sys.path.append(str(ROOT / "python" / "tests"))

from servers import HOST, Certificates, MemcachedServer, RedisServer, free_port, wait_until  # noqa: E402

__all__ = ["HOST", "ROOT", "Stores", "free_port", "wait_until"]

#: Longer than any run: nothing expires while it is measured.
TIMEOUT = 24 * 3600
#: What a file of Django's holds: an expiry (None: never) and a compressed value.
DJANGO_FILE = pickle.dumps(None, 5) + zlib.compress(pickle.dumps(VALUES["100B"], 5))


class Stores:
    """One redis-server and one memcached for a whole run; every peer has a prefix of its own in them."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pinyon-bench-"))
        self.certificates = Certificates()
        self.redis = RedisServer("--maxclients", 20_000, certificates=self.certificates)
        self.memcached = MemcachedServer("-c", "20000", "-m", "256")

    def __enter__(self) -> Stores:
        self.redis.start()
        self.memcached.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()
        self.memcached.close()
        self.certificates.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def pinned(self, kind: str) -> AbstractContextManager[None]:
        """The server of this kind, if there is one, runs on one processor meanwhile."""
        server = {"redis": self.redis, "memcached": self.memcached}.get(kind)
        return processors.pinned(server.process.pid) if server and server.process else nullcontext()

    def port(self, kind: str) -> int:
        """Where the server of this kind listens; 0: there is none."""
        ports = {"redis": self.redis.port, "redis-tls": self.redis.tls_port, "memcached": self.memcached.port}
        return int(ports.get(kind) or 0)

    def empty(self, kind: str) -> None:
        """Take away what the last section left."""
        if kind.startswith("redis"):
            with self.redis.client() as client:
                client.flushall()
        elif kind == "memcached":
            self.memcached.flush()

    def settings(self, kind: str, peer: Peer, files: int, entries: int) -> dict[str, Any]:
        """Django's settings for one peer. `files` lie in the directory before; there is room for `entries`."""
        options = dict(peer.options)
        if kind in ("memory", "database") or (kind == "file" and peer.module != "diskcache"):
            options.setdefault("MAX_ENTRIES", entries)
        if kind == "redis-tls":
            options["ssl_ca_certs"] = self.certificates.ca
        entry = {
            "BACKEND": peer.backend,
            "LOCATION": self.location(kind, peer, files),
            "TIMEOUT": TIMEOUT,
            # As long for one as for the other.
            "KEY_PREFIX": chr(ord("a") + PEERS[kind].index(peer)),
            "OPTIONS": options,
        }
        if kind == "memcached":
            del entry["OPTIONS"]
        settings: dict[str, Any] = {"CACHES": {"default": entry}, "USE_TZ": False}
        if kind == "database":
            # With IMMEDIATE, because Django's cache otherwise loses a set whose transaction began with reading.
            wal = {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            }
            path = self.directory / f"{entry['KEY_PREFIX']}.sqlite3"
            database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": wal}
            settings["DATABASES"] = {"default": database}
        return settings

    def location(self, kind: str, peer: Peer, files: int) -> str:
        match kind:
            case "redis":
                return f"{'valkey' if peer.module == 'django_valkey' else 'redis'}://{HOST}:{self.redis.port}/1"
            case "redis-tls":
                return f"rediss://localhost:{self.redis.tls_port}/1"
            case "memcached":
                return str(self.memcached.address)
            case "file" if peer.module == "diskcache":
                return str(self.directory / f"diskcache-{files}")
            case "file":
                return str(self.filled(files))
            case "database":
                return "cache_table"
        return "bench"

    def filled(self, files: int) -> Path:
        """A directory with so many entries that belong to no key; Pinyon and Django share it."""
        directory = self.directory / f"files-{files}"
        if not directory.exists():
            directory.mkdir()
            for number in range(files):
                (directory / f"{number:032x}.djcache").write_bytes(DJANGO_FILE)
        return directory
