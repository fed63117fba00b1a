"""Who is measured: Pinyon, the incumbents, and floors that nobody can go below."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Any

PINYON = "Pinyon"
TINYLFU = "Pinyon tinylfu"
#: All that a Django backend can be asked to do.
BACKEND_WORKS = frozenset({"one_thread", "mix", "tasks", "making", "memory_use", "hit_ratio", "page"})


@dataclass(frozen=True)
class Peer:
    """One column of a table.

    `module` has to be installed. `role` is "pinyon", "variant" (Pinyon with an option), "incumbent", "floor", or "library": one that
    does less than a backend and is shown, but is no incumbent to compare with. `works`: what it takes part in.
    """

    name: str
    module: str
    #: BACKEND in CACHES; None: the bare socket, and the page without a cache.
    backend: str | None
    role: str = "incumbent"
    options: dict[str, Any] = field(default_factory=dict)
    works: frozenset[str] = BACKEND_WORKS

    @property
    def is_missing(self) -> bool:
        return importlib.util.find_spec(self.module) is None


def pinyon(backend: str) -> Peer:
    return Peer(PINYON, "pinyon", f"pinyon.django.{backend}", "pinyon")


def floor(name: str, backend: str | None, *works: str) -> Peer:
    return Peer(name, "django", backend, "floor", works=frozenset(works))


SOCKET = floor("bare socket", None, "one_thread")
NO_CACHE = floor("no cache", None, "page")
# redis-py allows a pool 100 connections, and django-redis, which has one pool, fails the requests beyond.
POOL = {"CONNECTION_POOL_KWARGS": {"max_connections": 10_000}}
DJANGO = "django.core.cache.backends"
BOX = frozenset({"one_thread", "mix", "memory_use", "hit_ratio"})
TASKS = frozenset({"tasks"})

#: Kind of store: its peers.
PEERS: dict[str, list[Peer]] = {
    "memory": [
        pinyon("LocMemCache"),
        Peer(
            TINYLFU,
            "pinyon",
            "pinyon.django.LocMemCache",
            "variant",
            options={"POLICY": "tinylfu"},
            works=frozenset({"mix", "memory_use", "hit_ratio"}),
        ),
        Peer("Django LocMemCache", "django", f"{DJANGO}.locmem.LocMemCache"),
        Peer("cachebox", "cachebox", "bench.floors.Cachebox", "library", works=BOX),
        Peer(
            "cachebox LFU",
            "cachebox",
            "bench.floors.Cachebox",
            "library",
            options={"POLICY": "LFU"},
            works=frozenset({"hit_ratio"}),
        ),
        floor("dict", "bench.floors.Dict", "one_thread", "mix", "memory_use"),
        floor("pickle", "bench.floors.Pickle", "one_thread"),
    ],
    "redis": [
        pinyon("RedisCache"),
        Peer("Django RedisCache", "redis", f"{DJANGO}.redis.RedisCache"),
        Peer("django-redis", "django_redis", "django_redis.cache.RedisCache", options=POOL),
        Peer(
            "django-valkey",
            "django_valkey",
            "django_valkey.cache.ValkeyCache",
            options=POOL,
            works=BACKEND_WORKS - {"tasks", "page"},
        ),
        Peer(
            "django-valkey async",
            "django_valkey",
            "django_valkey.async_cache.cache.AsyncValkeyCache",
            options=POOL,
            works=TASKS,
        ),
        Peer("django-vcache", "django_vcache", "django_vcache.backend.ValkeyCache"),
        # Django has no async client of its own: this is the client library below everything else.
        Peer("redis.asyncio", "redis", "bench.floors.RedisAsyncio", works=TASKS),
        SOCKET,
    ],
    "memcached": [
        pinyon("MemcachedCache"),
        Peer("Django PyMemcacheCache", "pymemcache", f"{DJANGO}.memcached.PyMemcacheCache"),
        Peer("Django PyLibMCCache", "pylibmc", f"{DJANGO}.memcached.PyLibMCCache"),
        SOCKET,
    ],
    "file": [
        pinyon("FileBasedCache"),
        Peer("Django FileBasedCache", "django", f"{DJANGO}.filebased.FileBasedCache"),
        # In directories of its own.
        Peer("diskcache", "diskcache", "diskcache.DjangoCache", options={"size_limit": 2**40}),
    ],
    "database": [
        pinyon("DatabaseCache"),
        Peer("Django DatabaseCache", "django", f"{DJANGO}.db.DatabaseCache"),
    ],
}
# asyncio's own TLS for redis-py; Pinyon and django-vcache have TLS in Rust.
PEERS["redis-tls"] = [peer for peer in PEERS["redis"] if peer.name in (PINYON, "django-vcache", "redis.asyncio")]


def peers_of(kind: str, work: str) -> list[Peer]:
    """All that take part in this work on this kind of store, installed or not."""
    return [peer for peer in PEERS[kind] if work in peer.works]
