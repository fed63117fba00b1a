"""Redis and Valkey."""

from __future__ import annotations

import logging
from typing import Any, cast

from django.conf import settings

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


class RedisCache(Entries, Keys, Sets, Hashes, SortedSets, Lists, _pinyon.RedisCache, OnTheLoop, Backend):
    """Stands in for ``django.core.cache.backends.redis.RedisCache`` and ``django_redis.cache.RedisCache``.

    LOCATION is a URL or several, the primary first. OPTIONS are Django's and django-redis's, and TIMEOUT_UNIT ("s"),
    ON_BAD_VALUE ("miss"). Connections belong to the process, not to this object: they stay open between requests.
    """

    _backend_path = "pinyon.django.RedisCache"

    get_backend_timeout = redis_timeout

    def __new__(cls, location: Any = None, params: Any = None) -> RedisCache:
        options = (params or {}).get("OPTIONS")
        client = options.get("CLIENT_CLASS") if isinstance(options, dict) else None
        # Any other class of this name is an error of the settings.
        if client is not None and str(client).endswith(".HerdClient"):
            from pinyon.django.redis_methods.herd import herding

            cls = herding(cast(Any, cls))
        made: RedisCache = super().__new__(cls, location, params)
        return made

    def _read(
        self, location: Any, params: dict[str, Any], given: dict[str, Any] | None = None
    ) -> _pinyon.Configuration:
        if for_all_caches("DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS"):
            self.__dict__["_logs_ignored"] = True
        return super()._read(location, self._complete(params), params if given is None else given)

    @classmethod
    def _complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        """Add django-redis's settings for all caches at once; what a cache says itself wins."""
        options = params.get("OPTIONS") or {}
        common: dict[str, Any] = {}
        if for_all_caches("DJANGO_REDIS_IGNORE_EXCEPTIONS"):
            common["IGNORE_EXCEPTIONS"] = True
        if for_all_caches("DJANGO_REDIS_CONNECTION_FACTORY") == SENTINEL_FACTORY:
            common["CONNECTION_FACTORY"] = SENTINEL_FACTORY
        return {**params, "OPTIONS": {**common, **options}} if common and isinstance(options, dict) else params

    def _log_ignored(self, error: Exception) -> None:
        """Log an error that the settings ignore, as DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS asks."""
        name = getattr(settings, "DJANGO_REDIS_LOGGER", None) or "pinyon"
        logging.getLogger(name).error("Exception ignored: %s", error)


def for_all_caches(name: str) -> Any:
    """Return one of django-redis's settings; None if it is not set.

    The same as ``getattr(settings, name, None)``, which takes longer than to make a backend if the setting is not there: looks into
    the settings themselves and, under ``override_settings`` and ``settings.configure``, into those below them.
    """
    layer = object.__getattribute__(settings, "_wrapped")
    while own := getattr(layer, "__dict__", None):
        if name in own:
            return own[name]
        if name in own.get("_deleted", ()):
            return None
        layer = own.get("default_settings")
    return None
