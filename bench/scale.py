"""How much is measured: everything, in minutes, or hardly at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes of one run. `rounds`: turns of every peer; `turn_ms`: how long a turn of one thread takes."""

    name: str
    rounds: int
    turn_ms: float
    #: RSS: how many entries.
    entries: int
    #: Hit ratio: how many look-ups.
    lookups: int
    #: How many files lie in the usual and in the large directory.
    files: int
    large_files: int
    page_seconds: float
    page_rounds: int
    page_connections: int
    #: The servers that serve the page under ASGI.
    asgi_servers: tuple[str, ...]
    #: And under WSGI.
    wsgi_servers: tuple[str, ...]


FULL = Scale(
    "full", 9, 20, 200_000, 200_000, 1_000, 100_000, 3, 5, 300, ("granian", "uvicorn"), ("granian", "gunicorn")
)
QUICK = Scale("quick", 5, 20, 50_000, 100_000, 1_000, 20_000, 0.6, 2, 300, ("granian",), ("granian",))
#: Shows that everything works, and measures nothing.
SMOKE = Scale("smoke", 1, 1, 5_000, 5_000, 20, 500, 0.2, 1, 8, ("uvicorn",), ("gunicorn",))
