"""CLIENT_CLASS ShardClient: several servers share the keys, each key where django-redis has it."""

import asyncio

import backends
import pytest
from pinyon.django import get_redis_connection
from pinyon.exceptions import CacheConnectionError, CacheServerError
from redis_faces import face
from servers import RedisServer

__all__ = ["face"]

pytestmark = pytest.mark.pinyon_only
DATABASES = (3, 4, 5)
KEYS = [*(f"key-{number}" for number in range(60)), "{tag}a", "{tag}b", "x{y}{tag}", "größe"]


@pytest.fixture
def shards(params, configure, redis_server):
    """Our cache and django-redis's on the same three databases."""
    location = [f"{redis_server.url}/{db}" for db in DATABASES]
    options = {"CLIENT_CLASS": "django_redis.client.ShardClient", "PICKLE_VERSION": 5, "TIMEOUT_UNIT": "ms"}
    ours = params("redis", LOCATION=location, OPTIONS=options)
    theirs = {**ours, "BACKEND": backends.OTHERS["django_redis"]}
    theirs["OPTIONS"] = {key: value for key, value in options.items() if key != "TIMEOUT_UNIT"}
    caches = configure({"default": ours, "theirs": theirs})
    return caches["default"], caches["theirs"]


def placed(server):
    """The keys of each database."""
    found = []
    for db in DATABASES:
        with server.client(db) as client:
            found.append({key.decode() for key in client.keys("*")})
    return found


def test_every_key_is_where_django_redis_has_it(shards, face, redis_server):
    ours, theirs = face(shards[0]), shards[1]
    for number, key in enumerate(KEYS):
        ours.set(key, number, 60)
    mine = placed(redis_server)
    assert all(mine)
    assert {key: theirs.get(key) for key in KEYS} == {key: number for number, key in enumerate(KEYS)}
    assert ours.clear() is True
    assert placed(redis_server) == [set()] * 3
    theirs.set_many({key: [key] for key in KEYS}, 60)
    assert placed(redis_server) == mine
    assert ours.get_many([*KEYS, "missing"]) == {key: [key] for key in KEYS}


def test_a_tag_keeps_keys_together(shards, face, redis_server):
    cache = face(shards[0])
    cache.set_many(dict.fromkeys(["{tag}a", "{tag}b", "x{y}{tag}"], 1))
    assert sorted(map(len, placed(redis_server))) == [0, 0, 3]
    assert cache.sadd("{tag}s", 1, 2) == 2
    assert cache.sadd("{tag}t", 2, 3) == 2
    assert cache.sinter("{tag}s", "{tag}t") == {2}


def test_the_methods_for_many_keys_ask_every_server(shards, face, redis_server):
    cache = face(shards[0])
    assert cache.set_many(dict.fromkeys(KEYS, 7), 60) == []
    assert cache.delete_many(KEYS[:10]) == 10
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS[10:], 7)
    assert sorted(cache.keys("*")) == sorted(KEYS[10:])
    assert sorted(cache.iter_keys("key-1*")) == [f"key-{number}" for number in range(10, 20)]
    assert cache.delete_pattern("key*", itersize=5) == 50
    assert sorted(cache.keys("*")) == sorted(KEYS[60:])
    assert cache.set_many(dict.fromkeys(KEYS, 7), 0) == []
    assert placed(redis_server) == [set()] * 3


def test_a_key_has_the_methods_of_one_server(shards, face):
    cache = face(shards[0])
    for key in KEYS[:20]:
        assert cache.add(key, 1, 60)
        assert not cache.add(key, 2)
        assert (cache.incr(key, 4), cache.ttl(key), cache.touch(key, 90), cache.ttl(key)) == (5, 60, True, 90)
        assert cache.hset(f"h-{key}", "f", key) == 1
        assert cache.hgetall(f"h-{key}") == {"f": key}
        assert cache.incr_version(key) == 2
        assert cache.get(key, version=2) == 5
        assert cache.delete(key, version=2)
        with shards[0].lock(f"l-{key}", timeout=5) as lock:
            assert lock.owned()


def test_the_raw_client_goes_where_the_key_is(shards):
    ours, _ = shards
    client = get_redis_connection()
    pipeline = client.pipeline()
    for key in KEYS:
        pipeline.add("SET", ours.make_key(key), key)
    assert pipeline.execute() == [b"OK"] * len(KEYS)
    pipeline = client.pipeline()
    for key in KEYS:
        pipeline.add("GET", ours.make_key(key))
    assert [value.decode() for value in asyncio.run(pipeline.aexecute())] == KEYS
    transaction = client.pipeline(transaction=True)
    for key in KEYS:
        transaction.add("GET", ours.make_key(key))
    with pytest.raises(CacheServerError, match="different servers"):
        transaction.execute()


def test_one_dead_server_takes_only_its_keys_with_it(params, configure, face):
    with RedisServer() as alive:
        with RedisServer() as dead:
            options = {"CLIENT_CLASS": "django_redis.client.sharded.ShardClient", "BREAKER_FAILURES": 0}
            cache = configure({"default": params("redis", LOCATION=[alive.url, dead.url], OPTIONS=options)})["default"]
            cache.set_many(dict.fromkeys(KEYS, 1))
            with alive.client() as client:
                there = {key.decode().removeprefix(":1:") for key in client.keys("*")}
        assert 0 < len(there) < len(KEYS)
        cache = face(cache)
        for key in KEYS:
            if key in there:
                assert cache.get(key) == 1
            else:
                with pytest.raises(CacheConnectionError, match=str(dead.port)):
                    cache.get(key)
        assert cache.get_many(there) == dict.fromkeys(there, 1)
        with pytest.raises(CacheConnectionError, match=str(dead.port)):
            cache.get_many(KEYS)
