"""Keys in the order in which they are looked up, by name. The same number makes the same trace, everywhere.

They are synthetic: no package was found that ships a public trace.
"""

from __future__ import annotations

import random
from itertools import accumulate

#: How many keys there are, and for how many of them the cache has room.
KEYS, ROOM = 10_000, 1_000


def zipf(chance: random.Random, length: int, exponent: float = 1.0) -> list[int]:
    """The n-th key is asked for in proportion to 1 / n ** exponent."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, KEYS + 1)))
    return chance.choices(range(KEYS), cum_weights=weights, k=length)


def scans(chance: random.Random, length: int) -> list[int]:
    """Zipf, and now and then somebody reads 2,000 entries in a row that nobody asks for again: a crawler, an export."""
    found: list[int] = []
    cold = KEYS
    while len(found) < length:
        found += zipf(chance, 8_000)
        found += range(cold, cold + 2_000)
        cold += 2_000
    return found[:length]


def loops(chance: random.Random, length: int) -> list[int]:
    """1,500 keys over and over, half again as many as there is room for, between requests that follow Zipf."""
    popular = zipf(chance, length // 2)
    looped = [KEYS + number % 1_500 for number in range(length - len(popular))]
    return [key for pair in zip(popular, looped, strict=False) for key in pair]


def drift(chance: random.Random, length: int) -> list[int]:
    """Zipf, but what is popular changes: every 10,000 requests the ranks move on by 500 keys."""
    return [(key + position // 10_000 * 500) % KEYS for position, key in enumerate(zipf(chance, length))]


TRACES = {"zipf": zipf, "scans": scans, "loops": loops, "drift": drift}


def trace(name: str, number: int, length: int) -> list[str]:
    """The keys of the `number`-th trace of this name."""
    return [f"key-{key}" for key in TRACES[name](random.Random(f"{name} {number}"), length)]
