"""The raw client, the argument `client`, and connection errors that the settings ignore."""

import asyncio
import inspect
import logging

import pytest
from django.test import override_settings
from pinyon.django import RedisCache, get_redis_connection
from pinyon.exceptions import CacheConnectionError, CacheServerError
from redis_faces import face, show
from servers import RedisServer

__all__ = ["face"]


@pytest.mark.pinyon_only
def test_clients_are_taken_if_they_are_of_the_same_server(params, configure, face):
    with RedisServer() as other:
        caches = configure({"default": params("redis"), "other": params("redis", LOCATION=other.url)})
        cache = face(caches["default"])
        client = get_redis_connection("default")
        assert cache.set("a", 1, client=client) is True
        assert cache.get("a", client=client) == 1
        assert cache.get_many(["a"], client=client) == {"a": 1}
        assert cache.ttl("a", None, client) == 300
        assert cache.sadd("s", 1, client=client) == 1
        for name, arguments in {"get": ("a",), "set": ("a", 1), "ttl": ("a",), "sadd": ("s", 1), "clear": ()}.items():
            with pytest.raises(TypeError, match="get_redis_connection"):
                getattr(cache, name)(*arguments, client=object())
            with pytest.raises(ValueError, match="another server"):
                getattr(cache, name)(*arguments, client=get_redis_connection("other"))


@pytest.mark.pinyon_only
def test_the_raw_client(params, configure):
    configure({"default": params("redis", KEY_PREFIX="p"), "memory": params("memory")})
    client = get_redis_connection()
    assert client.execute("SET", "raw", 1.5) == b"OK"
    assert client.execute("GET", b"raw") == b"1.5"
    assert client.execute("GET", "missing") is None
    assert client.execute("RPUSH", "list", "a", 2, b"\xff", bytearray(b"b"), memoryview(b"m")) == 5
    assert client.execute("LRANGE", "list", 0, -1) == [b"a", b"2", b"\xff", b"b", b"m"]
    with pytest.raises(CacheServerError, match="WRONGTYPE") as raised:
        client.execute("GET", "list")
    assert (raised.value.alias, raised.value.operation) == ("default", "command")
    for word in (None, True, [1], {}):
        with pytest.raises(TypeError, match=r"must be bytes|cannot be a bool"):
            client.execute("SET", "raw", word)
    pipe = client.pipeline().add("INCR", "raw").add("SET", "n", 4).add("INCRBY", "n", 2)
    assert len(pipe) == 3
    float_error, stored, total = pipe.execute(raise_errors=False)
    assert isinstance(float_error, CacheServerError)
    assert (stored, total) == (b"OK", 6)
    assert (len(pipe), pipe.execute()) == (0, [])
    with pytest.raises(CacheServerError, match="not an integer"):
        client.pipeline().add("INCR", "raw").add("INCR", "n").execute()
    assert client.pipeline(transaction=True).add("INCR", "n").add("LRANGE", "list", 0, 0).execute() == [8, [b"a"]]
    with pytest.raises(CacheServerError, match=r"EXECABORT|unknown command"):
        client.pipeline(transaction=True).add("INCR", "n").add("NONSENSE").execute()
    assert client.execute("GET", "n") == b"8"
    with pytest.raises(NotImplementedError, match="memory"):
        get_redis_connection("memory")


