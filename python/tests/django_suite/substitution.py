"""Puts another backend where Django's tests name one of the built-in ones.

The tests choose their caches with `override_settings(CACHES=...)` and name the built-in classes there. Every
such dictionary is rewritten just before it is installed, so the tests run unchanged, and
`settings.CACHES["default"]["BACKEND"]` tells them the class that is really in use.
"""

import copy
import importlib
from unittest import mock

from django.test import override_settings
from django.utils.module_loading import import_string

BUILTIN = {
    "locmem": "django.core.cache.backends.locmem.LocMemCache",
    "redis": "django.core.cache.backends.redis.RedisCache",
    "memcached": "django.core.cache.backends.memcached.PyMemcacheCache",
    "db": "django.core.cache.backends.db.DatabaseCache",
}
PINYON = {
    "locmem": "pinyon.django.LocMemCache",
    "redis": "pinyon.django.RedisCache",
    "memcached": "pinyon.django.MemcachedCache",
    "db": "pinyon.django.DatabaseCache",
}
# Backends of Django's test packages that derive from LocMemCache.
DERIVED = ["cache.closeable_cache", "cache.failing_cache", "cache.liberal_backend"]


class Substitution:
    """`path` replaces LocMemCache and the built-in backend of the same kind.

    Tests that use two memory caches tell them apart by LOCATION. `locations` are as many separate places of the
    replacing backend; each LOCATION that turns up gets the next one. None: LOCATION stays as it is.
    """

    def __init__(self, path, kind, locations=None):
        self.path = path
        self.replaced = {BUILTIN["locmem"], BUILTIN[kind]}
        self.locations = locations
        self._assigned = {}

    def _location(self, wanted):
        if self.locations is None or wanted in self.locations:
            return wanted
        if wanted not in self._assigned:
            self._assigned[wanted] = self.locations[len(self._assigned)]
        return self._assigned[wanted]

    def caches(self, setting):
        """A rewritten copy of a CACHES dictionary."""
        setting = copy.deepcopy(setting)
        derived = {f"{module}.CacheClass" for module in DERIVED}
        for params in setting.values():
            backend = params.get("BACKEND")
            if backend not in self.replaced | derived:
                continue
            if backend in self.replaced:
                params["BACKEND"] = self.path
            if backend == BUILTIN["locmem"] or backend in derived:
                location = self._location(params.get("LOCATION", ""))
                if location:
                    params["LOCATION"] = location
        return setting

    def install(self):
        """Rewrite every CACHES override from now on, and derive Django's test backends from the replacement."""
        with mock.patch(BUILTIN["locmem"], import_string(self.path)):
            for module in DERIVED:
                importlib.import_module(module)
        enable = override_settings.enable

        def enable_substituted(override):
            if "CACHES" in override.options:
                override.options = {**override.options, "CACHES": self.caches(override.options["CACHES"])}
            return enable(override)

        override_settings.enable = enable_substituted
