"""SERIALIZER and COMPRESSOR against django-redis itself, both ways; lists of them; classes of the site; hostile bytes."""

import ast
import asyncio
import bz2
import itertools
import os
import pickle

import backends
import pytest
from django.core.exceptions import ImproperlyConfigured
from payloads import Book
from test_interop import assert_same

pytestmark = pytest.mark.pinyon_only

SERIALIZERS = {
    "pickle": "django_redis.serializers.pickle.PickleSerializer",
    "json": "django_redis.serializers.json.JSONSerializer",
    "msgpack": "django_redis.serializers.msgpack.MSGPackSerializer",
}
COMPRESSORS = {
    "identity": "django_redis.compressors.identity.IdentityCompressor",
    "zlib": "django_redis.compressors.zlib.ZlibCompressor",
    "gzip": "django_redis.compressors.gzip.GzipCompressor",
    "lzma": "django_redis.compressors.lzma.LzmaCompressor",
    "lz4": "django_redis.compressors.lz4.Lz4Compressor",
    "zstd": "django_redis.compressors.zstd.ZStdCompressor",
}
#: How compressed bytes begin, and the longest value that is not compressed.
MAGIC = {
    "zlib": b"\x78",
    "gzip": b"\x1f\x8b\x08",
    "lzma": b"\xfd7zXZ\0",
    "lz4": b"\x04\x22\x4d\x18",
    "zstd": b"(\xb5/\xfd",
}
MIN_LENGTH = {"zlib": 15, "gzip": 15, "lzma": 100, "lz4": 15, "zstd": 15}
EVERY_FORMAT = pytest.mark.parametrize(("serializer", "compressor"), list(itertools.product(SERIALIZERS, COMPRESSORS)))

#: What every serializer can write.
VALUES = {
    "integers": [0, -1, 48, 2**63 - 1, -(2**63), 2**63, 2**70, -(2**70)],
    "constants": [None, True, False],
    "floats": [1.5, -0.0, 1e300],
    "short": ["", "a", "5", "1_000", "ends with a dot.", "x" * 12, "x" * 14, "x" * 15, "x" * 16, "x" * 17],
    "around 100 bytes": ["x" * length for length in range(80, 105)],
    "nested": [{"a": [1, {"b": [None, 2.5, "ü" * 30]}], "c": {}}, [], [[[[1]]]], [{"n": n} for n in range(2000)]],
    "long": ["text " * 50_000, "é日😀" * 1000],
    "incompressible": [os.urandom(150_000).hex()],
}
#: What only pickle and MessagePack can.
BINARY = [b"", b"12", b"\x80\x05N.", bytes(range(256)), os.urandom(300_000), b"x" * 300_000]


def values_for(serializer):
    values = list(itertools.chain.from_iterable(VALUES.values()))
    if serializer != "json":
        values += BINARY
    if serializer == "pickle":
        values += [Book(1, "One", Book(2, "Two")), (1, 2), {1, 2}]
    return {f"key{index}": value for index, value in enumerate(values)}


@pytest.fixture
def make(params, configure):
    """`make(name=OPTIONS, ...)`: caches on one server; a name that begins with `theirs` is django-redis's."""

    def caches(**options):
        entry = params("redis")
        paths = {name: "django_redis" if name.startswith("theirs") else "" for name in options}
        return configure(
            {
                name: {**entry, "BACKEND": backends.OTHERS.get(paths[name], entry["BACKEND"]), "OPTIONS": given}
                for name, given in options.items()
            }
        )

    return caches


@pytest.fixture
def raw(redis_server):
    """`raw(key)`: the bytes on the server; `raw(key, bytes)` puts them there."""
    with redis_server.client() as client:

        def access(key, content=None):
            return client.get(f":1:{key}") if content is None else client.set(f":1:{key}", content)

        yield access


def options(serializer, compressor):
    return {"SERIALIZER": SERIALIZERS[serializer], "COMPRESSOR": COMPRESSORS[compressor]}


