"""Django cache backends in Rust.

Each stands in for one that a site has already: change its BACKEND, or wrap the whole dictionary with :func:`accelerate`.
In INSTALLED_APPS, this package adds system checks and ``manage.py pinyon``. ``cache_page`` and ``pinyon.django.middleware`` are the
page cache.
"""

from typing import TYPE_CHECKING, Any

from pinyon.django.acceleration import accelerate
from pinyon.django.database import DatabaseCache
from pinyon.django.dummy import DummyCache
from pinyon.django.filebased import FileBasedCache
from pinyon.django.locmem import LocMemCache
from pinyon.django.memcached import MemcachedCache, PyLibMCCache, PyMemcacheCache
from pinyon.django.redis import RedisCache
from pinyon.django.redis_methods.connection import get_redis_connection

if TYPE_CHECKING:
    from pinyon.django.middleware import cache_page

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
    "cache_page",
    "get_redis_connection",
]


def __getattr__(name: str) -> Any:
    # A settings file imports this package: the page cache needs more of Django than is there then.
    if name == "cache_page":
        from pinyon.django.middleware import cache_page

        return cache_page
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
