"""Servers that are gone, hang, lie or refuse: a clear error or a miss in time, and recovery.

Every call that could hang runs in a thread that is waited for with `promptly`; the limits given to the caches
are far below that patience, which only ends a failing test.
"""

import threading

import pytest
from backends import BACKENDS, FACE, LIMITS, error
from servers import HOST, PATIENCE, MemcachedServer, RedisServer, ScriptedServer, free_port, wait_until

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
SERVERS = {"redis": RedisServer, "memcached": MemcachedServer}
BOTH = pytest.mark.parametrize("name", list(SERVERS))


def entry(name, address, limit=0.4, scheme="redis://", **options):
    options = {**LIMITS[name](limit), **options}
    if name == "memcached":
        options.setdefault("retry_timeout", 0.05)
    location = scheme + address if name == "redis" else address
    return {"BACKEND": BACKENDS[name], "LOCATION": location, "OPTIONS": options}


@pytest.fixture
def shelf(configure):
    """`shelf(name, address, ...)`: the cache with the alias `shelf`."""

    def make(name, address, **options):
        caches = configure({"default": {"BACKEND": BACKENDS["memory"]}, "shelf": entry(name, address, **options)})
        return caches["shelf"]

    return make


def promptly(function, *args):
    """The outcome of a call that must end by itself: its result, or its exception, raised here."""
    outcome = []

    def call():
        try:
            outcome.append((function(*args), None))
        except BaseException as caught:
            outcome.append((None, caught))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert outcome, "the call hangs"
    result, caught = outcome[0]
    if caught is not None:
        raise caught
    return result


def recovers(cache):
    """A cache whose server is back answers again, after its retry time at the latest."""

    def healthy():
        try:
            cache.set("recovery", "yes")
            return cache.get("recovery") == "yes"
        except error("CacheError"):
            return False

    wait_until(healthy, "the cache to recover")


def explained(caught, name, address, operation):
    if FACE == "incumbent":
        return
    problem = caught.value
    assert problem.alias == "shelf"
    assert "shelf" in str(problem)
    assert address in str(problem)
    assert address in str(problem.server)
    assert problem.operation == operation
    assert problem.hint


@BOTH
@pytest.mark.parametrize("operation", ["get", "set", "add", "delete", "touch", "incr", "has_key"])
def test_a_server_that_does_not_run_is_named(name, operation, shelf):
    address = f"{HOST}:{free_port()}"
    cache = shelf(name, address)
    arguments = ["key", "s3cret value"] if operation in ("set", "add") else ["key"]
    with pytest.raises(error("CacheConnectionError")) as caught:
        promptly(getattr(cache, operation), *arguments)
    explained(caught, name, address, operation)
    if FACE == "pinyon":
        assert isinstance(caught.value, ConnectionError)
        assert "not running or not reachable" in str(caught.value)
        assert "s3cret" not in repr(caught.value)


@BOTH
def test_a_server_that_never_answers_is_given_up(name, shelf):
    with ScriptedServer() as silent:
        cache = shelf(name, silent.address, limit=0.2)
        with pytest.raises(error("CacheTimeoutError")) as caught:
            promptly(cache.get, "key")
        explained(caught, name, silent.address, "get")
        assert silent.accepted
        if FACE == "pinyon":
            assert isinstance(caught.value, TimeoutError)


# pymemcache takes some of these for misses, and redis-py reserves memory for the huge array.
@pytest.mark.pinyon_only
@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff\xfe garbage\r\n" * 10,
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\r\n" * 100,
        b"$99999999999999999999\r\n",
        b"VA 99999999999999999999\r\n",
        b"*2147483647\r\n" * 200,
    ],
    ids=["garbage", "http", "smtp", "blank lines", "huge string", "huge value", "huge array"],
)
def test_a_server_that_speaks_something_else_is_an_error(name, answer, shelf):
    with ScriptedServer(answer) as stranger:
        cache = shelf(name, stranger.address)
        with pytest.raises(error("CacheError")) as caught:
            promptly(cache.get, "key")
        explained(caught, name, stranger.address, "get")


@pytest.mark.pinyon_only
@BOTH
def test_a_web_server_at_the_address_is_recognised(name, shelf):
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with ScriptedServer(answer) as web:
        cache = shelf(name, web.address)
        with pytest.raises(error("CacheProtocolError")) as caught:
            promptly(cache.set, "key", "value")
        explained(caught, name, web.address, "set")
        assert "HTTP" in f"{caught.value} {caught.value.hint}"


@pytest.mark.pinyon_only
@BOTH
def test_endless_bytes_without_an_end_of_line_are_an_error(name, shelf):
    with ScriptedServer(b"x" * 4_000_000) as stranger:
        cache = shelf(name, stranger.address)
        with pytest.raises(error("CacheError")):
            promptly(cache.get, "key")


# If a value reached the wrong kind of server, its lines would run there as commands.
EVIL = {
    "redis": b"\r\nset evil 0 0 4\r\nevil\r\n" * 3,
    "memcached": b"\r\nSET evil evil\r\n" * 3,
}


