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

from django_suite.suites import SUITES

LOCMEM = SUITES["locmem"].builtin
# Backends of Django's test packages that derive from LocMemCache.
DERIVED = ["cache.closeable_cache", "cache.failing_cache", "cache.liberal_backend"]


class Substitution:
    """`path` replaces the built-in backend of the same kind, and LocMemCache, if it stores anything.

    Tests that use two memory caches tell them apart by LOCATION. `locations` are as many separate places of the
    replacing backend; each LOCATION that turns up gets the next one. None: LOCATION stays as it is.
    """

    def __init__(self, path, kind, locations=None):
        self.path = path
        self.suite = SUITES[kind]
        self.replaced = {self.suite.builtin, *([LOCMEM] if self.suite.stores else [])}
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
            if backend == LOCMEM or backend in derived:
                location = self._location(params.get("LOCATION", ""))
                if location:
                    params["LOCATION"] = location
        return setting

    def install(self):
        """Rewrite every CACHES override from now on, and derive Django's test backends from the replacement."""
        with mock.patch(LOCMEM, import_string(self.path if self.suite.stores else LOCMEM)):
            for module in DERIVED:
                importlib.import_module(module)
        enable = override_settings.enable

        def enable_substituted(override):
            if "CACHES" in override.options:
                override.options = {**override.options, "CACHES": self.caches(override.options["CACHES"])}
            return enable(override)

        override_settings.enable = enable_substituted


def replace_pages():
    """Put Pinyon's page cache where Django's tests import Django's. Before they do."""
    from django.middleware import cache as middleware
    from django.views.decorators import cache as decorators
    from pinyon.django import middleware as pinyon

    for name in "CacheMiddleware", "FetchFromCacheMiddleware", "UpdateCacheMiddleware":
        setattr(middleware, name, getattr(pinyon, name))
    decorators.cache_page = pinyon.cache_page
