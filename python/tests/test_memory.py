"""What process memory alone has: named stores, culling, bytes."""

import pytest
from backends import BACKENDS
from payloads import Interrupting


def filled(cache, count, start=0):
    for number in range(start, start + count):
        cache.set(f"k{number}", "v")
    return [number for number in range(start + count) if cache.has_key(f"k{number}")]


@pytest.fixture
def memory(params, configure):
    def make(**options):
        return configure({"default": params("memory", OPTIONS=options)})["default"]

    return make


def test_stores_are_shared_by_name(configure):
    backend = BACKENDS["memory"]
    caches = configure(
        {
            "unnamed": {"BACKEND": backend},
            "also unnamed": {"BACKEND": backend, "LOCATION": ""},
            "named": {"BACKEND": backend, "LOCATION": "shared-by-name"},
        }
    )
    caches["unnamed"].clear()
    caches["unnamed"].set("key", 1)
    assert caches["also unnamed"].get("key") == 1
    assert caches["named"].get("key") is None


@pytest.mark.parametrize(("frequency", "left"), [(3, 29), (2, 19), (1, 19), (0, 19)])
def test_culling_leaves_djangos_numbers(memory, frequency, left):
    assert len(filled(memory(MAX_ENTRIES=30, CULL_FREQUENCY=frequency), 49)) == left


def test_the_least_recently_used_entries_go_first(memory):
    cache = memory(MAX_ENTRIES=9)
    filled(cache, 9)
    for number in range(6):
        cache.get(f"k{number}")
    cache.set("new", 1)
    assert [number for number in range(9) if cache.has_key(f"k{number}")] == list(range(6))


def test_looking_and_touching_are_no_use(memory):
    cache = memory(MAX_ENTRIES=9)
    filled(cache, 9)
    for number in range(3):
        cache.has_key(f"k{number}")
        cache.touch(f"k{number}")
        cache.add(f"k{number}", "other")
    cache.set("new", 1)
    assert [number for number in range(9) if cache.has_key(f"k{number}")] == list(range(3, 9))


def test_overwriting_in_a_full_cache_culls(memory):
    cache = memory(MAX_ENTRIES=9)
    filled(cache, 9)
    cache.set("k8", "again")
    assert len([number for number in range(9) if cache.has_key(f"k{number}")]) == 6


def test_max_entries_can_change_at_run_time(memory):
    cache = memory(MAX_ENTRIES=30)
    filled(cache, 20)
    cache._max_entries = 20
    cache.set("new", 1)
    assert len([number for number in range(20) if cache.has_key(f"k{number}")]) == 14
    cache._max_entries = -1
    cache.set("newer", 1)
    assert cache.get("newer") == 1
    cache._max_entries = 1000
    cache.clear()
    assert len(filled(cache, 100)) == 100
    cache._max_entries = 100
    cache._cull_frequency = 0
    cache.set("last", 1)
    assert cache.has_key("last")
    assert not any(cache.has_key(f"k{number}") for number in range(100))


def test_max_entries_belongs_to_the_alias_not_to_the_store(params, configure):
    entry = params("memory")
    caches = configure({"small": {**entry, "OPTIONS": {"MAX_ENTRIES": 10}}, "large": entry})
    filled(caches["large"], 50)
    assert caches["large"].get("k49") == "v"
    caches["small"].set("new", 1)
    # 50 // 3 of the store's entries go, whatever the smaller alias allows.
    assert len([number for number in range(50) if caches["large"].has_key(f"k{number}")]) == 34


def test_the_cache_may_be_used_while_a_value_is_pickled(memory):
    cache = memory()
    cache.set("key", Interrupting(lambda: cache.set("inner", 1)))
    assert cache.get("inner") == 1
    assert cache.add("other", Interrupting(lambda: cache.clear()))
    assert cache.get("inner") is None


@pytest.mark.pinyon_only
def test_max_bytes_is_never_exceeded(memory):
    cache = memory(MAX_ENTRIES=1_000_000, MAX_BYTES=100_000)
    for number in range(500):
        cache.set(f"k{number}", b"x" * 1000)
    kept = [number for number in range(500) if cache.has_key(f"k{number}")]
    assert 0 < len(kept) < 100
    assert kept[-1] == 499


@pytest.mark.pinyon_only
def test_a_value_larger_than_max_bytes_leaves_no_old_value_behind(memory):
    cache = memory(MAX_BYTES=100_000)
    cache.set("small", 1)
    cache.set("key", "old")
    cache.set("key", b"x" * 200_000)
    assert cache.get("key") is None
    assert cache.get("small") == 1


@pytest.mark.pinyon_only
def test_expired_entries_leave_before_live_ones(memory):
    cache = memory(MAX_ENTRIES=1_000_000, MAX_BYTES=100_000)
    for number in range(40):
        cache.set(f"live{number}", b"x" * 1000, None)
    for number in range(40):
        cache.set(f"dead{number}", b"x" * 1000, 0.001)
    # Reading one of them until it is gone is the only clock that both sides share.
    while cache.get("dead39") is not None:
        pass
    for number in range(30):
        cache.set(f"new{number}", b"x" * 1000, None)
    assert all(cache.has_key(f"live{number}") for number in range(40))


@pytest.mark.parametrize("value", [b"x", "text", 5, 5.5, True, None])
def test_immutable_values_come_back_equal(memory, value):
    cache = memory()
    cache.set("key", value)
    assert cache.get("key") == value
    assert type(cache.get("key")) is type(value)