@pytest.mark.pinyon_only
def test_the_raw_client_on_an_event_loop(params, configure):
    configure({"default": params("redis")})
    client = get_redis_connection()

    async def everything():
        assert await client.aexecute("SET", "n", 4) == b"OK"
        assert await client.pipeline(transaction=True).add("INCR", "n").add("GET", "n").aexecute() == [5, b"5"]
        assert await client.ascript("return {ARGV[1], KEYS[1]}", ["k"], [1]) == [b"1", b"k"]
        with pytest.raises(CacheServerError, match="hold up"):
            await client.aexecute("BLPOP", "list", 0)
        with pytest.raises(CacheServerError, match="hold up"):
            await client.aexecute("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
        return await asyncio.gather(*(client.aexecute("INCR", "n") for _ in range(50)))

    assert asyncio.run(everything()) == [*range(6, 56)]


@pytest.mark.pinyon_only
def test_a_script_is_sent_once(params, configure):
    with RedisServer() as server:
        configure({"default": params("redis", LOCATION=server.url)})
        client = get_redis_connection()
        for number in range(5):
            assert client.script("return ARGV[1] + #KEYS", ["a", "b"], [number]) == number + 2
        with pytest.raises(CacheServerError, match="on purpose"):
            client.script("return redis.error_reply('ERR on purpose')")
        with server.client() as other:
            stats = other.info("commandstats")
        assert (stats["cmdstat_evalsha"]["calls"], stats["cmdstat_eval"]["calls"]) == (6, 2)


@pytest.mark.parametrize("command", ["SUBSCRIBE x", "MULTI", "select 1", "client reply off", "WATCH a", "MONITOR", ""])
@pytest.mark.pinyon_only
def test_what_would_change_a_shared_connection_is_refused(command, params, configure):
    cache = configure({"default": params("redis")})["default"]
    with pytest.raises(CacheServerError, match=r"would change a connection|needs a name"):
        get_redis_connection().execute(*command.split())
    assert cache.set("a", 1) is True


@pytest.mark.pinyon_only
def test_reads_go_to_replicas_and_scans_do_not(params, configure):
    with RedisServer() as primary, RedisServer(replica_of=primary) as replica:
        replica.caught_up()
        cache = configure({"default": params("redis", LOCATION=[primary.url, replica.url])})["default"]
        cache.sadd("s", 1)
        cache.rpush("l", 1)
        replica.caught_up()
        with primary.client() as first, replica.client() as second:
            for client in (first, second):
                client.config_resetstat()
            assert cache.smembers("s") == {1}
            assert cache.lrange("l", 0, -1) == [1]
            assert get_redis_connection(write=False).execute("LLEN", ":1:l") == 1
            assert sorted(cache.keys("*")) == ["l", "s"]
            asked = [set(client.info("commandstats")) for client in (first, second)]
        assert {"cmdstat_smembers", "cmdstat_lrange", "cmdstat_llen"} <= asked[1]
        assert not {"cmdstat_smembers", "cmdstat_lrange", "cmdstat_llen"} & asked[0]
        assert ("cmdstat_scan" in asked[0], "cmdstat_scan" in asked[1]) == (True, False)


IGNORED = [
    ('cache.get("a"), cache.get("a", 5), cache.get_many(["a"])', (None, 5, {})),
    (
        'cache.set("a", 1), cache.set("a", 1, nx=True), cache.add("a", 1), cache.set_many({"a": 1})',
        (False, False, False, ["a"]),
    ),
    (
        'cache.incr("a"), cache.incr("a", ignore_key_check=True), cache.delete("a"), cache.delete_many(["a"])',
        (None, None, False, 0),
    ),
    ('cache.has_key("a"), cache.touch("a"), cache.ttl("a"), cache.pttl("a")', (False, False, 0, 0)),
    ('cache.expire("a", 1), cache.persist("a"), cache.pexpire_at("a", 1)', (False, False, False)),
    ('cache.keys("*"), list(cache.iter_keys("*")), cache.delete_pattern("*")', ([], [], 0)),
    ('cache.sadd("s", 1), cache.smembers("s"), cache.spop("s"), cache.sismember("s", 1)', (0, set(), None, False)),
    ('list(cache.sscan_iter("s")), cache.sinter("s", "t"), cache.smismember("s", 1)', ([], set(), [])),
    ('cache.hset("h", "f", 1), cache.hget("h", "f"), cache.hgetall("h"), cache.hmget("h", ["f"])', (0, None, {}, [])),
    ('cache.zadd("z", {1: 1}), cache.zrange("z", 0, -1), cache.zscore("z", 1), cache.zcard("z")', (0, [], None, 0)),
    ('cache.rpush("l", 1), cache.lpop("l"), cache.lrange("l", 0, -1), cache.lset("l", 0, 1)', (0, None, [], False)),
]


@pytest.mark.parametrize("where", ["OPTIONS", "DJANGO_REDIS_IGNORE_EXCEPTIONS"])
@pytest.mark.pinyon_only
def test_ignored_errors_have_results_of_the_same_kind_and_can_be_logged(where, params, configure, face, caplog):
    with RedisServer() as server:
        location = server.url
    options = {"IGNORE_EXCEPTIONS": True} if where == "OPTIONS" else {}
    logged = override_settings(
        DJANGO_REDIS_IGNORE_EXCEPTIONS=where != "OPTIONS",
        DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS=True,
        DJANGO_REDIS_LOGGER="shop.cache",
    )
    caches = configure({"default": params("redis", LOCATION=location, OPTIONS=options)})
    with logged, caplog.at_level(logging.ERROR, "shop.cache"):
        cache = caches["default"]
        for line, expected in IGNORED:
            found = eval(line, {"cache": face(cache), "list": list})
            assert f"{line} = {show(found)}" == f"{line} = {show(expected)}"
        with pytest.raises(CacheConnectionError):
            get_redis_connection().execute("PING")
        with pytest.raises(CacheConnectionError):
            cache.lock("l").acquire()
    assert len(caplog.records) > 30
    assert "'default'" in caplog.text


# What nothing is asked for, and the lock, which nobody holds who could not ask.
ASK_NOTHING = {"make_key", "make_and_validate_key", "validate_key", "get_backend_timeout", "key_func", "lock", "stats"}
# A sum that nobody knows is None.
SUMS = {"incr", "decr", "hincrby", "zincrby", "incr_version", "decr_version"}
ARGUMENTS = {
    **dict.fromkeys(("key", "destination", "dest", "source", "pattern", "search"), "k"),
    **{name: ["k"] for name in ("keys", "fields")},
    **{"data": {"k": 1}, "mapping": {"m": 1}, "where": "before"},
    **dict.fromkeys(("value", "values", "member", "members", "field", "pivot", "amount", "timeout", "default"), 1),
    **dict.fromkeys(("when", "start", "end", "index", "count", "min", "max"), 1),
}


def arguments_of(method):
    """What a method must be given, in two ways if it may be given a count."""
    parameters = inspect.signature(method).parameters.values()
    given = [
        parameter
        for parameter in parameters
        if parameter.kind is parameter.VAR_POSITIONAL
        or (parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD)
    ]
    values = [ARGUMENTS[parameter.name] for parameter in given]
    # Needed all the same.
    yield values, {"mapping": {"f": 1}} if method.__name__ == "hset" else {}
    if any(parameter.name == "count" and parameter.default is None for parameter in parameters):
        yield values, {"count": 1}


@pytest.mark.pinyon_only
@pytest.mark.parametrize("client", ["DefaultClient", "HerdClient"])
def test_no_method_raises_if_errors_are_ignored_and_its_result_is_as_on_an_empty_server(
    client, params, configure, face
):
    with RedisServer() as server:
        location = server.url
    options = {"IGNORE_EXCEPTIONS": True, "CLIENT_CLASS": f"django_redis.client.{client}"}
    entry = params("redis", OPTIONS=options)
    caches = configure({"default": entry, "dead": {**entry, "LOCATION": location}})
    alive, dead = caches["default"], caches["dead"]
    names = [name for name in dir(alive) if not name.startswith("_") and callable(getattr(alive, name))]
    names = [name for name in names if name not in ASK_NOTHING and f"a{name}" in names]
    assert len(names) > 70
    for name in names:
        for args, kwargs in arguments_of(getattr(alive, name)):
            ignored = materialised(getattr(face(dead), name)(*args, **kwargs))
            get_redis_connection().execute("FLUSHALL")
            try:
                expected = materialised(getattr(face(alive), name)(*args, **kwargs))
            except (ValueError, CacheServerError):  # there is no such entry
                assert name in {*SUMS, "lset"}, name
                expected = False
            kind = type(None) if name in SUMS else type(expected)
            assert type(ignored) is kind, (name, args, kwargs, ignored, expected)


@pytest.mark.pinyon_only
def test_every_method_that_asks_the_server_has_an_async_twin():
    public = {name for name in dir(RedisCache) if not name.startswith("_") and callable(getattr(RedisCache, name))}
    alone = {name for name in public if f"a{name}" not in public and name[1:] not in public}
    assert alone == ASK_NOTHING - {"key_func", "lock"}


def materialised(result):
    return [*result] if inspect.isgenerator(result) else result


@pytest.mark.pinyon_only
def test_an_option_of_the_cache_wins_over_the_setting_for_all(params, configure):
    with RedisServer() as server:
        location = server.url
    caches = configure({"default": params("redis", LOCATION=location, OPTIONS={"IGNORE_EXCEPTIONS": False})})
    with override_settings(DJANGO_REDIS_IGNORE_EXCEPTIONS=True), pytest.raises(CacheConnectionError):
        caches["default"].smembers("s")


@pytest.mark.pinyon_only
def test_errors_name_the_method_that_was_called(params, configure, face):
    with RedisServer() as server:
        location = server.url
    options = {"BREAKER_FAILURES": 0}
    cache = face(configure({"default": params("redis", LOCATION=location, OPTIONS=options)})["default"])
    for call, operation in [
        (lambda: cache.set("a", 1, nx=True), "set"),
        (lambda: cache.delete("a", prefix="p"), "delete"),
        (lambda: cache.incr("a", ignore_key_check=True), "incr"),
        (lambda: list(cache.iter_keys("*")), "iter_keys"),
        (lambda: list(cache.sscan_iter("s")), "sscan_iter"),
        (lambda: cache.hget("h", "f"), "hget"),
    ]:
        with pytest.raises(CacheConnectionError) as raised:
            call()
        assert raised.value.operation == operation
