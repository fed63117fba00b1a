"""Which classes are under test.

PINYON_TEST_FACE=incumbent points the tests at the backends that Pinyon replaces: a test of the common contract
must pass there too, which shows that the test itself is right. Tests of what only Pinyon promises are marked
`pinyon_only` and are skipped then.
"""

import os

INCUMBENT = {
    "memory": "django.core.cache.backends.locmem.LocMemCache",
    "redis": "django.core.cache.backends.redis.RedisCache",
    "memcached": "django.core.cache.backends.memcached.PyMemcacheCache",
    "file": "django.core.cache.backends.filebased.FileBasedCache",
    "database": "django.core.cache.backends.db.DatabaseCache",
}
PINYON = {
    "memory": "pinyon.django.LocMemCache",
    "redis": "pinyon.django.RedisCache",
    "memcached": "pinyon.django.MemcachedCache",
    "file": "pinyon.django.FileBasedCache",
    "database": "pinyon.django.DatabaseCache",
}
FACE = os.environ.get("PINYON_TEST_FACE", "pinyon")
BACKENDS = {"pinyon": PINYON, "incumbent": INCUMBENT}[FACE]
NAMES = list(BACKENDS)
# Not among the others: it stores nothing, so that hardly any test of the common contract can hold.
DUMMY = {
    "pinyon": "pinyon.django.DummyCache",
    "incumbent": "django.core.cache.backends.dummy.DummyCache",
}[FACE]
OTHERS = {
    "django_redis": "django_redis.cache.RedisCache",
    "pylibmc": "django.core.cache.backends.memcached.PyLibMCCache",
}

# How long one operation may take, in each backend's own words.
LIMITS = {
    "redis": lambda seconds: {"socket_timeout": seconds, "socket_connect_timeout": seconds},
    "memcached": lambda seconds: {"timeout": seconds, "connect_timeout": seconds},
}


def error(kind):
    """The exceptions to expect: Pinyon's `kind`, or whatever the replaced clients raise."""
    if FACE == "pinyon":
        import pinyon

        return getattr(pinyon, kind)
    import pymemcache.exceptions
    import redis.exceptions

    return (redis.exceptions.RedisError, pymemcache.exceptions.MemcacheError, OSError)
