"""Hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pinyon.django.redis_methods.plan import Plan, RedisMethods, Request, operation, twin


class Hashes(RedisMethods):
    """Fields are text, numbers or bytes, stored as they are; values are any values, integers stored as digits."""

    @operation(int)
    def hset(
        self,
        key: Any,
        field: Any = None,
        value: Any = None,
        mapping: Mapping[Any, Any] | None = None,
        version: Any = None,
        client: Any = None,
    ) -> Plan[int]:
        """Set a field, the fields in ``mapping``, or both; return how many are new. ValueError if there is none to set."""
        pairs = {} if field is None else {field: value}
        pairs.update(mapping or {})
        if not pairs:
            raise ValueError("hset needs a field and its value, or a mapping")
        words = [word for name, item in pairs.items() for word in (name, self._encode(item))]
        (added,) = yield Request(("HSET", self._key(key, version), *words))
        return int(added)

    @operation()
    def hget(self, key: Any, field: Any, version: Any = None, client: Any = None) -> Plan[Any]:
        """Return the value of a field, or None."""
        made = self._key(key, version)
        (value,) = yield Request(("HGET", made, field), read=True)
        return self._decode(made, value)

    @operation(dict)
    def hgetall(self, key: Any, version: Any = None, client: Any = None) -> Plan[dict[str, Any]]:
        """Return all fields, as text, with their values."""
        made = self._key(key, version)
        (words,) = yield Request(("HGETALL", made), read=True)
        pairs = zip(words[::2], words[1::2], strict=True)
        return {_field(name): self._decode(made, value) for name, value in pairs}

    @operation(list)
    def hmget(self, key: Any, fields: Iterable[Any], version: Any = None, client: Any = None) -> Plan[list[Any]]:
        """Return the values of ``fields`` in their order, None for one that there is not."""
        made, fields = self._key(key, version), [*fields]
        if not fields:
            return []
        (values,) = yield Request(("HMGET", made, *fields), read=True)
        return [self._decode(made, value) for value in values]

    @operation()
    def hincrby(self, key: Any, field: Any, delta: int = 1, version: Any = None, client: Any = None) -> Plan[int]:
        """Add ``delta`` to a field that holds an integer, or none yet; return the sum."""
        (total,) = yield Request(("HINCRBY", self._key(key, version), field, delta))
        return int(total)

    @operation(int)
    def hdel(self, key: Any, field: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Remove a field; return 1 if there was one, else 0."""
        (removed,) = yield Request(("HDEL", self._key(key, version), field))
        return int(removed)

    @operation(int)
    def hlen(self, key: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Return the number of fields."""
        (count,) = yield Request(("HLEN", self._key(key, version)), read=True)
        return int(count)

    @operation(list)
    def hkeys(self, key: Any, version: Any = None, client: Any = None) -> Plan[list[str]]:
        """Return the names of the fields, as text."""
        (names,) = yield Request(("HKEYS", self._key(key, version)), read=True)
        return [_field(name) for name in names]

    @operation(bool)
    def hexists(self, key: Any, field: Any, version: Any = None, client: Any = None) -> Plan[bool]:
        """Return whether there is such a field."""
        (found,) = yield Request(("HEXISTS", self._key(key, version), field), read=True)
        return bool(found)

    ahset = twin(hset)
    ahget = twin(hget)
    ahgetall = twin(hgetall)
    ahmget = twin(hmget)
    ahincrby = twin(hincrby)
    ahdel = twin(hdel)
    ahlen = twin(hlen)
    ahkeys = twin(hkeys)
    ahexists = twin(hexists)


def _field(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
