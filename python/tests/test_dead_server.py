"""One of three Memcached servers dies, hangs or comes back; the other two go on."""

from contextlib import ExitStack

import pytest
from backends import BACKENDS, LIMITS, error
from servers import MemcachedServer, wait_until
from test_faults import promptly

KEYS = [f"k{number}" for number in range(60)]
DATA = {key: key.upper() for key in KEYS}


@pytest.fixture
def three():
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer()) for _ in range(3)]


@pytest.fixture
def filled(three, configure):
    """`filled(retry_timeout)`: the cache, the keys of the first server and those of the other two."""

    def make(retry_timeout):
        options = {**LIMITS["memcached"](0.3), "retry_timeout": retry_timeout}
        entry = {"BACKEND": BACKENDS["memcached"], "LOCATION": [server.address for server in three]}
        cache = configure({"shelf": {**entry, "OPTIONS": options}, "default": entry})["shelf"]
        assert cache.set_many(DATA) == []
        lost = [key for key in KEYS if three[0].fetch(f":1:{key}")]
        assert lost
        return cache, lost, [key for key in KEYS if key not in lost]

    return make


# pymemcache counts a closed connection as no failure yet, and so raises a second error.
@pytest.mark.parametrize("how", [pytest.param("stop", marks=pytest.mark.pinyon_only), "pause"])
def test_the_others_are_not_disturbed(how, three, filled):
    cache, lost, alive = filled(retry_timeout=600)
    getattr(three[0], how)()
    with pytest.raises(error("CacheError")):
        promptly(cache.get, lost[0])
    # From here on, the dead server is left alone: these would take minutes if each waited for it.
    for key in lost * 20:
        assert cache.get(key) is None
    for key in alive:
        assert cache.get(key) == DATA[key]
        cache.set(key, "again")
        assert cache.get(key) == "again"
    assert promptly(cache.get_many, KEYS) == dict.fromkeys(alive, "again")


@pytest.mark.pinyon_only
@pytest.mark.parametrize("how", ["stop", "pause"])
def test_the_keys_of_the_dead_server_are_misses_and_failed_sets(how, three, filled):
    cache, lost, alive = filled(retry_timeout=600)
    getattr(three[0], how)()
    with pytest.raises(error("CacheError")) as caught:
        promptly(cache.get_many, KEYS)
    assert three[0].address in str(caught.value)
    assert sorted(promptly(cache.set_many, dict.fromkeys(KEYS, "new"))) == sorted(lost)
    assert promptly(cache.get_many, KEYS) == dict.fromkeys(alive, "new")
    assert cache.add(lost[0], 1) is False
    assert cache.delete(lost[0]) is False
    assert cache.touch(lost[0]) is False
    assert cache.has_key(lost[0]) is False
    assert cache.set(lost[0], 1) is None
    assert cache.get_or_set(lost[0], "computed") == "computed"
    with pytest.raises(ValueError, match="not found"):
        cache.incr(lost[0])
    cache.delete_many(KEYS)
    assert cache.get_many(KEYS) == {}


def test_no_key_moves_to_another_server(three, filled):
    cache, lost, _ = filled(retry_timeout=600)
    three[0].pause()
    with pytest.raises(error("CacheError")):
        promptly(cache.set, lost[0], "new")
    for key in lost:
        cache.set(key, "new")
        assert three[1].fetch(f":1:{key}") is None
        assert three[2].fetch(f":1:{key}") is None


def test_a_server_that_comes_back_is_used_again(three, filled):
    cache, lost, _alive = filled(retry_timeout=0.05)
    three[0].stop()
    with pytest.raises(error("CacheError")):
        promptly(cache.get, lost[0])
    three[0].start()

    def back():
        try:
            cache.set(lost[0], "back")
            return cache.get(lost[0]) == "back"
        except error("CacheError"):
            return False

    wait_until(back, "the server to be used again")
    assert cache.set_many(DATA) == []
    assert cache.get_many(KEYS) == DATA
    assert {key for key in KEYS if three[0].fetch(f":1:{key}")} == set(lost)


@pytest.mark.pinyon_only
def test_every_thread_knows_that_the_server_is_dead(three, filled):
    from concurrent.futures import ThreadPoolExecutor

    from django.core.cache import caches

    cache, lost, _ = filled(retry_timeout=600)
    three[0].stop()
    with pytest.raises(error("CacheError")):
        promptly(cache.get, lost[0])
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda key: caches["shelf"].get(key), lost * 8)) == [None] * (len(lost) * 8)
