"""The methods of django-redis: the same calls on both libraries give the same results and leave the same bytes."""

import asyncio
import datetime
import inspect

import backends
import pytest
from django.test import override_settings
from payloads import Book, Colour
from pinyon.django import RedisCache, accelerate, get_redis_connection
from redis_faces import face, show
from servers import RedisServer

__all__ = ["face"]

SOON = datetime.datetime.now() + datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)
NAMES = {"Book": Book, "Colour": Colour, "SOON": SOON, "MINUTE": MINUTE, "sorted": sorted, "list": list}

SCRIPTS = {
    "entries": """
        cache.set("a", 1)
        cache.set("a", [1], 60)
        cache.set("a", 2, nx=True)
        cache.set("new", {"x": 1}, 60, nx=True)
        cache.set("missing", 2, xx=True)
        cache.set("a", Colour.RED, xx=True)
        cache.set("a", 3, timeout=0, nx=True)
        cache.set("a", 3, timeout=0)
        cache.set("b", True, timeout=None)
        cache.set("c", 1.5, 100.7)
        cache.set("v", "two", version=2)
        cache.add("b", 9)
        cache.add("d", 9, 60)
        cache.get("b"), cache.get("missing"), cache.get("missing", 5), cache.get("v", version=2)
        cache.touch("b", 90), cache.touch("missing"), cache.has_key("b"), cache.has_key("missing")
        cache.get_many(["b", "d", "missing"])
        cache.get_many([])
        cache.incr("d"), cache.incr("d", 5), cache.decr("d", 2)
        cache.incr("missing")
        cache.incr("fresh", 3, ignore_key_check=True), cache.incr("fresh", ignore_key_check=True)
        cache.incr("fresh", -9, None, None, True)
        cache.incr_version("v", 1, version=2), cache.get("v", version=3)
        cache.delete("d"), cache.delete("d"), cache.delete("d", prefix="other")
        cache.delete_many(["b", "c", "missing"])
    """,
    "lifetimes": """
        cache.set("a", 1, 105), cache.set("b", 1, None)
        cache.ttl("a"), cache.ttl("b"), cache.ttl("missing")
        cache.pttl("a") // 10000, cache.pttl("b"), cache.pttl("missing")
        cache.expire("a", 60), cache.expire("b", MINUTE), cache.expire("missing", 60)
        cache.ttl("a"), cache.ttl("b")
        cache.pexpire("a", 30000), cache.pexpire("b", MINUTE), cache.pexpire("missing", 5)
        cache.ttl("a"), cache.ttl("b")
        cache.expire_at("a", SOON), cache.expire_at("b", 4102444800), cache.expire_at("missing", SOON)
        cache.pexpire_at("a", SOON), cache.pexpire_at("b", 4102444800000), cache.pexpire_at("missing", SOON)
        cache.persist("a"), cache.persist("a"), cache.persist("missing")
        cache.ttl("a")
        cache.expire("b", None)
        cache.expire("b", -1), cache.has_key("b")
        cache.expire("a", 10**20)
    """,
    "keys": """
        [cache.set(key, 1) for key in ("one", "two", "other", "br[ck]t", "q?", "st*r", "a:b")]
        cache.set("one", 1, version=2)
        sorted(cache.keys("*")), sorted(cache.keys("o*")), sorted(cache.keys("t?o")), cache.keys("none*")
        sorted(cache.keys("*", version=2))
        sorted(cache.iter_keys("o*")), sorted(cache.iter_keys("*", itersize=2)), list(cache.iter_keys("*", version=2))
        cache.delete_pattern("o*"), cache.delete_pattern("none*"), cache.delete_pattern("*", version=2)
        cache.delete_pattern("*", prefix="elsewhere")
        cache.delete_pattern("[st]*", itersize=1)
        cache.delete_pattern("*", itersize=2)
    """,
    "sets": """
        cache.sadd("s", 11, 2, "x", b"y", None, Colour.RED, (1, 2), 2.5), cache.sadd("s", 11), cache.sadd("b", True)
        cache.sadd("s")
        cache.scard("s"), cache.scard("missing")
        cache.smembers("s"), cache.smembers("missing")
        cache.sismember("s", 11), cache.sismember("s", "x"), cache.sismember("s", 1), cache.sismember("b", True)
        cache.smismember("s", 11, "x", Colour.RED, True)
        cache.sadd("t", 2, 3)
        cache.sdiff("s", "t"), cache.sinter("s", "t"), cache.sunion("s", "t", "missing")
        cache.sdiffstore("d", "s", "t"), cache.sinterstore("i", "s", "t"), cache.sunionstore("u", "s", "t")
        cache.sdiffstore("d", "s", "t", version_dest=2), cache.sdiffstore("e", "s", version_keys=2)
        cache.smembers("d", version=2), cache.smembers("i")
        cache.smove("s", "t", "x"), cache.smove("s", "t", "gone")
        cache.srem("s", 11, 2, 99), cache.srem("missing", 1)
        cache.spop("i"), cache.spop("i"), cache.spop("i", 2), cache.spop("t", 9)
        cache.sadd("r", 7), cache.srandmember("r"), cache.srandmember("r", 5), cache.srandmember("missing")
        cache.srandmember("missing", 2)
        cache.sscan("u", count=100), cache.sscan("u", match="x", count=100), cache.sscan("missing")
        sorted(cache.sscan_iter("u"), key=repr), list(cache.sscan_iter("u", match=3)), list(cache.sscan_iter("missing"))
        cache.smembers("u", version=5), cache.sadd("v", 1, version=5), cache.smembers("v", version=5)
        cache.set("plain", 1), cache.sadd("plain", 1)
        cache.sunion()
    """,
    "hashes": """
        cache.hset("h", "f", 1), cache.hset("h", "f", {"a": [1]}), cache.hset("h", 5, "five")
        cache.hset("h", mapping={"g": 2, "i": "x"}), cache.hset("h", "k", True, {"g": 3, "j": 1.5})
        cache.hset("h")
        cache.hlen("h"), cache.hlen("missing")
        cache.hkeys("h"), cache.hkeys("missing")
        cache.hexists("h", "f"), cache.hexists("h", "no"), cache.hexists("missing", "f")
        cache.hdel("h", "f"), cache.hdel("h", "f")
        cache.hset("h", "f", 1, version=2), cache.hkeys("h", version=2)
        cache.set("plain", 1), cache.hset("plain", "f", 1)
    """,
    "sorted sets": """
        cache.zadd("z", {"a": 1, "b": 2.5, 5: 3, Colour.RED: -1}), cache.zadd("z", {"a": 1})
        cache.zadd("z", {"a": 9}, nx=True), cache.zadd("z", {"a": 9}, xx=True), cache.zadd("z", {"a": 8}, xx=True, ch=True)
        cache.zadd("z", {"a": 7}, gt=True, ch=True), cache.zadd("z", {"a": 7}, lt=True, ch=True)
        cache.zadd("z", {"a": 1}, incr=True), cache.zadd("z", {"no": 1}, incr=True, xx=True)
        cache.zadd("z", {})
        cache.zadd("z", {"a": 1}, nx=True, xx=True)
        cache.zadd("z", {"a": 1}, gt=True, lt=True)
        cache.zadd("z", {"a": 1}, nx=True, gt=True)
        cache.zadd("z", {"a": 1, "b": 1}, incr=True)
        cache.zadd("z", {"a": "x"})
        cache.zcard("z"), cache.zcard("missing")
        cache.zcount("z", "-inf", "+inf"), cache.zcount("z", 1, 2.5), cache.zcount("z", "(1", 3)
        cache.zincrby("z", 1.5, "b"), cache.zincrby("z", 1, "new")
        cache.zrange("z", 0, -1), cache.zrange("z", 0, 1), cache.zrange("missing", 0, -1)
        cache.zrange("z", 0, -1, desc=True, withscores=True)
        cache.zrange("z", 0, -1, withscores=True, score_cast_func=int)
        cache.zrevrange("z", 0, 1), cache.zrevrange("z", 0, -1, withscores=True)
        cache.zrangebyscore("z", 0, 100), cache.zrangebyscore("z", "(3", "+inf", withscores=True)
        cache.zrangebyscore("z", 0, 100, start=1, num=2), cache.zrangebyscore("z", 0, 9, withscores=True, score_cast_func=int)
        cache.zrangebyscore("z", 0, 100, start=0)
        cache.zrevrangebyscore("z", 100, 0), cache.zrevrangebyscore("z", 100, 0, 0, 1, True)
        cache.zrank("z", "a"), cache.zrank("z", 5), cache.zrank("z", "no"), cache.zrank("missing", 1)
        cache.zscore("z", "a"), cache.zscore("z", 5), cache.zscore("z", "no")
        cache.zrem("z", "a", "no"), cache.zremrangebyscore("z", -5, 0)
        cache.zadd("inf", {"a": float("inf"), "b": float("-inf"), "c": 1e300, "d": 0.1})
        cache.zrange("inf", 0, -1, withscores=True)
        cache.zpopmax("z"), cache.zpopmin("z"), cache.zpopmin("z", 1), cache.zpopmax("z", 9)
        cache.zpopmin("z"), cache.zpopmax("z", 2)
        cache.zadd("v", {"a": 1}, version=3), cache.zrange("v", 0, -1, version=3), cache.zrange("v", 0, -1)
    """,
}


