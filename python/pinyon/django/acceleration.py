"""A site's CACHES dictionary on Pinyon's backends."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

#: The backends that Pinyon stands in for, and the options that make it behave as they do where they differ.
STANDS_IN: dict[str, tuple[str, dict[str, Any]]] = {
    "django.core.cache.backends.locmem.LocMemCache": ("pinyon.django.LocMemCache", {}),
    "django.core.cache.backends.filebased.FileBasedCache": ("pinyon.django.FileBasedCache", {}),
    "django.core.cache.backends.db.DatabaseCache": ("pinyon.django.DatabaseCache", {}),
    "django.core.cache.backends.redis.RedisCache": ("pinyon.django.RedisCache", {}),
    # The protocol matters beyond reading: whether a value is a member of a set is a matter of its bytes.
    "django_redis.cache.RedisCache": (
        "pinyon.django.RedisCache",
        {"TIMEOUT_UNIT": "ms", "PICKLE_VERSION": pickle.DEFAULT_PROTOCOL},
    ),
    "django.core.cache.backends.memcached.PyMemcacheCache": ("pinyon.django.PyMemcacheCache", {}),
    "django.core.cache.backends.memcached.PyLibMCCache": ("pinyon.django.PyLibMCCache", {}),
    "django.core.cache.backends.dummy.DummyCache": ("pinyon.django.DummyCache", {}),
}


def accelerate(caches: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return ``caches`` with every BACKEND that Pinyon stands in for replaced by Pinyon's.

    Everything else stays as it is: other backends, locations, options, prefixes. The argument is not changed. Doing it
    twice is doing it once.
    """
    accelerated = {}
    for alias, settings in caches.items():
        settings = dict(settings)
        backend, options = STANDS_IN.get(settings.get("BACKEND", ""), (None, {}))
        if backend is not None:
            settings["BACKEND"] = backend
            if options:
                settings["OPTIONS"] = {**options, **(settings.get("OPTIONS") or {})}
            if backend == "pinyon.django.RedisCache" and isinstance(settings.get("LOCATION"), str) and options:
                # django-redis splits a string at commas only.
                settings["LOCATION"] = settings["LOCATION"].split(",")
        accelerated[alias] = settings
    return accelerated
