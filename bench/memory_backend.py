"""Process memory: Pinyon, with both of its policies, against Django's LocMemCache.

    python bench/memory_backend.py [--rounds 9]

Needs Django and a release build of pinyon in the same environment. The caches take turns, round by round, so that whatever
else the machine does happens to all of them; the figures are those of the fastest round and, in brackets, of the middle one. The
memory of an entry is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import functools
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PINYON = "pinyon.django.LocMemCache"
CACHES: dict[str, dict[str, Any]] = {
    "django": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 1_000_000}},
    "lru": {"BACKEND": PINYON, "OPTIONS": {"MAX_ENTRIES": 1_000_000}},
    "tinylfu": {"BACKEND": PINYON, "OPTIONS": {"MAX_ENTRIES": 1_000_000, "POLICY": "tinylfu"}},
}
KEYS = [f"entry-{number:014d}" for number in range(1000)]
VALUE = "y" * 100
#: Entries that are stored to see what one takes.
ENTRIES = 100_000
THREADS = 16
#: Operations of a thread in a round.
OPERATIONS = 4000


def microseconds(call: Callable[[str], Any]) -> float:
    start = time.perf_counter()
    for _ in range(10):
        for key in KEYS:
            call(key)
    return (time.perf_counter() - start) / 10 / len(KEYS) * 1e6


def store(set_value: Callable[[str, str], None], key: str) -> None:
    set_value(key, VALUE)


def from_threads(alias: str) -> float:
    """Return the thousands of operations a second of all threads together: nine `get` in ten, one `set`."""
    from django.core.cache import caches

    barrier = threading.Barrier(THREADS + 1)

    def work(seed: int) -> None:
        draw = random.Random(seed)
        order = [(draw.choice(KEYS), draw.random() < 0.1) for _ in range(OPERATIONS)]
        cache = caches[alias]
        barrier.wait()
        for key, is_set in order:
            if is_set:
                cache.set(key, VALUE)
            else:
                cache.get(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return THREADS * OPERATIONS / (time.perf_counter() - start) / 1000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def print_bytes_of_an_entry(alias: str) -> None:
    from django.core.cache import caches

    cache = caches[alias]
    cache.set("first", "x" * 100)
    before = resident()
    for number in range(ENTRIES):
        cache.set(f"entry-{number:014d}", f"{number:0100d}")
    print(round((resident() - before) / ENTRIES))


def compare(rounds: int) -> None:
    from django.core.cache import caches

    columns: dict[str, Callable[[str], float]] = {
        "get, us": lambda alias: microseconds(caches[alias].get),
        "set, us": lambda alias: microseconds(functools.partial(store, caches[alias].set)),
        f"{THREADS} threads, thousand/s": from_threads,
    }
    times: dict[tuple[str, str], list[float]] = {}
    for alias in CACHES:
        caches[alias].set_many(dict.fromkeys(KEYS, VALUE))
    for _ in range(rounds):
        for column, measure in columns.items():
            for alias in CACHES:
                times.setdefault((column, alias), []).append(measure(alias))
    print(f"{'':<10}" + "".join(f"{column:>26}" for column in columns) + f"{'bytes an entry':>18}")
    for alias in CACHES:
        cells = []
        for column in columns:
            found = times[column, alias]
            best = min(found) if column.endswith("us") else max(found)
            cells.append(f"{best:>14,.3f} ({statistics.median(found):>9,.3f})")
        command = [sys.executable, __file__, "--bytes-of", alias]
        taken = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(f"{alias:<10}{''.join(cells)}{taken:>18}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bytes-of", choices=CACHES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    from django.conf import settings

    settings.configure(
        CACHES={alias: {**entry, "LOCATION": alias} for alias, entry in CACHES.items()} | {"default": CACHES["lru"]}
    )
    if arguments.bytes_of:
        print_bytes_of_an_entry(arguments.bytes_of)
    else:
        compare(arguments.rounds)


if __name__ == "__main__":
    main()
