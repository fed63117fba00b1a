"""How often a book was looked at: a counter that lives in the cache alone."""

from django.core.cache import cache

A_DAY = 24 * 60 * 60  # seconds; `incr` keeps it, so a count starts anew a day after its first view


def count_view(pk):
    """Counts one more view of a book and answers the new number. Atomic, on every backend of Pinyon."""
    try:
        return cache.incr(_key(pk))
    except ValueError:
        # The first view. `add` changes nothing if another visitor was faster.
        cache.add(_key(pk), 0, A_DAY)
        return cache.incr(_key(pk))


async def acount_view(pk):
    """`count_view` for async views."""
    try:
        return await cache.aincr(_key(pk))
    except ValueError:
        await cache.aadd(_key(pk), 0, A_DAY)
        return await cache.aincr(_key(pk))


def views_of(pks):
    """The counters of many books in one round trip: primary key -> views, 0 for a book nobody looked at."""
    keys = {_key(pk): pk for pk in pks}
    found = cache.get_many(keys)
    return {pk: found.get(key, 0) for key, pk in keys.items()}


def _key(pk):
    return f"views:{pk}"