@EVERY_FORMAT
def test_they_read_what_we_wrote(serializer, compressor, make):
    values = values_for(serializer)
    both = options(serializer, compressor)
    caches = make(ours={"SERIALIZER": serializer, "COMPRESSOR": compressor}, theirs=both)
    for key, value in values.items():
        caches["ours"].set(key, value)
        assert_same(caches["theirs"].get(key, "nothing"), value)
    assert caches["ours"].set_many({f"many-{key}": value for key, value in values.items()}) == []
    assert caches["theirs"].get_many([f"many-{key}" for key in values]) == {f"many-{k}": v for k, v in values.items()}


@EVERY_FORMAT
def test_we_read_what_they_wrote(serializer, compressor, make):
    values = values_for(serializer)
    both = options(serializer, compressor)
    caches = make(ours=both, theirs=both)
    for key, value in values.items():
        caches["theirs"].set(key, value)
        assert_same(caches["ours"].get(key, "nothing"), value)
    assert caches["ours"].get_many(list(values)) == values
    assert caches["ours"].stats()["bad_values"] == 0


@pytest.mark.parametrize("compressor", MAGIC)
def test_what_is_compressed_and_what_is_not_is_the_same(compressor, make, raw):
    caches = make(ours=options("pickle", compressor), theirs=options("pickle", compressor))
    for name, cache in {"ours": caches["ours"], "theirs": caches["theirs"]}.items():
        for length in range(0, 130):
            value = b"x" * length
            cache.set(name, value)
            pickled = pickle.dumps(value)
            compressed = len(pickled) > MIN_LENGTH[compressor]
            assert raw(name).startswith(MAGIC[compressor]) is compressed, (name, length)
            # The protocol is the interpreter's own in django-redis, and 5 here; both are pickles.
            assert compressed or pickle.loads(raw(name)) == value
        cache.set(name, 2**62)
        assert raw(name) == str(2**62).encode()


def test_counters_stay_digits_beside_a_compressor(make):
    both = options("msgpack", "zstd")
    caches = make(ours=both, theirs=both)
    caches["ours"].set("n", 2**63 - 1)
    # What django-redis returns here went through a float of Lua; what it stores is right.
    caches["theirs"].decr("n")
    assert_same(caches["ours"].get("n"), 2**63 - 2)
    assert caches["ours"].incr("n", 5) == 2**63 + 3
    assert_same(caches["theirs"].get("n"), 2**63 + 3)


def test_one_list_reads_what_every_format_wrote(make):
    lists = {"SERIALIZER": list(SERIALIZERS), "COMPRESSOR": list(COMPRESSORS)}
    backwards = {"SERIALIZER": tuple(SERIALIZERS)[::-1], "COMPRESSOR": tuple(COMPRESSORS)[::-1]}
    writers = {f"theirs{s}{c}": options(s, c) for s, c in itertools.product(SERIALIZERS, COMPRESSORS)}
    caches = make(forwards=lists, backwards=backwards, **writers)
    for writer, (serializer, _) in zip(writers, itertools.product(SERIALIZERS, COMPRESSORS), strict=True):
        values = values_for(serializer)
        caches[writer].set_many(values)
        for reader in "forwards", "backwards":
            for key, value in values.items():
                assert_same(caches[reader].get(key, "nothing"), value)
            assert caches[reader].stats()["bad_values"] == 0


def test_a_site_changes_its_format_without_losing_the_cache(make, raw):
    old, new = options("pickle", "zlib"), options("json", "zstd")
    both = {"SERIALIZER": ["json", "pickle"], "COMPRESSOR": ["zstd", "zlib"]}
    caches = make(theirs_old=old, rolling=both, theirs_new=new)
    value = {"title": "text " * 20, "stock": [1.5, None]}
    caches["theirs_old"].set("key", value)
    assert caches["rolling"].get("key") == value
    caches["rolling"].set("key", value)
    assert raw("key").startswith(MAGIC["zstd"])
    assert caches["theirs_new"].get("key") == value


