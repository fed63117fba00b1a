"""One thread that calls one operation again and again. A case is an operation and a value: "get/100B"."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice, repeat
from typing import Any

from django.core.cache import caches

from bench.timing import Action, Timed, Unsupported, Wrong
from bench.values import VALUES

#: How many keys are used in turn, and how many a call of get_many or set_many has.
KEYS = 100
ABSENT = "absent"
READS = ("get", "miss", "get_many")


def check(found: Any, expected: Any, what: str) -> None:
    if type(found) is not type(expected) or found != expected:
        raise Wrong(f"{what} answered {found!r:.60}, not {expected!r:.60}")


def calls(call: Callable[[str], Any], keys: list[str]) -> Callable[[int], int]:
    """Call with one key after the other."""

    def run(count: int) -> int:
        for key in islice(cycle(keys), count):
            call(key)
        return count

    return run


def calls_with(call: Callable[[str, Any], Any], keys: list[str], value: Any) -> Callable[[int], int]:
    """Call with one key after the other and a value."""

    def run(count: int) -> int:
        for key in islice(cycle(keys), count):
            call(key, value)
        return count

    return run


def same_call(call: Callable[[Any], Any], argument: Any) -> Callable[[int], int]:
    """Call with the same argument."""

    def run(count: int) -> int:
        for _ in repeat(None, count):
            call(argument)
        return count

    return run


class OneThread(Timed):
    """get, miss, set, add, incr, touch, delete, get_many and set_many, each in a method that checks it first.

    `options["keys"]`: how many keys are used, if not 100. `options["writes"]`: how many keys a turn may write at most, if that
    matters; set_many writes all of its own once.
    """

    #: The keys of the last case.
    used: list[str] = []

    def action(self, case: str) -> Action:
        operation, name = case.split("/")
        cache, value = caches["default"], VALUES[name]
        if hasattr(cache, "run_of"):
            if run := cache.run_of(operation, value):
                return Action(run)
            raise Unsupported
        if not hasattr(cache, "get" if operation == "miss" else operation):
            raise Unsupported
        # A store that grows from case to case would get slower, and not for all.
        if hasattr(cache, "delete_many"):
            cache.delete_many(self.used)
        keys = self.used = [f"{operation}-{name}-{number}" for number in range(self.options.get("keys", KEYS))]
        found: Action = getattr(self, operation)(cache, keys, value)
        if operation not in READS and "writes" in self.options:
            found.limit = min(found.limit, max(1, self.options["writes"] // (KEYS if operation == "set_many" else 1)))
        return found

    def get(self, cache: Any, keys: list[str], value: Any) -> Action:
        for key in keys:
            cache.set(key, value)
        check(cache.get(keys[-1]), value, "get")
        return Action(calls(cache.get, keys))

    def miss(self, cache: Any, keys: list[str], value: Any) -> Action:
        check(cache.get(ABSENT), None, "get of a missing key")
        return Action(calls(cache.get, keys))

    def set(self, cache: Any, keys: list[str], value: Any) -> Action:
        run = calls_with(cache.set, keys, value)
        run(len(keys))
        check(cache.get(keys[0]), value, "get after set")
        return Action(run)

    def add(self, cache: Any, keys: list[str], value: Any) -> Action:
        check(cache.add(keys[0], value), True, "add")
        check(cache.add(keys[0], "other"), False, "add of a key that is there")
        check(cache.get(keys[0]), value, "get after add")
        cache.delete(keys[0])
        fresh = self.fresh_keys(keys[0])
        # Every call has a key of its own, which is gone again before the next turn.
        return Action(
            calls_with(cache.add, fresh, value), after=lambda count: cache.delete_many(fresh[:count]), limit=len(fresh)
        )

    def delete(self, cache: Any, keys: list[str], value: Any) -> Action:
        fresh = self.fresh_keys(keys[0])

        def fill(count: int) -> None:
            cache.set_many(dict.fromkeys(fresh[:count], value))

        fill(1)
        cache.delete(fresh[0])
        check(cache.get(fresh[0]), None, "get after delete")
        return Action(calls(cache.delete, fresh), before=fill, limit=len(fresh))

    @staticmethod
    def fresh_keys(stem: str) -> list[str]:
        return [f"{stem}-{number}" for number in range(10_000)]

    def incr(self, cache: Any, keys: list[str], value: Any) -> Action:
        for key in keys:
            cache.set(key, 1)
        check(cache.incr(keys[0]), 2, "incr")
        check(cache.incr(keys[0], 10), 12, "incr by 10")
        check(cache.get(keys[0]), 12, "get after incr")
        return Action(calls(cache.incr, keys))

    def touch(self, cache: Any, keys: list[str], value: Any) -> Action:
        for key in keys:
            cache.set(key, value)
        check(bool(cache.touch(keys[0])), True, "touch")
        check(bool(cache.touch(ABSENT)), False, "touch of a missing key")
        check(cache.get(keys[0]), value, "get after touch")
        return Action(calls(cache.touch, keys))

    def get_many(self, cache: Any, keys: list[str], value: Any) -> Action:
        cache.set_many(dict.fromkeys(keys, value))
        check(dict(cache.get_many(keys)), dict.fromkeys(keys, value), "get_many")
        return Action(same_call(cache.get_many, keys))

    def set_many(self, cache: Any, keys: list[str], value: Any) -> Action:
        entries = dict.fromkeys(keys, value)
        cache.set_many(entries)
        check(cache.get(keys[-1]), value, "get after set_many")
        return Action(same_call(cache.set_many, entries))
