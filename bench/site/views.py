"""A page with six cache operations: get, get_many of 10, set, set of 16 KiB, incr, get of 16 KiB."""

import json

from django.conf import settings
from django.core.cache import cache
from django.http import HttpResponse

from bench.site.shelves import KNOWN_BOOKS, VISITORS, content, content_without_cache, fragment, profile, shelf

LIFETIME = 24 * 3600  # seconds
FRAGMENTS = [fragment(visitor) for visitor in range(VISITORS)]


def fill(request):
    """Store what the pages expect to find; the counters begin at 0."""
    if settings.HAS_CACHE:
        cache.set_many(KNOWN_BOOKS, LIFETIME)
        cache.set_many({f"profile-{visitor}": profile(visitor) for visitor in range(VISITORS)}, LIFETIME)
        for visitor in range(VISITORS):
            cache.set(f"visits-{visitor}", 0, LIFETIME)
    return answer({})


async def async_page(request, visitor):
    visitor %= VISITORS
    if not settings.HAS_CACHE:
        return answer(content_without_cache(visitor, FRAGMENTS))
    keys = shelf(visitor)
    known = await cache.aget(f"profile-{visitor}")
    books = await cache.aget_many(keys)
    await cache.aset(f"seen-{visitor}", keys, LIFETIME)
    await cache.aset(f"fragment-{visitor}", FRAGMENTS[visitor], LIFETIME)
    visits = await cache.aincr(f"visits-{visitor}")
    text = await cache.aget(f"fragment-{visitor}")
    return answer(content(visitor, known, books, visits, text))


def sync_page(request, visitor):
    visitor %= VISITORS
    if not settings.HAS_CACHE:
        return answer(content_without_cache(visitor, FRAGMENTS))
    keys = shelf(visitor)
    known = cache.get(f"profile-{visitor}")
    books = cache.get_many(keys)
    cache.set(f"seen-{visitor}", keys, LIFETIME)
    cache.set(f"fragment-{visitor}", FRAGMENTS[visitor], LIFETIME)
    visits = cache.incr(f"visits-{visitor}")
    text = cache.get(f"fragment-{visitor}")
    return answer(content(visitor, known, books, visits, text))


def answer(found):
    body = json.dumps(found).encode()
    # Without a length the servers would send chunks.
    return HttpResponse(body, content_type="application/json", headers={"Content-Length": str(len(body))})
