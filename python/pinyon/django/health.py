"""How the caches of a site are: what ``manage.py pinyon check`` and ``stats`` report."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import caches

#: How long the entry of a probe may live if it cannot be deleted again, in seconds.
PROBE_TIMEOUT = 10


@dataclass
class Health:
    """One alias. ``servers`` has a dictionary a server, with the keys of ``pinyon check --json``."""

    alias: str
    backend: str
    servers: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, int] | None = None
    #: Of a Redis cache of Pinyon, with the keys of ``pinyon check --json``: what this process has found.
    breaker: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        return all(server["ok"] for server in self.servers)


def look_at(alias: str) -> Health:
    """Ask the servers of ``alias``. Nothing is raised: what goes wrong is in the answer."""
    settings = caches.settings[alias]
    path = str(settings.get("BACKEND", ""))
    health = Health(alias, path)
    try:
        cache = caches[alias]
        if hasattr(cache, "stats"):
            health.stats = cache.stats()
        health.breaker = _breaker(cache, health.stats)
        health.servers = cache._check() if hasattr(cache, "_check") else [_round_trip(cache, settings)]
    except Exception as error:  # a backend may raise anything, and the other aliases are to be shown
        health.servers = [_failed(_place(settings), error)]
    return health


def _breaker(cache: Any, stats: dict[str, int] | None) -> dict[str, Any] | None:
    limits = getattr(getattr(cache, "_configuration", None), "breaker", None)
    if limits is None or stats is None:
        return None
    opens_after, longest_pause = limits
    left = stats["breaker_pause_ms"]
    return {
        "state": "off" if opens_after == 0 else "open" if left else "closed",
        "failures": stats["breaker_failures"],
        "pause_left_ms": left,
        "opens_after": opens_after,
        "longest_pause_s": longest_pause,
    }


def _round_trip(cache: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Store, read and delete a key that nobody else has."""
    key = f"pinyon.check.{secrets.token_hex(8)}"
    cache.set(key, key, PROBE_TIMEOUT)
    try:
        start = time.perf_counter()
        found = cache.get(key)
        elapsed = time.perf_counter() - start
    finally:
        cache.delete(key)
    if found != key and not _stores_nothing(cache):
        error = RuntimeError("a value that was stored could not be read again")
        return _failed(_place(settings), error, "The server may be full, or the backend ignores its errors")
    return {
        "server": _place(settings),
        "ok": True,
        "round_trip_ms": elapsed * 1000,
        "version": "",
        "memory_used": None,
        "memory_limit": None,
        "entries": None,
        "error": None,
    }


def _stores_nothing(cache: Any) -> bool:
    from django.core.cache.backends import dummy

    from pinyon.django.dummy import DummyCache

    return isinstance(cache, DummyCache | dummy.DummyCache)


def _failed(server: str, error: Exception, hint: str | None = None) -> dict[str, Any]:
    hint = hint or getattr(error, "hint", None)
    message = (str(error) or type(error).__name__).removesuffix(f". {hint}")
    why = {"kind": type(error).__name__, "message": message, "hint": hint}
    return {"server": server, "ok": False, "error": why}


def _place(settings: dict[str, Any]) -> str:
    """LOCATION without what may be a password."""
    location = settings.get("LOCATION") or ""
    places = location if isinstance(location, list | tuple) else [location]
    return ", ".join(_without_login(str(place)) for place in places)


def _without_login(place: str) -> str:
    scheme, separator, rest = place.partition("://")
    if not separator:
        return place.rpartition("@")[2]
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
