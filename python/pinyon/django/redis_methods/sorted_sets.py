"""Sorted sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pinyon import _pinyon
from pinyon.django.redis_methods.plan import Plan, RedisMethods, Request, operation, twin

Cast = Callable[[float], Any]


class SortedSets(RedisMethods):
    """Members are any values, integers serialized like the rest; scores are floats.

    A limit of scores is a number, or text: ``"-inf"``, ``"+inf"``, ``"(1.5"`` for what is beyond 1.5.
    """

    @operation(int)
    def zadd(
        self,
        key: Any,
        mapping: Mapping[Any, float],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
        version: Any = None,
        client: Any = None,
    ) -> Plan[int | float | None]:
        """Give members their scores; return how many are new, with ``ch`` how many are new or changed.

        Only new members (``nx``), only those that there are (``xx``), and of these only to greater (``gt``) or lesser (``lt``)
        scores. ``incr`` adds the score of a single member to the one that it has; returns the sum, None if nothing was done.
        """
        if not mapping or (incr and len(mapping) != 1):
            raise ValueError("zadd needs one member with incr, else one or more")
        if (nx and (xx or gt or lt)) or (gt and lt):
            raise ValueError("of nx, xx, gt and lt, zadd takes one, or xx with gt or lt")
        options = [name for name, chosen in zip(_ZADD, (nx, xx, gt, lt, ch, incr), strict=True) if chosen]
        words = [word for member, score in mapping.items() for word in (score, self._encode_member(member))]
        (done,) = yield Request(("ZADD", self._key(key, version), *options, *words))
        return _score(done) if incr else int(done)

    @operation(int)
    def zcard(self, key: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Return the number of members."""
        (count,) = yield Request(("ZCARD", self._key(key, version)), read=True)
        return int(count)

    @operation(int)
    def zcount(
        self, key: Any, min: float | str, max: float | str, version: Any = None, client: Any = None
    ) -> Plan[int]:
        """Return the number of members with scores from ``min`` to ``max``."""
        (count,) = yield Request(("ZCOUNT", self._key(key, version), min, max), read=True)
        return int(count)

    @operation()
    def zincrby(
        self, key: Any, amount: float, value: Any, version: Any = None, client: Any = None
    ) -> Plan[float | None]:
        """Add ``amount`` to the score of a member, 0 if it is new; return the sum."""
        (total,) = yield Request(("ZINCRBY", self._key(key, version), amount, self._encode_member(value)))
        return _score(total)

    @operation(several=list)
    def zpopmax(self, key: Any, count: int | None = None, version: Any = None, client: Any = None) -> Plan[Any]:
        """Remove the member with the highest score; return it with the score, or None. With ``count``, a list of as many."""
        return (yield from self._pop_member("ZPOPMAX", key, count, version))

    @operation(several=list)
    def zpopmin(self, key: Any, count: int | None = None, version: Any = None, client: Any = None) -> Plan[Any]:
        """Remove the member with the lowest score; return it with the score, or None. With ``count``, a list of as many."""
        return (yield from self._pop_member("ZPOPMIN", key, count, version))

    @operation(list)
    def zrange(
        self,
        key: Any,
        start: int,
        end: int,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: Any = None,
        client: Any = None,
    ) -> Plan[list[Any]]:
        """Return the members from index ``start`` to ``end`` by score, with ``desc`` from the highest; the last one included."""
        command = "ZREVRANGE" if desc else "ZRANGE"
        return (yield from self._range((command, self._key(key, version), start, end), withscores, score_cast_func))

    @operation(list)
    def zrevrange(
        self,
        key: Any,
        start: int,
        end: int,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: Any = None,
        client: Any = None,
    ) -> Plan[list[Any]]:
        """:meth:`zrange` from the highest score."""
        command = ("ZREVRANGE", self._key(key, version), start, end)
        return (yield from self._range(command, withscores, score_cast_func))

    @operation(list)
    def zrangebyscore(
        self,
        key: Any,
        min: float | str,
        max: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: Any = None,
        client: Any = None,
    ) -> Plan[list[Any]]:
        """Return the members with scores from ``min`` to ``max``; of these, ``num`` from index ``start``."""
        command = ("ZRANGEBYSCORE", self._key(key, version), min, max)
        return (yield from self._range(command, withscores, score_cast_func, start, num))

    @operation(list)
    def zrevrangebyscore(
        self,
        key: Any,
        max: float | str,
        min: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: Any = None,
        client: Any = None,
    ) -> Plan[list[Any]]:
        """:meth:`zrangebyscore` from the highest score; the limits stand the other way round too."""
        command = ("ZREVRANGEBYSCORE", self._key(key, version), max, min)
        return (yield from self._range(command, withscores, score_cast_func, start, num))

    @operation()
    def zrank(
        self, key: Any, value: Any, withscore: bool = False, version: Any = None, client: Any = None
    ) -> Plan[Any]:
        """Return the index of a member by score, or None; ``withscore``: a list of index and score (Redis 7.2 or later)."""
        words = ("ZRANK", self._key(key, version), self._encode_member(value))
        (rank,) = yield Request((*words, "WITHSCORE") if withscore else words, read=True)
        return [rank[0], _score(rank[1])] if rank is not None and withscore else rank

    @operation(int)
    def zrem(self, key: Any, *values: Any, version: Any = None, client: Any = None) -> Plan[int]:
        """Remove members; return how many were there."""
        words = [self._encode_member(value) for value in values]
        (removed,) = yield Request(("ZREM", self._key(key, version), *words))
        return int(removed)

    @operation(int)
    def zremrangebyscore(
        self, key: Any, min: float | str, max: float | str, version: Any = None, client: Any = None
    ) -> Plan[int]:
        """Remove the members with scores from ``min`` to ``max``; return how many."""
        (removed,) = yield Request(("ZREMRANGEBYSCORE", self._key(key, version), min, max))
        return int(removed)

    @operation()
    def zscore(self, key: Any, value: Any, version: Any = None, client: Any = None) -> Plan[float | None]:
        """Return the score of a member, or None."""
        (score,) = yield Request(("ZSCORE", self._key(key, version), self._encode_member(value)), read=True)
        return _score(score)

    def _encode_member(self, value: Any) -> bytes:
        return _pinyon.encode(self, value, False)

    def _decode_member(self, key: str, data: bytes) -> Any:
        return _pinyon.decode(self, key, data, False)

    def _pop_member(self, command: str, key: Any, count: int | None, version: Any) -> Plan[Any]:
        made = self._key(key, version)
        (popped,) = yield Request((command, made) if count is None else (command, made, count))
        pairs = [(self._decode_member(made, member), _score(score)) for member, score in _pairs(popped)]
        return pairs if count is not None else pairs[0] if pairs else None

    def _range(
        self,
        command: tuple[Any, ...],
        withscores: bool,
        score_cast_func: Cast,
        start: int | None = None,
        num: int | None = None,
    ) -> Plan[list[Any]]:
        if (start is None) != (num is None):
            raise ValueError("start and num go together")
        scores = ("WITHSCORES",) if withscores else ()
        limit = () if start is None else ("LIMIT", start, num)
        (found,) = yield Request((*command, *scores, *limit), read=True)
        made = command[1]
        if not withscores:
            return [self._decode_member(made, member) for member in found]
        return [(self._decode_member(made, member), score_cast_func(float(score))) for member, score in _pairs(found)]

    azadd = twin(zadd)
    azcard = twin(zcard)
    azcount = twin(zcount)
    azincrby = twin(zincrby)
    azpopmax = twin(zpopmax)
    azpopmin = twin(zpopmin)
    azrange = twin(zrange)
    azrevrange = twin(zrevrange)
    azrangebyscore = twin(zrangebyscore)
    azrevrangebyscore = twin(zrevrangebyscore)
    azrank = twin(zrank)
    azrem = twin(zrem)
    azremrangebyscore = twin(zremrangebyscore)
    azscore = twin(zscore)


_ZADD = ("NX", "XX", "GT", "LT", "CH", "INCR")


def _score(text: bytes | None) -> float | None:
    return None if text is None else float(text)


def _pairs(words: list[Any]) -> list[tuple[bytes, bytes]]:
    """Members with their scores: flat in RESP2, and each pair a list of its own in RESP3."""
    if words and isinstance(words[0], list):
        return [(member, score) for member, score in words]
    return [*zip(words[::2], words[1::2], strict=True)]
