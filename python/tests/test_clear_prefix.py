"""OPTIONS CLEAR = "prefix": clear() removes the keys of this cache's prefix and version, and no others."""

import hashlib

import pytest
from django.core.exceptions import ImproperlyConfigured
from pinyon.exceptions import CacheConnectionError
from redis_faces import face
from servers import RedisServer

__all__ = ["face"]

pytestmark = pytest.mark.pinyon_only


def turned(key, prefix, version):
    return f"{version}/{prefix}/{key}"


def hashed(key, prefix, version):
    return hashlib.sha256(f"{prefix}:{version}:{key}".encode()).hexdigest()


@pytest.fixture
def shared(params, configure):
    """Caches on one database, by their prefixes."""
    scopes = {"sh*p": {"CLEAR": "prefix"}, "shop": {}, "": {"CLEAR": "prefix"}}
    made = {prefix or "none": params("redis", KEY_PREFIX=prefix, OPTIONS=options) for prefix, options in scopes.items()}
    made["turned"] = params("redis", KEY_PREFIX="p", KEY_FUNCTION=turned, OPTIONS={"CLEAR": "prefix"})
    return configure({"default": made["shop"], **made})


def test_only_the_keys_of_prefix_and_version_go(shared, face, redis_server):
    for alias in ("sh*p", "shop", "none", "turned"):
        shared[alias].set_many({"a": 1, "b:c": 2})
        shared[alias].set("old", 1, version=2)
    with redis_server.client() as client:

        def left():
            return sorted(key.decode() for key in client.keys("*") if not key.endswith(b"old"))

        assert face(shared["sh*p"]).clear() is True
        assert left() == ["1/p/a", "1/p/b:c", ":1:a", ":1:b:c", "shop:1:a", "shop:1:b:c"]
        face(shared["none"]).clear()
        assert left() == ["1/p/a", "1/p/b:c", "shop:1:a", "shop:1:b:c"]
        face(shared["turned"]).clear()
        assert left() == ["shop:1:a", "shop:1:b:c"]
        assert shared["sh*p"].get("old", version=2) == 1
        face(shared["shop"]).clear()
        assert client.dbsize() == 0


def test_more_keys_than_the_server_looks_at_in_one_round_trip_go(shared, face):
    cache = shared["sh*p"]
    cache.set_many(dict.fromkeys(map(str, range(12_000)), 1))
    face(cache).clear()
    assert cache.keys("*") == []


@pytest.mark.parametrize("ignore", [False, True])
def test_a_dead_server_is_an_error_or_ignored_as_the_settings_say(ignore, params, configure, face):
    with RedisServer() as server:
        options = {"CLEAR": "prefix", "IGNORE_EXCEPTIONS": ignore}
        cache = configure({"default": params("redis", LOCATION=server.url, OPTIONS=options)})["default"]
    if ignore:
        assert face(cache).clear() is True
    else:
        with pytest.raises(CacheConnectionError, match="clear"):
            face(cache).clear()


def test_keys_that_no_pattern_fits_are_an_error(params, configure, face):
    options = {"CLEAR": "prefix"}
    cache = configure({"default": params("redis", KEY_FUNCTION=hashed, OPTIONS=options)})["default"]
    cache.set("a", 1)
    with pytest.raises(ImproperlyConfigured, match="KEY_FUNCTION"):
        face(cache).clear()
    assert cache.get("a") == 1


def test_a_scope_that_there_is_not_is_named(params, configure):
    with pytest.raises(ImproperlyConfigured, match=r"CLEAR.*'database' or 'prefix'"):
        configure({"default": params("redis", OPTIONS={"CLEAR": "all"})})["default"]
