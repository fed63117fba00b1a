"""Pinyon's Redis backend on a Redis Cluster, whatever OPTIONS a test gives it."""

from pinyon.django import RedisCache as Single


class RedisCache(Single):
    def _read(self, location, params, given=None):
        options = params.get("OPTIONS") or {}
        return super()._read(location, {**params, "OPTIONS": {**options, "CLUSTER": True}}, given)
