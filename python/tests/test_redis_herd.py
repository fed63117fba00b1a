"""CLIENT_CLASS = HerdClient: entries outlive their timeout, and are django-redis's."""

import pickle
import pickletools
import subprocess
import sys
from datetime import timedelta
from unittest import mock

import backends
import pytest
from django.test import override_settings
from pinyon.django import RedisCache, get_redis_connection
from redis_faces import face

__all__ = ["face"]

pytestmark = pytest.mark.pinyon_only

CLIENT = {"CLIENT_CLASS": "django_redis.client.HerdClient"}


class Clock:
    """The time in Python; that of the server goes on as ever."""

    def __init__(self):
        import time

        self.real, self.ahead = time.time, 0

    def __call__(self):
        return self.real() + self.ahead


@pytest.fixture
def clock():
    clock = Clock()
    with mock.patch("time.time", clock):
        yield clock


@pytest.fixture
def pair(params, configure):
    """Our cache and django-redis's, on the same entries."""
    ours = params("redis", OPTIONS={**CLIENT, "TIMEOUT_UNIT": "ms"})
    theirs = {**ours, "BACKEND": backends.OTHERS["django_redis"], "OPTIONS": CLIENT}
    caches = configure({"default": ours, "theirs": theirs})
    return caches["default"], caches["theirs"]


@pytest.fixture
def cache(pair):
    return pair[0]


def test_the_option_chooses_a_subclass_and_no_other_cache_has_it(cache, params, configure):
    assert isinstance(cache, RedisCache)
    assert type(cache) is not RedisCache
    assert type(configure({"default": params("redis")})["default"]) is RedisCache
    path = "django_redis.client.herd.HerdClient"
    assert type(configure({"default": params("redis", OPTIONS={"CLIENT_CLASS": path})})["default"]) is type(cache)


def test_entries_live_longer_than_their_timeout_says(cache, face):
    face(cache).set("a", 1, 100)
    face(cache).set_many({"b": 2}, 100)
    face(cache).add("c", 3, 100)
    assert all(100_000 + 59_000 < cache.pttl(key) <= 100_000 + 60_000 for key in "abc")
    with override_settings(CACHE_HERD_TIMEOUT=5):
        face(cache).set("a", 1, 100)
        assert 104_000 < cache.pttl("a") <= 105_000
    face(cache).set("a", 1, None)
    assert cache.pttl("a") is None
    face(cache).set("a", 1, 0)
    assert cache.has_key("a") is False
    face(cache).set_many({"b": 2}, 100, herd=False)
    assert cache.pttl("b") <= 100_000


def test_past_the_timeout_the_first_reader_gets_a_miss_and_the_others_the_old_value(cache, face, clock):
    cache.set("a", "old", 100)
    clock.ahead = 99
    assert face(cache).get("a", "miss") == "old"
    clock.ahead = 102
    assert [face(cache).get("a", "miss") for _ in range(3)] == ["miss", "old", "old"]
    # Who was told to has not done it: after half of the rest somebody else is.
    clock.ahead = 102 + 30
    assert [face(cache).get("a", "miss") for _ in range(3)] == ["miss", "old", "old"]
    face(cache).set("a", "new", 100)
    assert face(cache).get("a", "miss") == "new"


def test_a_stored_none_is_a_value(cache, face, clock):
    cache.set("a", None, 100)
    clock.ahead = 102
    assert [face(cache).get("a", "miss") for _ in range(2)] == ["miss", None]
    assert face(cache).get_many(["a"]) == {"a": None}


def test_get_many_leaves_out_what_this_reader_is_to_make(cache, face, clock):
    cache.set_many({"a": 1, "b": 2}, 100)
    cache.set("c", 3, 1000)
    cache.set("d", 4, None)
    clock.ahead = 102
    assert face(cache).get_many(["a", "b", "c", "d", "e"]) == {"c": 3, "d": 4}
    assert face(cache).get_many(["a", "b", "c", "d", "e"]) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_value_that_came_meanwhile_is_not_replaced_by_the_old_one(cache, clock):
    cache.set("a", "old", 100)
    clock.ahead = 102
    refresh = type(cache)._refresh

    def slow(self, keys, version):
        self.set("a", "new", 100)
        return refresh(self, keys, version)

    with mock.patch.object(type(cache), "_refresh", slow):
        assert cache.get("a", "miss") == "new"
    assert cache.get("a") == "new"


