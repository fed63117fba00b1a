"""Process memory."""

from __future__ import annotations

from pinyon import _pinyon
from pinyon.django.asynchronous import at_once
from pinyon.django.base import Backend, with_functions


@at_once
@with_functions
class LocMemCache(_pinyon.LocMemCache, Backend):
    """Stands in for ``django.core.cache.backends.locmem.LocMemCache``.

    LOCATION names the store, which all caches of one name and POLICY share in the process. OPTIONS: MAX_ENTRIES (300),
    CULL_FREQUENCY (3), MAX_BYTES (none), POLICY ("lru"), ON_BAD_VALUE ("miss").
    """

    _backend_path = "pinyon.django.LocMemCache"
