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
