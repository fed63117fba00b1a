"""Memcached."""

from __future__ import annotations

import re
from typing import Any

from pinyon import _pinyon
from pinyon.django.asynchronous import OnTheLoop
from pinyon.django.base import Backend, memcached_timeout, validate_memcached_key, with_functions


@with_functions
class MemcachedCache(_pinyon.MemcachedCache, OnTheLoop, Backend):
    """Stands in for Django's Memcached backends, which go by the names of their libraries.

    LOCATION is one server or several: ``host:port``, ``[v6]:port``, ``unix:/path``. OPTIONS are pymemcache's, and
    ON_BAD_VALUE ("miss"). Connections belong to the process, not to this object: they stay open between requests.
    """

    _backend_path = "pinyon.django.MemcachedCache"

    get_backend_timeout = memcached_timeout
    validate_key = validate_memcached_key

    @property
    def _servers(self) -> list[Any]:
        """The servers as Django's backends list them."""
        location = self._location
        return re.split("[;,]", location) if isinstance(location, str) else list(location)


class PyMemcacheCache(MemcachedCache):
    """Stands in for ``django.core.cache.backends.memcached.PyMemcacheCache``."""

    _backend_path = "pinyon.django.PyMemcacheCache"


class PyLibMCCache(MemcachedCache):
    """Stands in for ``django.core.cache.backends.memcached.PyLibMCCache``."""

    _backend_path = "pinyon.django.PyLibMCCache"
