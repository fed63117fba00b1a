"""A page with six cache operations: get, get_many of 10, set, set of 16 KiB, incr, get of 16 KiB."""

import hashlib
import json

from django.conf import settings
from django.core.cache import cache
from django.http import HttpResponse
from shop import words

VISITORS = 100
BOOKS = 200
LIFETIME = 600  # seconds


def profile(visitor):
    return {"name": words.FIRST_NAMES[visitor % len(words.FIRST_NAMES)], "basket": [visitor, visitor + 1]}


def book(pk):
    return {"pk": pk, "title": f"{words.ADJECTIVES[pk % len(words.ADJECTIVES)]} Book", "price_cents": 900 + pk}


def shelf(visitor):
    """The keys of the ten books that a visitor sees."""
    return [f"book-{(visitor * 10 + place) % BOOKS}" for place in range(10)]


def fragment(visitor):
    """16 KiB of HTML, another one for each visitor."""
    lines = (f"<li><a href='/books/{visitor}-{number}/'>{words.NOUNS[number % 40]}</a></li>\n" for number in range(500))
    return "".join(lines)[: 16 * 1024]


FRAGMENTS = [fragment(visitor) for visitor in range(VISITORS)]


async def fill(request):
    """Store what the page expects to find; the counters begin at 0."""
    if settings.HAS_CACHE:
        await cache.aset_many({f"book-{pk}": book(pk) for pk in range(BOOKS)}, LIFETIME)
        for visitor in range(VISITORS):
            await cache.aset(f"profile-{visitor}", profile(visitor), LIFETIME)
            await cache.aset(f"visits-{visitor}", 0, LIFETIME)
    return answer({})


async def page(request, visitor):
    if not settings.HAS_CACHE:
        return answer({"visitor": visitor, "titles": [book(pk)["title"] for pk in range(10)]})
    visitor %= VISITORS
    keys = shelf(visitor)
    known = await cache.aget(f"profile-{visitor}")
    books = await cache.aget_many(keys)
    await cache.aset(f"seen-{visitor}", keys, LIFETIME)
    await cache.aset(f"fragment-{visitor}", FRAGMENTS[visitor], LIFETIME)
    visits = await cache.aincr(f"visits-{visitor}")
    text = await cache.aget(f"fragment-{visitor}")
    return answer(
        {
            "visitor": visitor,
            "name": known["name"],
            "visits": visits,
            "titles": [books[key]["title"] for key in keys],
            # Cheap, and wrong if a byte is missing.
            "fragment": [len(text), hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()],
        }
    )


def answer(content):
    body = json.dumps(content).encode()
    # Without a length the servers would send chunks.
    return HttpResponse(body, content_type="application/json", headers={"Content-Length": str(len(body))})