def test_a_site_stops_compressing_without_losing_the_cache(make, raw):
    caches = make(old={"COMPRESSOR": "gzip"}, new={"COMPRESSOR": ["identity", "gzip"]}, plain={})
    caches["old"].set("key", "text " * 20)
    assert caches["new"].get("key") == "text " * 20
    caches["new"].set("key", "text " * 20)
    assert raw("key") == pickle.dumps("text " * 20, 5)
    assert caches["plain"].get("key") == "text " * 20


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_found_in_a_list(protocol, make, raw):
    caches = make(
        ours={"SERIALIZER": ["msgpack", "json", "pickle"]},
        theirs={"PICKLE_VERSION": protocol, "COMPRESSOR": COMPRESSORS["lz4"]},
        packed={"PICKLE_VERSION": protocol, "COMPRESSOR": "lz4"},
    )
    for value in [None, 1.5, "text", [1, "two"], {"a": {"b": 3}}]:
        raw("key", pickle.dumps(value, protocol))
        assert_same(caches["ours"].get("key", "nothing"), value)
        caches["packed"].set("key", value)
        assert_same(caches["theirs"].get("key", "nothing"), value)


class SiteCompressor:
    """As a site writes one for django-redis: it is given the OPTIONS."""

    def __init__(self, options):
        self.level = options.get("LEVEL", 9)

    def compress(self, value):
        return bz2.compress(value, self.level) if len(value) > 50 else value

    def decompress(self, value):
        from django_redis.exceptions import CompressorError

        try:
            return bz2.decompress(value)
        except OSError as error:
            raise CompressorError from error


class SiteSerializer:
    """As a site writes one for django-redis."""

    def __init__(self, options):
        self.encoding = "utf-8"

    def dumps(self, value):
        return repr(value).encode(self.encoding)

    def loads(self, value):
        return ast.literal_eval(value.decode(self.encoding))


class TextSerializer:
    """As a site writes one for Django: it is given nothing, and every integer."""

    def dumps(self, value):
        return f"<{value!r}>"

    def loads(self, value):
        return ast.literal_eval(value.decode()[1:-1])


SITE = [None, True, 1.5, 7, 2**70, "text", {"a": [1, 2]}, "long " * 100, list(range(500))]


@pytest.mark.parametrize("given", ["path", "class"])
def test_a_site_brings_its_own_classes(given, make, raw):
    paths = {"SERIALIZER": f"{__name__}.SiteSerializer", "COMPRESSOR": f"{__name__}.SiteCompressor"}
    ours = paths if given == "path" else {"SERIALIZER": SiteSerializer, "COMPRESSOR": SiteCompressor}
    caches = make(ours=ours, theirs=paths)
    for value in SITE:
        caches["ours"].set("key", value)
        assert_same(caches["theirs"].get("key", "nothing"), value)
        ours_wrote = raw("key")
        caches["theirs"].set("key", value)
        assert raw("key") == ours_wrote
        assert_same(caches["ours"].get("key", "nothing"), value)
    assert raw("key").startswith(b"BZh")
    caches["ours"].set("n", 7)
    assert raw("n") == b"7"


def test_a_serializer_for_django_is_given_the_integers_too(params, configure, raw):
    entry = params("redis", OPTIONS={"serializer": f"{__name__}.TextSerializer"})
    caches = configure({"ours": entry, "theirs": {**entry, "BACKEND": backends.INCUMBENT["redis"]}})
    for value in SITE:
        caches["theirs"].set("key", value)
        expected = raw("key")
        assert_same(caches["ours"].get("key", "nothing"), value)
        caches["ours"].set("key", value)
        assert raw("key") == expected