@pytest.mark.pinyon_only
@BOTH
@pytest.mark.parametrize("operation", ["get", "set", "add", "set_many", "incr"])
def test_the_other_kind_of_server_is_recognised_and_runs_no_value_as_a_command(name, operation, shelf):
    other = SERVERS["memcached" if name == "redis" else "redis"]
    with other() as server:
        cache = shelf(name, server.address)
        arguments = {"set_many": [{"key": EVIL[name]}], "set": ["key", EVIL[name]], "add": ["key", EVIL[name]]}
        for _ in range(3):
            # After its first error a Memcached server is left alone for a while, and a call may be a silent miss.
            try:
                promptly(getattr(cache, operation), *arguments.get(operation, ["key"]))
            except (error("CacheProtocolError"), ValueError) as caught:
                problem = caught
        assert isinstance(problem, error("CacheProtocolError"))
        assert "shelf" in str(problem)
        assert server.address in str(problem)
        if name == "redis":
            assert server.fetch("evil") is None
            assert "emcached" in f"{problem} {problem.hint}"
        else:
            with server.client() as client:
                assert client.keys("*") == []
            assert "Redis" in f"{problem} {problem.hint}"


@pytest.mark.parametrize(
    ("login", "options"),
    [("", {}), (":wr0ng@", {}), ("nobody:s3same@", {}), ("", {"password": "wr0ng"})],
    ids=["none", "wrong in the URL", "unknown user", "wrong in OPTIONS"],
)
def test_a_refused_login_is_an_error_without_the_password(login, options, shelf):
    with RedisServer(password="s3same") as server:
        cache = shelf("redis", server.address, scheme=f"redis://{login}", **options)
        with pytest.raises(error("CacheAuthError")) as caught:
            promptly(cache.get, "key")
        explained(caught, "redis", server.address, "get")
        for secret in "s3same", "wr0ng":
            assert secret not in repr(caught.value)
            assert FACE == "incumbent" or secret not in caught.value.hint


@BOTH
def test_a_server_that_was_restarted_between_two_calls_is_used_again(name, shelf):
    with SERVERS[name]() as server:
        cache = shelf(name, server.address)
        cache.set("key", 1)
        server.restart()
        if FACE == "pinyon":
            # The old connection is found dead before any reply, and an idempotent call goes out again.
            assert cache.get("key", "gone") == "gone"
            cache.set("key", 2)
            assert cache.get("key") == 2
        recovers(cache)


@BOTH
def test_a_server_killed_during_a_call_fails_it_and_is_used_again(name, shelf):
    with SERVERS[name]() as server:
        cache = shelf(name, server.address, limit=PATIENCE * 4)
        cache.set("key", "value")
        server.pause()
        killer = threading.Timer(0.3, server.stop)
        killer.start()
        # The limit is beyond the patience: only the broken connection can end this call in time.
        with pytest.raises(error("CacheConnectionError")):
            promptly(cache.get, "key")
        killer.join()
        server.start()
        recovers(cache)


@BOTH
def test_a_late_reply_never_answers_the_next_question(name, shelf):
    with SERVERS[name]() as server:
        cache = shelf(name, server.address, limit=0.2)
        cache.set_many({"a": "A", "b": "B", "n": 1})
        for _ in range(3):
            with server.paused(), pytest.raises(error("CacheError")):
                promptly(cache.get, "a")
            recovers(cache)
            for _ in range(20):
                assert cache.get("b") == "B"
                assert cache.get("missing") is None
                assert cache.get_many(["b", "missing"]) == {"b": "B"}


@pytest.mark.pinyon_only
@BOTH
def test_connection_errors_can_be_ignored(name, shelf):
    option = {"redis": "IGNORE_EXCEPTIONS", "memcached": "ignore_exc"}[name]
    with SERVERS[name]() as server:
        cache = shelf(name, server.address, **{option: True})
        server.stop()
        assert cache.get("key", "default") == "default"
        assert cache.get_many(["key"]) == {}
        assert not cache.has_key("key")
        assert not cache.add("key", 1)
        cache.set("key", 1)
        server.start()
        recovers(cache)


@pytest.mark.parametrize("oversized", ["x" * 1_100_000, b"x" * 1_100_000, [b"x" * 1_100_000]], ids=type)
def test_a_value_too_large_for_memcached_leaves_no_old_value_behind(oversized, shelf):
    with MemcachedServer() as server:
        cache = shelf("memcached", server.address, limit=5)
        cache.set("key", "old")
        try:
            cache.set("key", oversized)
        except error("CacheServerError"):
            pass
        assert cache.get("key") is None
        cache.set("key", "new")
        assert cache.get("key") == "new"


@pytest.mark.pinyon_only
def test_set_many_names_the_value_that_was_too_large(shelf):
    with MemcachedServer() as server:
        cache = shelf("memcached", server.address, limit=5)
        cache.set_many({"small": "old", "big": "old", 7: "old"})
        assert cache.set_many({"small": "new", "big": "x" * 1_100_000, 7: b"x" * 1_100_000}) == ["big", 7]
        assert cache.get_many(["small", "big", 7]) == {"small": "new"}


def test_the_server_decides_what_is_too_large(shelf):
    with MemcachedServer("-I", "4m") as server:
        cache = shelf("memcached", server.address, limit=5)
        cache.set("key", "x" * 3_000_000)
        assert cache.get("key") == "x" * 3_000_000