LARGE = "x" * 5000
VALUES = [
    *("", "a" * 400, "a" * 401, LARGE, "é", "é" * 200, "é" * 201, "日本" * 500, "\0", "lone \ud800", "\ud800" * 500),
    *(b"", b"\0" * 400, b"\0" * 401, LARGE.encode()),
    *(0, -1, 2**63 - 1, -(2**63), 2**63, 10**500, 0.0, -0.0, 1e300, float("inf"), True, False, None),
    *([], [1, "two", None], {"key": LARGE}, (1, 2), frozenset({1})),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} {repr(value)[:12]}")
def test_values_of_every_size_come_back_as_they_were(memory, value):
    cache = memory()
    cache.set("key", value)
    cache.add("added", value)
    cache.set_many({"many": value})
    for found in (cache.get("key"), cache.get("added"), cache.get_many(["many"])["many"]):
        assert type(found) is type(value)
        assert repr(found) == repr(value)


def test_not_a_number_comes_back(memory):
    cache = memory()
    cache.set("key", float("nan"))
    assert cache.get("key") != cache.get("key")


class Text(str):
    """Not an exact str: a class of its own has to survive."""


def test_subclasses_of_what_is_kept_as_it_is_are_pickled(memory):
    cache = memory()
    cache.set("key", Text("text"))
    assert type(cache.get("key")) is Text


def test_integers_grow_beyond_64_bits_and_shrink_again(memory):
    cache = memory()
    cache.set("key", 2**63 - 1)
    assert cache.incr("key") == 2**63
    assert cache.incr("key", 2**70) == 2**63 + 2**70
    assert cache.decr("key", 2**70 + 1) == 2**63 - 1
    assert cache.decr("key", 2**63) == -1


@pytest.mark.pinyon_only
def test_bytes_count_what_is_small_and_what_is_an_object(memory):
    cache = memory()
    for value in ("x" * 100, LARGE, LARGE.encode(), "日本" * 500):
        cache.set("key", value)
        held = cache.stats()["bytes"]
        assert len(value) < held < 4 * len(value) + 500
    cache.delete("key")
    assert cache.stats()["bytes"] == 0


@pytest.fixture
def tinylfu(memory):
    def make(**options):
        return memory(POLICY="tinylfu", **options)

    return make


@pytest.mark.pinyon_only
class TestTinyLfu:
    def test_one_leaves_for_one_that_comes(self, tinylfu):
        cache = tinylfu(MAX_ENTRIES=30)
        assert len(filled(cache, 49)) == 30
        assert cache.stats()["evictions"] == 19

    def test_what_is_used_often_outlives_a_scan(self, tinylfu):
        cache = tinylfu(MAX_ENTRIES=100)
        for _ in range(5):
            for number in range(50):
                if cache.get(f"often{number}") is None:
                    cache.set(f"often{number}", "v")
        filled(cache, 10_000)
        assert sum(cache.has_key(f"often{number}") for number in range(50)) > 40

    def test_what_was_just_set_can_be_read(self, tinylfu):
        for limit in (-1, 0, 1, 2, 100, 5000):
            cache = tinylfu(MAX_ENTRIES=limit)
            for number in range(300):
                cache.set(f"k{number}", number)
                assert cache.get(f"k{number}") == number
                assert cache.add(f"a{number}", number)
                assert cache.incr(f"a{number}") == number + 1
            assert cache.stats()["entries"] <= max(limit, 1)

    def test_new_entries_stay_for_a_while(self, tinylfu):
        cache = tinylfu(MAX_ENTRIES=900)
        for _ in range(3):
            for number in range(900):
                if cache.get(f"often{number}") is None:
                    cache.set(f"often{number}", "v")
        # One in twenty: 45 entries, of which 5 are less than there is room for.
        for number in range(40):
            cache.set(f"new{number}", "v")
        assert all(cache.has_key(f"new{number}") for number in range(40))

    def test_max_bytes_is_never_exceeded(self, tinylfu):
        cache = tinylfu(MAX_ENTRIES=1_000_000, MAX_BYTES=100_000)
        for number in range(500):
            cache.set(f"k{number}", b"x" * (number % 7 * 1000))
            assert cache.stats()["bytes"] <= 100_000
            assert cache.has_key(f"k{number}")
        cache.set("k499", b"x" * 200_000)
        assert cache.get("k499") is None

    def test_expired_entries_leave_before_live_ones(self, tinylfu):
        cache = tinylfu(MAX_ENTRIES=2000)
        for number in range(1000):
            cache.set(f"live{number}", "v", None)
        for number in range(1000):
            cache.set(f"dead{number}", "v", 0.001)
        while cache.get("dead999") is not None:
            pass
        for number in range(900):
            cache.set(f"new{number}", "v", None)
        assert all(cache.has_key(f"live{number}") for number in range(1000))
        assert cache.stats()["evictions"] == 0

    def test_touch_versions_and_clear_are_as_ever(self, tinylfu):
        cache = tinylfu(MAX_ENTRIES=10)
        cache.set("key", "one", version=1)
        cache.set("key", "two", version=2)
        assert (cache.get("key", version=1), cache.get("key", version=2)) == ("one", "two")
        assert cache.touch("key", None, version=1)
        assert cache.ttl("key", version=1) is None
        assert cache.touch("key", 0, version=2)
        assert not cache.has_key("key", version=2)
        cache.clear()
        assert cache.stats()["entries"] == 0
        assert cache.get("key") is None


@pytest.mark.pinyon_only
def test_a_policy_has_a_store_of_its_own(params, configure):
    entry = params("memory")
    caches = configure({"lru": entry, "tinylfu": {**entry, "OPTIONS": {"POLICY": "tinylfu"}}})
    caches["lru"].set("key", 1)
    assert caches["tinylfu"].get("key") is None
