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
}
PINYON = {
    "memory": "pinyon.django.LocMemCache",
    "redis": "pinyon.django.RedisCache",
    "memcached": "pinyon.django.MemcachedCache",
}
FACE = os.environ.get("PINYON_TEST_FACE", "pinyon")
BACKENDS = {"pinyon": PINYON, "incumbent": INCUMBENT}[FACE]
NAMES = list(BACKENDS)
OTHERS = {
    "django_redis": "django_redis.cache.RedisCache",
    "pylibmc": "django.core.cache.backends.memcached.PyLibMCCache",
}