def test_the_sites_own_classes_may_stand_in_lists(make, raw):
    caches = make(
        old={"SERIALIZER": SiteSerializer, "COMPRESSOR": SiteCompressor},
        new={"SERIALIZER": ["pickle", SiteSerializer], "COMPRESSOR": ["zlib", f"{__name__}.SiteCompressor"]},
        back={"SERIALIZER": [SiteSerializer, "pickle"], "COMPRESSOR": [SiteCompressor, "zlib"]},
    )
    for value in SITE:
        caches["old"].set("key", value)
        assert_same(caches["new"].get("key", "nothing"), value)
        caches["new"].set("key", value)
        assert_same(caches["back"].get("key", "nothing"), value)
        caches["back"].set("key", value)
        assert_same(caches["old"].get("key", "nothing"), value)
    assert raw("key").startswith(b"BZh")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("COMPRESSOR", "zlip", "'zlib'"),
        ("COMPRESSOR", ["zlib", "zst"], "'zstd'"),
        ("COMPRESSOR", "django_redis.compressors.gzip.GzipCompresor", "django_redis.compressors.gzip.GzipCompressor"),
        ("COMPRESSOR", "nowhere.Compressor", "No module named"),
        ("COMPRESSOR", f"{__name__}.SiteSerializer", "compress() and decompress()"),
        ("COMPRESSOR", 5, "must be"),
        ("SERIALIZER", "pickel", "'pickle'"),
        ("SERIALIZER", "payloads.Nothing", "cannot be imported"),
        ("SERIALIZER", ["json", f"{__name__}.SiteCompressor"], "dumps() and loads()"),
        ("SERIALIZER", [], "at least one"),
    ],
)
def test_what_is_no_format_is_explained(option, value, expected, configure):
    entry = {"BACKEND": backends.PINYON["redis"], "LOCATION": "redis://127.0.0.1:1", "OPTIONS": {option: value}}
    with pytest.raises(ImproperlyConfigured) as caught:
        configure({"default": {"BACKEND": backends.PINYON["memory"]}, "shelf": entry})["shelf"].get("key")
    message = str(caught.value)
    assert "shelf" in message
    assert option in message
    assert expected in message


@pytest.mark.parametrize("compressor", MAGIC)
def test_damaged_data_is_a_miss_that_is_counted(compressor, make, raw):
    cache = make(ours={"COMPRESSOR": compressor})["ours"]
    cache.set("key", os.urandom(200) + b"x" * 200)
    whole = raw("key")
    before = cache.stats()["bad_values"]
    damaged = [whole[:-1], whole[: len(whole) // 2], whole[:8], whole + b"x"]
    if compressor not in ("lz4", "zstd"):  # These carry no checksum, whoever writes them.
        damaged.append(whole[:100] + b"\xff" * 50 + whole[150:])
    for count, content in enumerate(damaged, 1):
        raw("key", content)
        assert cache.get("key", "nothing") == "nothing"
        assert cache.stats()["bad_values"] == before + count


def test_a_bomb_is_a_miss_and_not_half_a_gigabyte_more(make, raw):
    import pyzstd
    from pinyon import BadValueError

    caches = make(ours={"COMPRESSOR": ["zlib", "zstd"]}, strict={"COMPRESSOR": "zstd", "ON_BAD_VALUE": "raise"})
    size, block = 513 << 20, bytes(1 << 20)
    # A sound pickle of so many zeros: nothing but the limit keeps it from being read.
    packer = pyzstd.ZstdCompressor()
    parts = [packer.compress(b"\x80\x05B" + size.to_bytes(4, "little"))]
    parts += [packer.compress(block) for _ in range(size // len(block))]
    raw("bomb", b"".join([*parts, packer.compress(b"."), packer.flush()]))
    before = caches["ours"].stats()["bad_values"]
    assert caches["ours"].get("bomb", "nothing") == "nothing"
    assert caches["ours"].stats()["bad_values"] == before + 1
    with pytest.raises(BadValueError) as caught:
        caches["strict"].get("bomb")
    assert "decompresses to more than 512 MiB" in str(caught.value.__cause__)


def test_async_code_reads_and_writes_the_same(make):
    both = options("json", "gzip")
    caches = make(ours=both, theirs=both)

    async def exchange():
        await caches["ours"].aset("key", ["text"] * 100)
        return await caches["ours"].aget("key")

    assert asyncio.run(exchange()) == ["text"] * 100
    assert caches["theirs"].get("key") == ["text"] * 100
