"""Serializers in place of pickle, for a cache that other languages read."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder


class JSONSerializer:
    """``SERIALIZER = "json"``: as django-redis writes it, with Django's encoder for dates and decimals."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, cls=DjangoJSONEncoder).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class MsgpackSerializer:
    """``SERIALIZER = "msgpack"``: as django-redis writes it; needs the package ``msgpack``."""

    def __init__(self) -> None:
        try:
            import msgpack
        except ImportError as error:
            raise ImproperlyConfigured(
                'SERIALIZER = "msgpack" needs the package msgpack: pip install msgpack'
            ) from error
        self._msgpack = msgpack

    def dumps(self, value: Any) -> bytes:
        packed: bytes = self._msgpack.dumps(value)
        return packed

    def loads(self, data: bytes) -> Any:
        return self._msgpack.loads(data, raw=False)
