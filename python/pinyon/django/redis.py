"""Redis and Valkey."""

from __future__ import annotations

import logging
from typing import Any, cast

from django.conf import global_settings, settings

from pinyon import _pinyon
from pinyon.django.asynchronous import OnTheLoop
from pinyon.django.base import Backend, redis_timeout
from pinyon.django.redis_methods.entries import Entries
from pinyon.django.redis_methods.hashes import Hashes
from pinyon.django.redis_methods.keys import Keys
from pinyon.django.redis_methods.lists import Lists
from pinyon.django.redis_methods.sets import Sets
from pinyon.django.redis_methods.sorted_sets import SortedSets

#: The one of django-redis's connection factories that says where the servers are.
SENTINEL_FACTORY = "django_redis.pool.SentinelConnectionFactory"

#: Django-redis's settings for all caches at once.
IGNORE = "DJANGO_REDIS_IGNORE_EXCEPTIONS"
LOG_IGNORED = "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS"
FACTORY = "DJANGO_REDIS_CONNECTION_FACTORY"
FOR_ALL_CACHES = frozenset({IGNORE, LOG_IGNORED, FACTORY})


class RedisCache(Entries, Keys, Sets, Hashes, SortedSets, Lists, _pinyon.RedisCache, OnTheLoop, Backend):
    """Stands in for ``django.core.cache.backends.redis.RedisCache`` and ``django_redis.cache.RedisCache``.

    LOCATION is a URL or several, the primary first. OPTIONS are Django's and django-redis's, and TIMEOUT_UNIT ("s"),
    ON_BAD_VALUE ("miss"). Connections belong to the process, not to this object: they stay open between requests.
    """

    _backend_path = "pinyon.django.RedisCache"
    #: Whether it does as django-redis's HerdClient does.
    _herds = False

    get_backend_timeout = redis_timeout

    def _read(
        self, location: Any, params: dict[str, Any], given: dict[str, Any] | None = None
    ) -> _pinyon.Configuration:
        options = params.get("OPTIONS")
        if options and not self._herds and _is_herd_client(options):
            from pinyon.django.redis_methods.herd import herding

            self.__class__ = herding(cast(Any, type(self)))
            return self._read(location, params, given)
        common = for_all_caches()
        if common.get(LOG_IGNORED):
            self.__dict__["_logs_ignored"] = True
        completed = _with_common(common, params) if common else params
        return super()._read(location, completed, params if given is None else given)

    @classmethod
    def _complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        """Add django-redis's settings for all caches at once; what a cache says itself wins."""
        return _with_common(for_all_caches(), params)

    def _log_ignored(self, error: Exception) -> None:
        """Log an error that the settings ignore, as DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS asks."""
        name = getattr(settings, "DJANGO_REDIS_LOGGER", None) or "pinyon"
        logging.getLogger(name).error("Exception ignored: %s", error)


def for_all_caches() -> dict[str, Any]:
    """Return those of django-redis's settings for all caches at once that are set.

    The same as ``getattr(settings, name, None)`` of each, which takes longer than to make a backend if the setting is not there: looks
    into the settings themselves and, under ``override_settings`` and ``settings.configure``, into those below them.
    """
    found: dict[str, Any] = {}
    layer = object.__getattribute__(settings, "_wrapped")
    # Django's own defaults have none of them.
    while layer is not None and layer is not global_settings:
        own = getattr(layer, "__dict__", {})
        if not own.keys().isdisjoint(FOR_ALL_CACHES):
            found = {**{name: own[name] for name in FOR_ALL_CACHES if name in own}, **found}
        if deleted := own.get("_deleted"):
            found = {**dict.fromkeys(deleted & FOR_ALL_CACHES), **found}
        layer = own.get("default_settings")
    return found


def _is_herd_client(options: Any) -> bool:
    # Any other class of this name is an error of the settings.
    return isinstance(options, dict) and str(options.get("CLIENT_CLASS")).endswith(".HerdClient")


def _with_common(common: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    options = params.get("OPTIONS") or {}
    added: dict[str, Any] = {}
    if common.get(IGNORE):
        added["IGNORE_EXCEPTIONS"] = True
    if common.get(FACTORY) == SENTINEL_FACTORY:
        added["CONNECTION_FACTORY"] = SENTINEL_FACTORY
    return {**params, "OPTIONS": {**added, **options}} if added and isinstance(options, dict) else params
