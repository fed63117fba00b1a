"""Redis and Valkey."""

from __future__ import annotations

from pinyon import _pinyon
from pinyon.django.asynchronous import OnTheLoop
from pinyon.django.base import Backend, redis_timeout, with_functions


@with_functions
class RedisCache(_pinyon.RedisCache, OnTheLoop, Backend):
    """Stands in for ``django.core.cache.backends.redis.RedisCache`` and ``django_redis.cache.RedisCache``.

    LOCATION is a URL or several, the primary first. OPTIONS are Django's and django-redis's, and TIMEOUT_UNIT ("s"),
    ON_BAD_VALUE ("miss"). Connections belong to the process, not to this object: they stay open between requests.
    """

    _backend_path = "pinyon.django.RedisCache"

    get_backend_timeout = redis_timeout
