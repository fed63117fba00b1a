"""Pinyon and the backends it replaces share one server or directory, both ways (values, bytes, expiry, counters)."""

import hashlib
import json
import pickle
import sys
import time
import zlib
from enum import IntEnum

import backends
import pytest
from payloads import VALUES, Book, Colour, Count
from servers import exchange

REDIS_PEERS = {"django": backends.INCUMBENT["redis"], "django_redis": backends.OTHERS["django_redis"]}
MEMCACHED_PEERS = {"pymemcache": backends.INCUMBENT["memcached"], "pylibmc": backends.OTHERS["pylibmc"]}
FILE_PEERS = {"filebased": backends.INCUMBENT["file"]}
PATHS = {**REDIS_PEERS, **MEMCACHED_PEERS, **FILE_PEERS}
PEERS = [
    *(("redis", peer) for peer in REDIS_PEERS),
    *(("memcached", peer) for peer in MEMCACHED_PEERS),
    *(("file", peer) for peer in FILE_PEERS),
]
EVERY_VALUE = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())


@pytest.fixture(params=PEERS, ids=lambda pair: "-".join(pair))
def pair(request, params, configure):
    """The kind of server, the peer's name, our cache and the peer's cache on one server."""
    kind, peer = request.param
    path = PATHS[peer]
    ours = params(kind)
    caches = configure({"ours": ours, "theirs": {**ours, "BACKEND": path}})
    return kind, peer, caches["ours"], caches["theirs"]


def as_written_by(peer, value):
    """What remains of a value after the peer wrote it: pylibmc flattens bools, enums and int subclasses."""
    if peer == "pylibmc" and isinstance(value, int):
        return int(value)
    return value


def assert_same(found, expected):
    assert type(found) is type(expected)
    assert found == expected
    if isinstance(expected, float):
        assert str(found) == str(expected)


def file_of(request, made_key):
    """The pickled expiry and the unpacked value in the file of a key."""
    name = hashlib.md5(made_key.encode()).hexdigest() + ".djcache"
    (path,) = request.getfixturevalue("tmp_path").rglob(name)
    with path.open("rb") as file:
        return pickle.load(file), zlib.decompress(file.read())


def raw(request, kind, made_key):
    """What the server stores: bytes of Redis, flags and bytes of Memcached; what zlib unpacks of a file."""
    if kind == "file":
        return file_of(request, made_key)[1]
    if kind == "redis":
        with request.getfixturevalue("redis_server").client() as client:
            return client.get(made_key)
    return request.getfixturevalue("memcached_server").fetch(made_key)


def ttl(request, kind, made_key):
    """Seconds to live, None for ever."""
    if kind == "file":
        expiry = file_of(request, made_key)[0]
        return None if expiry is None else expiry - time.time()
    if kind == "redis":
        with request.getfixturevalue("redis_server").client() as client:
            milliseconds = client.pttl(made_key)
        assert milliseconds != -2, "the key is missing"
        return None if milliseconds == -1 else milliseconds / 1000
    server = request.getfixturevalue("memcached_server")
    answer = exchange(server.socket_address, f"mg {made_key} t\r\n".encode(), b"\r\n")
    assert answer.startswith(b"HD t"), "the key is missing"
    seconds = int(answer[4:])
    return None if seconds == -1 else seconds


@EVERY_VALUE
def test_they_read_what_we_wrote(pair, value):
    _, _, ours, theirs = pair
    ours.set("key", value)
    sentinel = object()
    assert_same(theirs.get("key", sentinel), value)
    assert_same(theirs.get_many(["key"]), {"key": value})


@EVERY_VALUE
def test_we_read_what_they_wrote(pair, value):
    _, peer, ours, theirs = pair
    if peer == "django_redis" and isinstance(value, Count):
        pytest.skip("django-redis hands int subclasses to hiredis as they are, which refuses them")
    if peer == "pylibmc" and isinstance(value, IntEnum) and sys.version_info < (3, 11):
        pytest.skip("pylibmc writes str() of it, which is its name before Python 3.11, and cannot read that itself")
    theirs.set("key", value)
    sentinel = object()
    expected = as_written_by(peer, value)
    assert_same(ours.get("key", sentinel), expected)
    assert_same(ours.get_many(["key"])["key"], expected)


