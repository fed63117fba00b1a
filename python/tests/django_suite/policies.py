"""Process memory with another policy than Django's, under the name of a class, since Django's tests choose caches by that."""

from pinyon.django import LocMemCache


class TinyLfuLocMemCache(LocMemCache):
    def __init__(self, location, params):
        options = {**(params.get("OPTIONS") or {}), "POLICY": "tinylfu"}
        super().__init__(location, {**params, "OPTIONS": options})