@pytest.fixture
def pair(params, configure, redis_server):
    """Our cache and django-redis's, in two databases of one server."""
    ours = params("redis", KEY_PREFIX="sh*p", OPTIONS={"PICKLE_VERSION": 5, "TIMEOUT_UNIT": "ms"})
    theirs = {
        **ours,
        "BACKEND": backends.OTHERS["django_redis"],
        "LOCATION": f"{redis_server.url}/1",
        "OPTIONS": {"PICKLE_VERSION": 5},
    }
    caches = configure({"default": ours, "theirs": theirs})
    return caches["default"], caches["theirs"]


def outcome(line, cache):
    try:
        return eval(line, {**NAMES, "cache": cache})
    except Exception as error:
        return f"an error: {'ValueError' if isinstance(error, ValueError) and 'found' in str(error) else 'another'}"


def contents(server, db):
    with server.client(db) as client:
        return {key: (client.dump(key), client.ttl(key) // 10) for key in client.keys("*")}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.pinyon_only
def test_the_same_calls_give_the_same_results_and_leave_the_same_bytes(name, pair, face, redis_server):
    ours, theirs = pair
    ours = face(ours)
    for line in SCRIPTS[name].strip().splitlines():
        line = line.strip()
        assert f"{line} = {show(outcome(line, ours))}" == f"{line} = {show(outcome(line, theirs))}"
        assert contents(redis_server, 0) == contents(redis_server, 1), line


@pytest.mark.pinyon_only
def test_an_accelerated_site_finds_the_members_that_it_stored(params, configure, redis_server):
    theirs = params("redis", BACKEND=backends.OTHERS["django_redis"])
    caches = configure({"default": accelerate({"default": theirs})["default"], "theirs": theirs})
    ours, theirs = caches["default"], caches["theirs"]
    assert theirs.sadd("s", "x", (1, 2)) == 2
    assert ours.sismember("s", "x")
    assert ours.sadd("s", "x", (1, 2)) == 0
    assert theirs.zadd("z", {"x": 1}) == 1
    assert ours.zscore("z", "x") == 1.0


# What django-redis does not have, or does not do right: see docs/compatibility.md.
OWN = {
    "results of Django's methods": [
        ('cache.set_many({"a": 1, "b": [2]})', []),
        ("cache.clear()", True),
        ("cache.delete_many([])", None),
        ('cache.set("a", 1, timeout=0)', True),
        ('cache.set("a", 1, timeout=-1)', True),
    ],
    "the value before": [
        ('cache.set("a", [1], get=True)', None),
        ('cache.set("a", [2], 60, get=True)', [1]),
        ('cache.set("a", [3], xx=True, get=True)', [2]),
        ('cache.get("a")', [3]),
        ('cache.set("a", 4, 0, get=True), cache.get("a")', ([3], None)),
        ('cache.set("a", 1), cache.set("a", 2, 0, xx=True), cache.has_key("a")', (True, True, False)),
    ],
    "fractions of seconds": [
        ('cache.set("a", 1), cache.expire("a", 1.5), 0 < cache.pttl("a") <= 1500', (True, True, True)),
        ('cache.pexpire("a", 5000.0), 4000 < cache.pttl("a") <= 5000', (True, True)),
    ],
    "hashes": [
        ('cache.hset("h", mapping={"a": 1, "b": [2], "c": None})', 3),
        (
            'cache.hget("h", "a"), cache.hget("h", "b"), cache.hget("h", "no"), cache.hget("no", "a")',
            (1, [2], None, None),
        ),
        ('cache.hgetall("h"), cache.hgetall("no")', ({"a": 1, "b": [2], "c": None}, {})),
        ('cache.hmget("h", ["b", "no", "a"]), cache.hmget("h", [])', ([[2], None, 1], [])),
        ('cache.hincrby("h", "a", 4), cache.hincrby("h", "n"), cache.hget("h", "a")', (5, 1, 5)),
    ],
    "lists": [
        ('cache.rpush("l", 1, "two", [3]), cache.lpush("l", 0, None)', (3, 5)),
        ('cache.lrange("l", 0, -1), cache.lrange("no", 0, -1)', ([None, 0, 1, "two", [3]], [])),
        ('cache.llen("l"), cache.llen("no"), cache.lindex("l", -1), cache.lindex("l", 9)', (5, 0, [3], None)),
        ('cache.lset("l", 0, "first"), cache.lindex("l", 0)', (True, "first")),
        ('cache.lpos("l", "two"), cache.lpos("l", "no")', (3, None)),
        ('cache.linsert("l", "before", 1, 0.5), cache.linsert("l", "after", "no", 1)', (6, -1)),
        ('cache.rpush("l", 0), cache.lrem("l", 0, 0)', (7, 2)),
        (
            'cache.lpop("l"), cache.rpop("l"), cache.lpop("no"), cache.lpop("l", 2), cache.rpop("no", 2)',
            ("first", [3], None, [0.5, 1], []),
        ),
        ('cache.rpush("l", 8, 9), cache.ltrim("l", 0, 1), cache.lrange("l", 0, -1)', (3, True, ["two", 8])),
    ],
    "members that MessagePack or digits could confuse": [
        ('cache.zadd("z", {49: 1, "49": 2, b"1": 3}), cache.zrange("z", 0, -1)', (3, [49, "49", b"1"])),
        ('cache.sadd("s", 49, "49"), sorted(cache.smembers("s"), key=repr)', (2, ["49", 49])),
    ],
}


@pytest.mark.parametrize("options", [{}, {"SERIALIZER": "msgpack"}, {"COMPRESSOR": "zlib", "protocol": 3}], ids=str)
@pytest.mark.parametrize("name", OWN)
@pytest.mark.pinyon_only
def test_what_only_pinyon_does(name, options, params, configure, face):
    cache = face(configure({"default": params("redis", OPTIONS=options)})["default"])
    for line, expected in OWN[name]:
        assert f"{line} = {show(eval(line, {**NAMES, 'cache': cache}))}" == f"{line} = {show(expected)}"


@pytest.mark.pinyon_only
def test_every_method_of_django_redis_is_there_with_its_arguments_and_an_async_twin():
    from django_redis.client import DefaultClient

    internal = {
        *("connect", "decode", "disconnect", "do_close_clients", "encode", "get_client", "get_client_with_index"),
        *("get_next_client_index", "make_pattern", "make_key", "reverse_key"),
    }
    public = {name for name in dir(DefaultClient) if not name.startswith("_")} - internal
    assert len(public) > 60
    for name in sorted(public):
        wanted = inspect.signature(getattr(DefaultClient, name)).parameters.values()
        for candidate in (name, f"a{name}"):
            method = getattr(RedisCache, candidate)
            try:
                found = inspect.signature(method)
            except ValueError:  # close(**kwargs) of Django takes anything
                continue
            names = [parameter.name for parameter in wanted if (candidate, parameter.name) != ("alock", "thread_local")]
            given = [parameter for parameter in found.parameters if parameter in names or parameter == "self"]
            assert given == names, (candidate, found)


@pytest.mark.pinyon_only
def test_signatures_say_what_a_method_returns():
    assert (
        str(inspect.signature(RedisCache.scard))
        == "(self, key: 'Any', version: 'Any' = None, client: 'Any' = None) -> 'int'"
    )
    assert inspect.signature(RedisCache.ascard) == inspect.signature(RedisCache.scard)
    assert inspect.iscoroutinefunction(RedisCache.ascard)
    assert RedisCache.ascard.__qualname__ == "Sets.ascard"


@pytest.mark.parametrize("itersize", [None, 1000])
@pytest.mark.pinyon_only
def test_delete_pattern_takes_a_bounded_number_of_round_trips(itersize, params, configure, face):
    with RedisServer() as server:
        cache = configure({"default": params("redis", LOCATION=server.url)})["default"]
        cache.set_many({f"page:{number}": number for number in range(20_000)})
        cache.set("other", 1)
        with server.client() as client:
            client.config_resetstat()
            assert face(cache).delete_pattern("page:*", itersize=itersize) == 20_000
            calls = {name: entry["calls"] for name, entry in client.info("commandstats").items()}
        chunks = 20_001 // (itersize or 5000) + 2
        assert calls["cmdstat_scan"] <= chunks
        assert calls["cmdstat_unlink"] <= chunks
        assert "cmdstat_keys" not in calls
        assert "cmdstat_del" not in calls
        assert sorted(cache.keys("*")) == ["other"]


@pytest.mark.pinyon_only
def test_the_setting_for_the_pages_of_a_scan(params, configure):
    with RedisServer() as server:
        cache = configure({"default": params("redis", LOCATION=server.url)})["default"]
        cache.set_many({str(number): number for number in range(200)})
        with server.client() as client:
            client.config_resetstat()
            with override_settings(DJANGO_REDIS_SCAN_ITERSIZE=10):
                assert len(cache.keys("*")) == 200
            assert client.info("commandstats")["cmdstat_scan"]["calls"] >= 10


@pytest.mark.pinyon_only
def test_keys_are_turned_back_whatever_the_prefix_or_as_the_settings_say(params, configure):
    caches = configure(
        {
            "default": params("redis", KEY_PREFIX="a:b"),
            "own": params("redis", KEY_FUNCTION=made, REVERSE_KEY_FUNCTION=reversed_key),
        }
    )
    caches["default"].set("one:two", 1)
    assert caches["default"].keys("*") == [*caches["default"].iter_keys("one*")] == ["one:two"]
    caches["own"].set("x", 1)
    assert caches["own"].keys("*") == ["x!"]


def made(key, prefix, version):
    return f"{prefix}/{version}/{key}"


def reversed_key(key):
    return key.split("/")[2] + "!"


@pytest.mark.pinyon_only
def test_a_member_that_cannot_be_read_is_none_and_is_counted(params, configure, face):
    cache = configure({"default": params("redis")})["default"]
    get_redis_connection().execute("RPUSH", ":1:l", b"\x80\x05nonsense", 5)
    before = cache.stats()["bad_values"]
    assert face(cache).lrange("l", 0, -1) == [None, 5]
    assert cache.stats()["bad_values"] == before + 1


@pytest.mark.pinyon_only
def test_a_subclass_that_overrides_a_method_is_asked_by_its_async_twin_too(params, configure):
    class Loud(RedisCache):
        def smembers(self, key, version=None, client=None):
            return {"overridden", *super().smembers(key, version, client)}

    entry = params("redis")
    cache = Loud(entry["LOCATION"], {})
    cache.sadd("s", 1)
    assert asyncio.run(cache.asmembers("s")) == cache.smembers("s") == {"overridden", 1}