@EVERY_VALUE
@pytest.mark.parametrize("kind", ["redis", "memcached", "file"])
def test_the_bytes_on_the_server_are_the_same(kind, value, params, configure, request):
    entry = params(kind)
    caches = configure({"ours": entry, "theirs": {**entry, "BACKEND": backends.INCUMBENT[kind]}})
    for cache in caches["theirs"], caches["ours"]:
        cache.set(f"set by {cache is caches['ours']}".replace(" ", "-"), value)
        cache.add(f"add-{cache is caches['ours']}", value)
        cache.set_many({f"many-{cache is caches['ours']}": value})
    expected = raw(request, kind, ":1:set-by-False")
    assert expected is not None
    for made_key in ":1:set-by-True", ":1:add-False", ":1:add-True", ":1:many-False", ":1:many-True":
        assert raw(request, kind, made_key) == expected


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(b"1_000", 1000), (b"12 ", 12), (b"+5", 5), (b" -7\n", -7), (b"0012", 12), (b"-0", 0)],
)
def test_digits_from_a_foreign_writer_are_read_as_django_reads_them(stored, expected, params, configure, redis_server):
    entry = params("redis")
    caches = configure({"ours": entry, "theirs": {**entry, "BACKEND": backends.INCUMBENT["redis"]}})
    with redis_server.client() as client:
        client.set(":1:n", stored)
    assert caches["theirs"].get("n") == expected
    assert_same(caches["ours"].get("n"), expected)


@pytest.mark.parametrize("timeout", [60, 100.9, 86_400, 2_592_000, 2_592_100, None])
def test_expiry_is_the_same_whoever_writes(pair, timeout, request):
    kind, _peer, ours, theirs = pair
    ours.set("set-ours", 1, timeout)
    theirs.set("set-theirs", 1, timeout)
    ours.add("add-ours", 1, timeout)
    ours.set_many({"many-ours": 1}, timeout)
    ours.set("touch-ours", 1, 5)
    assert ours.touch("touch-ours", timeout)
    expected = ttl(request, kind, ":1:set-theirs")
    for made_key in ":1:set-ours", ":1:add-ours", ":1:many-ours", ":1:touch-ours":
        found = ttl(request, kind, made_key)
        if timeout is None:
            assert found is expected is None
        else:
            # The clock ticks between the two writes, django-redis keeps the fraction, and memcached's own clock of
            # whole seconds may lag behind by one, or by two on a busy machine.
            assert expected - 30 < found < int(timeout) + (0.001 if kind == "redis" else 3)


def test_the_default_timeout_is_300_seconds(pair, request):
    kind, _, ours, _ = pair
    ours.set("key", 1)
    assert 270 < ttl(request, kind, ":1:key") <= 300


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_of_zero_or_less_removes_what_they_wrote(pair, timeout):
    _, _, ours, theirs = pair
    theirs.set("key", "old")
    ours.set("key", "new", timeout)
    assert theirs.get("key") is None
    theirs.set("many", "old")
    assert ours.set_many({"many": "new"}, timeout) == []
    assert theirs.get("many") is None


def test_counters_are_shared(pair):
    _, _, ours, theirs = pair
    theirs.set("n", 5)
    assert ours.incr("n") == 6
    assert_same(theirs.get("n"), 6)
    assert theirs.incr("n", 10) == 16
    assert ours.decr("n", 7) == 9
    assert_same(theirs.get("n"), 9)
    assert_same(ours.get("n"), 9)
    ours.set("m", 41)
    assert theirs.incr("m") == 42
    assert_same(ours.get("m"), 42)


def test_counting_keeps_the_expiry(pair, request):
    kind, _, ours, theirs = pair
    if kind == "file" and backends.FACE == "incumbent":
        pytest.skip("Django's base class sets the sum with the default timeout")
    theirs.set("n", 1, 5000)
    ours.incr("n")
    ours.decr("n")
    assert 4900 < ttl(request, kind, ":1:n") <= 5000