def test_add_touch_and_incr_take_an_entry_past_its_timeout_for_none(cache, face, clock):
    assert face(cache).add("a", 1, 100) is True
    assert face(cache).add("a", 2, 100) is False
    assert face(cache).set("a", 2, 100, nx=True) is False
    assert face(cache).touch("a", 200) is True
    assert 259_000 < cache.pttl("a") <= 260_000
    assert (face(cache).touch("no"), face(cache).touch("a", 0), face(cache).has_key("a")) == (False, True, False)
    cache.set("a", 1, 100)
    clock.ahead = 102
    assert face(cache).touch("a", 200) is False
    with pytest.raises(ValueError, match="not found"):
        face(cache).incr("a")
    assert face(cache).add("a", 3, 100) is True
    assert face(cache).get("a") == 3


def test_incr_and_decr_are_right_and_keep_the_timeout(cache, face, clock):
    cache.set("a", 5, 100)
    cache.set("b", 5, None)
    cache.set("text", "x", 100)
    assert (face(cache).incr("a", 2), face(cache).decr("a"), face(cache).incr("b"), cache.get("b")) == (7, 6, 6, 6)
    assert 159_000 < cache.pttl("a") <= 160_000
    assert cache.pttl("b") is None
    assert face(cache).incr("new", 3, ignore_key_check=True) == 3
    with pytest.raises(TypeError):
        face(cache).incr("text")
    clock.ahead = 102
    assert [face(cache).get("a", "miss"), face(cache).get("a", "miss")] == ["miss", 6]


def test_get_or_set_makes_a_value_whose_timeout_is_over_anew(cache, face, clock):
    assert face(cache).get_or_set("a", lambda: "one", 100) == "one"
    assert face(cache).get_or_set("a", lambda: "two", 100) == "one"
    clock.ahead = 102
    assert face(cache).get_or_set("a", lambda: "three", 100) == "three"
    assert face(cache).get("a") == "three"


def test_incr_version_and_the_value_before(cache, face):
    cache.set("a", [1], 100)
    assert face(cache).incr_version("a") == 2
    assert (cache.get("a"), cache.get("a", version=2)) == (None, [1])
    assert face(cache).set("a", [2], 100, version=2, get=True) == [1]
    assert face(cache).set("no", 1, 100, xx=True) is False


def test_entries_are_those_of_django_redis_both_ways(pair, face, clock):
    ours, theirs = pair
    for key, value in {"list": [1, {"a": 2}], "none": None, "int": 49, "time": timedelta(1)}.items():
        for timeout in (100, None):
            face(ours).set(key, value, timeout)
            assert theirs.get(key, "miss") == value
            theirs.set(key, value, timeout)
            assert face(ours).get(key, "miss") == value
            assert face(ours).get_many([key]) == {key: value}
    theirs.set("a", "theirs", 100)
    face(ours).set("b", "ours", 100)
    (theirs_raw, ours_raw) = (get_redis_connection().execute("GET", f":1:{key}") for key in "ab")
    named = [
        [op[1] for op in pickletools.genops(raw) if op[0].name.endswith("UNICODE")] for raw in (theirs_raw, ours_raw)
    ]
    assert named[0][:2] == named[1][:2] == ["django_redis.client.herd", "Marker"]
    clock.ahead = 100 + 62
    assert (face(ours).get("a", "miss"), theirs.get("b", "miss")) == ("miss", "miss")
    assert theirs.get("a", "miss") == "theirs"


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django_redis", "redis"):
            raise ImportError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import pickle
from django.conf import settings
cache = {"BACKEND": "pinyon.django.RedisCache", "LOCATION": sys.argv[1], "OPTIONS": {"CLIENT_CLASS": "django_redis.client.HerdClient"}}
settings.configure(CACHES={"default": cache})
from django.core.cache import cache
assert cache.get("theirs") == ["theirs"], cache.get("theirs")
cache.set("ours", ["ours"], 100)
assert cache.get("ours") == ["ours"] and cache.incr_version("ours") == 2
try:
    import django_redis
except ImportError:
    print("fine")
"""


def test_it_works_where_django_redis_is_not_installed(pair, redis_server):
    ours, theirs = pair
    theirs.set("theirs", ["theirs"], 100)
    done = subprocess.run([sys.executable, "-c", WITHOUT, redis_server.url], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr
    assert theirs.get("ours", version=2) == ours.get("ours", version=2) == ["ours"]
    assert pickle.loads(get_redis_connection().execute("GET", ":2:ours"))[1] == ["ours"]
