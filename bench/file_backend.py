"""Files: Pinyon against Django's FileBasedCache, in small and in large directories.

    python bench/file_backend.py [--files 1000 100000] [--rounds 5] [--json PATH]

Needs Django and a release build of pinyon in the same environment. Both backends work on one directory, in turns, round by
round, so that whatever else the machine does happens to both; the figures are medians of the rounds. MAX_ENTRIES is so high
that nothing is culled: what is measured is the look at the directory that Django takes with every set.
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

DJANGO = "django.core.cache.backends.filebased.FileBasedCache"
PINYON = "pinyon.django.FileBasedCache"
#: How many keys are used in turn; the other files only lie there.
KEYS = 200
VALUES = {
    "100 bytes": "x" * 100,
    "8 KiB page": "".join(f"<li><a href='/book/{number}/'>Book {number}</a></li>\n" for number in range(200))[:8192],
}
#: How many calls a round has. Few sets: where thousands of files were removed within seconds, ext4 takes a millisecond to make
#: one, which would punish whoever is faster.
CALLS = {"set": 25, "get": 2000}


def fill(directory: Path, count: int) -> None:
    """Lay down `count` entries that do not expire and belong to no key."""
    content = pickle.dumps(None, 5) + zlib.compress(pickle.dumps("x" * 100, 5))
    for number in range(count):
        (directory / f"{number:032x}.djcache").write_bytes(content)


def seconds_each(call: Callable[[int], Any], calls: int) -> float:
    """Call so often; return the seconds that a call takes."""
    start = time.perf_counter()
    for number in range(calls):
        call(number % KEYS)
    return (time.perf_counter() - start) / calls


def measure(caches: Any, files: int, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for size, value in VALUES.items():
        caches["pinyon"].set_many({key(index): value for index in range(KEYS)}, None)
        for operation in "set", "get":
            times: dict[str, list[float]] = {"django": [], "pinyon": []}
            for _ in range(rounds):
                for alias, found in times.items():
                    found.append(seconds_each(calls_of(caches[alias], operation, value), CALLS[operation]))
            django, pinyon = (statistics.median(found) * 1e6 for found in times.values())
            rows.append(
                {"files": files, "operation": operation, "value": size, "django_us": django, "pinyon_us": pinyon}
            )
            ratio = django / pinyon
            print(f"{files:>9,}  {operation}  {size:<10}  {django:>12,.0f}  {pinyon:>10,.1f}  {ratio:>9,.1f}")
    return rows


def key(index: int) -> str:
    return f"key-{index}"


def calls_of(cache: Any, operation: str, value: str) -> Callable[[int], Any]:
    if operation == "set":
        return lambda index: cache.set(key(index), value)
    return lambda index: cache.get(key(index))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()

    from django.conf import settings
    from django.core.cache import caches
    from django.test import override_settings

    settings.configure()
    rows = []
    print(f"{'files':>9}  op   value       {'Django µs':>12}  {'Pinyon µs':>10}  {'ratio':>9}")
    for files in options.files:
        with tempfile.TemporaryDirectory() as directory:
            fill(Path(directory), files)
            common = {"LOCATION": directory, "OPTIONS": {"MAX_ENTRIES": 10_000_000}}
            entries = {"django": {"BACKEND": DJANGO, **common}, "pinyon": {"BACKEND": PINYON, **common}}
            with override_settings(CACHES=entries):
                rows += measure(caches, files, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
