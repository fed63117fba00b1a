"""Pinyon's backends with every method replaced by its `a*` twin, so that Django's tests of a backend test those."""

from types import MethodType

from asgiref.sync import async_to_sync
from pinyon import django as backends
from pinyon.django.asynchronous import METHODS

TWINS = {*METHODS, "get_or_set"} - {"close"}


class AsyncFace:
    """Stands before a cache and answers each of its methods by running the twin on an event loop of its own."""

    backend = None

    def __init__(self, location, params):
        object.__setattr__(self, "cache", self.backend(location, params))

    @property
    def __class__(self):
        # createcachetable looks for database caches.
        return self.backend

    def __getattr__(self, name):
        if name in TWINS:
            # Django's tests ask the methods of a cache for their functions.
            return MethodType(_by_its_twin(name), self.cache)
        return getattr(self.cache, name)

    def __setattr__(self, name, value):
        setattr(self.cache, name, value)

    def __delattr__(self, name):
        delattr(self.cache, name)

    def __contains__(self, key):
        return self.has_key(key)


def _by_its_twin(name):
    def method(cache, *args, **kwargs):
        return async_to_sync(getattr(cache, f"a{name}"))(*args, **kwargs)

    return method


def _face(name):
    return type(name, (AsyncFace,), {"backend": getattr(backends, name)})


LocMemCache = _face("LocMemCache")
RedisCache = _face("RedisCache")
MemcachedCache = _face("MemcachedCache")
FileBasedCache = _face("FileBasedCache")
DatabaseCache = _face("DatabaseCache")
DummyCache = _face("DummyCache")


def path_of(path):
    """The path of the face of a backend, given its own path."""
    return f"{__name__}.{path.rpartition('.')[2]}"
