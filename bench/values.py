"""The values that are cached, by the names that cases have for them."""

from __future__ import annotations

import random
from typing import Any

VALUES: dict[str, Any] = {
    "100B": "A string of one hundred characters, none of them beyond ASCII, as fragments of pages often are. 0123",
    "dict": {
        "id": 1815,
        "title": "Walden; or, Life in the Woods",
        "author": "Henry David Thoreau",
        "price_cents": 1550,
        "rating": 4.5,
        "in_stock": True,
        "discount": None,
        "tags": ["essay", "nature", "classic"],
        "published": "1854-08-09",
        "pages": 352,
    },
    "10KiB": random.Random(1815).randbytes(10 * 1024),
}
assert len(VALUES["100B"]) == 100
assert len(VALUES["dict"]) == 10
