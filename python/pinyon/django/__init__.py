"""Django cache backends in Rust.

Each stands in for one that a site has already: change its BACKEND, or wrap the whole dictionary with :func:`accelerate`.
In INSTALLED_APPS, this package adds system checks and ``manage.py pinyon``.
"""

from pinyon.django.acceleration import accelerate
from pinyon.django.database import DatabaseCache
from pinyon.django.dummy import DummyCache
from pinyon.django.filebased import FileBasedCache
from pinyon.django.locmem import LocMemCache
from pinyon.django.memcached import MemcachedCache, PyLibMCCache, PyMemcacheCache
from pinyon.django.redis import RedisCache

__all__ = [
    "DatabaseCache",
    "DummyCache",
    "FileBasedCache",
    "LocMemCache",
    "MemcachedCache",
    "PyLibMCCache",
    "PyMemcacheCache",
    "RedisCache",
    "accelerate",
]