def test_a_counter_that_lost_a_digit_is_read(pair):
    # Memcached keeps the length of a decremented number: "9 " after 10.
    _, _, ours, theirs = pair
    theirs.set("n", 10)
    assert theirs.decr("n") == 9
    assert_same(ours.get("n"), 9)
    assert_same(ours.get_many(["n"]), {"n": 9})


def test_counting_up_digits_in_a_str_on_memcached_leaves_a_str(params, configure):
    entry = params("memcached")
    caches = configure({"ours": entry, "theirs": {**entry, "BACKEND": backends.INCUMBENT["memcached"]}})
    caches["theirs"].set("n", "5")
    assert caches["ours"].incr("n") == 6
    assert_same(caches["theirs"].get("n"), "6")
    assert_same(caches["ours"].get("n"), "6")


def test_every_operation_meets_the_others_keys(pair):
    _, _, ours, theirs = pair
    theirs.set_many({"a": 1, "b": "two", "c": [3]})
    assert ours.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": "two", "c": [3]}
    assert ours.has_key("a")
    assert ours.add("a", "other") is False
    assert ours.delete("a") is True
    assert theirs.get("a") is None
    ours.delete_many(["b", "d"])
    assert theirs.get_many(["a", "b", "c"]) == {"c": [3]}
    assert ours.set_many({"e": {"x": 1}, "f": None}) == []
    assert theirs.get_many(["e", "f"]) == {"e": {"x": 1}, "f": None}
    assert theirs.add("e", 0) is False
    ours.clear()
    assert theirs.get_many(["c", "e", "f"]) == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"KEY_PREFIX": "site"},
        {"VERSION": 7},
        {"KEY_PREFIX": "ü", "VERSION": 2},
        {"KEY_FUNCTION": "test_interop.reversed_key"},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize(("kind", "peer"), PEERS)
def test_keys_are_made_alike(kind, peer, settings, params, configure):
    entry = params(kind, **settings)
    path = PATHS[peer]
    caches = configure({"ours": entry, "theirs": {**entry, "BACKEND": path}})
    for key in "plain", "schlüssel", 5:
        caches["theirs"].set(key, "value")
        assert caches["ours"].get(key) == "value"
        caches["ours"].set(key, "other", version=3)
        assert caches["theirs"].get(key, version=3) == "other"


def reversed_key(key, key_prefix, version):
    return f"{version}/{key_prefix}/{key}"[::-1]


def test_versions_move_to_where_the_other_looks(pair):
    _, _, ours, theirs = pair
    theirs.set("key", Book(1, "One"))
    assert ours.incr_version("key") == 2
    assert theirs.get("key") is None
    assert theirs.get("key", version=2) == Book(1, "One")
    assert theirs.decr_version("key", version=2) == 1
    assert ours.get("key") == Book(1, "One")


@pytest.mark.pinyon_only
def test_values_that_pylibmc_compressed_are_read(params, configure, memcached_server):
    import pylibmc

    cache = configure({"default": params("memcached")})["default"]
    client = pylibmc.Client([memcached_server.address])
    for key, value in {"text": "long " * 100, "bytes": b"long " * 100, "pickle": list(range(200))}.items():
        client.set(f":1:{key}", value, min_compress_len=1)
        flags, _ = memcached_server.fetch(f":1:{key}")
        assert flags & 8, "pylibmc did not compress"
        assert_same(cache.get(key), value)


@pytest.mark.pinyon_only
def test_values_that_pymemcache_compressed_are_read(params, configure, memcached_server):
    cache = configure({"default": params("memcached")})["default"]
    memcached_server.store(":1:key", 16 | 8, zlib.compress(b"text " * 100))
    assert_same(cache.get("key"), "text " * 100)


@pytest.mark.pinyon_only
def test_an_accelerated_django_redis_cache_keeps_milliseconds(params, configure, request):
    from pinyon.django import accelerate

    entry = params("redis", BACKEND=backends.OTHERS["django_redis"])
    cache = configure(accelerate({"default": entry}))["default"]
    cache.set("key", 1, 1000.7)
    assert 999.99 < ttl(request, "redis", ":1:key") <= 1000.7
    cache.set("int", Colour.RED)
    assert_same(cache.get("int"), Colour.RED)
