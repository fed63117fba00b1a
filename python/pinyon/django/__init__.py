"""Django cache backends in Rust.

Each stands in for one that a site has already: change its BACKEND, or wrap the whole dictionary with :func:`accelerate`.
"""

from pinyon.django.acceleration import accelerate
from pinyon.django.database import DatabaseCache
from pinyon.django.locmem import LocMemCache
from pinyon.django.memcached import MemcachedCache, PyLibMCCache, PyMemcacheCache
from pinyon.django.redis import RedisCache

__all__ = [
    "DatabaseCache",
    "LocMemCache",
    "MemcachedCache",
    "PyLibMCCache",
    "PyMemcacheCache",
    "RedisCache",
    "accelerate",
]
