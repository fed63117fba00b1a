"""Wrong settings are explained; the site's dictionary is taken over; bytes that cannot be read are misses."""

import copy
import itertools
import logging
import pickle

import pytest
from backends import BACKENDS, INCUMBENT, OTHERS, PINYON
from django.core.cache import InvalidCacheBackendError
from django.core.exceptions import ImproperlyConfigured
from payloads import Book

pytestmark = pytest.mark.pinyon_only

ANY = {
    "memory": "x",
    "redis": "redis://127.0.0.1:1/0",
    "memcached": "127.0.0.1:1",
    "file": "/nowhere",
    "database": "table",
}


def complaint(configure, name, **params):
    """The message that using the alias `shelf` with these settings gives."""
    entry = {"BACKEND": BACKENDS[name], "LOCATION": ANY[name], **params}
    caches = configure({"default": {"BACKEND": PINYON["memory"]}, "shelf": entry})
    with pytest.raises(ImproperlyConfigured) as caught:
        caches["shelf"].get("key")
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "wrong", "nearest"),
    [
        ("memory", "MAX_ENTRY", "MAX_ENTRIES"),
        ("memory", "CULL_FREQUENZY", "CULL_FREQUENCY"),
        ("memory", "max_bytes", "MAX_BYTES"),
        ("file", "MAX_BYTE", "MAX_BYTES"),
        ("redis", "socket_timout", "socket_timeout"),
        ("redis", "ON_BAD_VALU", "ON_BAD_VALUE"),
        ("redis", "pasword", "password"),
        ("memcached", "conect_timeout", "connect_timeout"),
        ("database", "MAX_ENTRYS", "MAX_ENTRIES"),
        ("database", "DATABASE_ULR", "DATABASE_URL"),
        ("memcached", "max_pool_sise", "max_pool_size"),
    ],
)
def test_an_unknown_option_is_named_with_the_nearest_one(configure, name, wrong, nearest):
    message = complaint(configure, name, OPTIONS={wrong: 1})
    assert "shelf" in message
    assert wrong in message
    assert nearest in message


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("memory", "ON_BAD_VALUE", "explode"),
        ("memory", "MAX_BYTES", "plenty"),
        ("memory", "MAX_BYTES", -1),
        ("file", "MAX_BYTES", -1),
        ("redis", "socket_timeout", "soon"),
        ("redis", "socket_timeout", -1),
        ("redis", "protocol", 4),
        ("redis", "db", "first"),
        ("memcached", "timeout", "soon"),
        ("memcached", "connect_timeout", -5),
    ],
)
def test_a_wrong_value_names_alias_and_option(configure, name, option, value):
    message = complaint(configure, name, OPTIONS={option: value})
    assert "shelf" in message
    assert option in message


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("file", ""),
        ("redis", ""),
        ("redis", "http://127.0.0.1/"),
        ("redis", "redis://127.0.0.1:notaport/0"),
        ("redis", "redis://127.0.0.1:6379/notanumber"),
        ("memcached", ""),
        ("memcached", "127.0.0.1:notaport"),
    ],
)
def test_a_wrong_location_names_the_alias(configure, name, location):
    message = complaint(configure, name, LOCATION=location)
    assert "shelf" in message
    assert "LOCATION" in message


def test_a_password_in_a_wrong_location_stays_secret(configure):
    message = complaint(configure, "redis", LOCATION="redis://user:s3cret@127.0.0.1:notaport/0")
    assert "s3cret" not in message


def test_accelerate_takes_over_a_site_of_django_redis_with_every_option_that_it_may_have(redis_server, configure):
    from pinyon.django import RedisCache, accelerate, checks

    options = {
        "CLIENT_CLASS": "django_redis.client.HerdClient",
        "PARSER_CLASS": "redis.connection._HiredisParser",
        "CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool",
        "CONNECTION_POOL_KWARGS": {"max_connections": 50, "timeout": 20},
        "CONNECTION_FACTORY": "shop.pool.ConnectionFactory",
        "REDIS_CLIENT_CLASS": "redis.client.StrictRedis",
        "REDIS_CLIENT_KWARGS": {"health_check_interval": 30},
        "SOCKET_TIMEOUT": 5,
        "IGNORE_EXCEPTIONS": True,
        "CLOSE_CONNECTION": True,
        "COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor",
    }
    entry = {"BACKEND": OTHERS["django_redis"], "LOCATION": redis_server.url, "OPTIONS": options}
    entry["REVERSE_KEY_FUNCTION"] = "test_django_redis_methods.reversed_key"
    caches = configure(accelerate({"default": entry}))
    assert isinstance(caches["default"], RedisCache)
    caches["default"].set("key", "value", 10)
    assert caches["default"].get("key") == "value"
    warnings = checks.check_settings()
    assert {warning.id for warning in warnings} == {"pinyon.W004"}
    idle = (
        "PARSER_CLASS",
        "POOL_CLASS",
        "' 'timeout'",
        "FACTORY",
        "CLIENT_CLASS'",
        "CLIENT_KWARGS",
        "CLOSE_CONNECTION",
    )
    assert len(warnings) == len(idle)
    assert all(any(name in warning.msg for warning in warnings) for name in idle)


def test_accelerate_follows_the_four_steps_of_a_site(redis_server, memcached_server, configure):
    from pinyon.django import LocMemCache, MemcachedCache, RedisCache, accelerate

    caches = {"default": {"BACKEND": INCUMBENT["memory"]}}
    alive = configure(accelerate(caches))
    alive["default"].set("step", 1)
    assert alive["default"].get("step") == 1
    assert isinstance(alive["default"], LocMemCache)

    caches["redis_cache"] = {"BACKEND": OTHERS["django_redis"], "LOCATION": f"{redis_server.url}/1"}
    alive = configure(accelerate(caches))
    alive["redis_cache"].set("step", 2)
    assert alive["redis_cache"].get("step") == 2
    assert isinstance(alive["redis_cache"], RedisCache)

    caches["memcached_cache"] = {"BACKEND": INCUMBENT["memcached"], "LOCATION": memcached_server.address}
    alive = configure(accelerate(caches))
    alive["memcached_cache"].set("step", {"number": 3})
    assert alive["memcached_cache"].get("step") == {"number": 3}
    assert isinstance(alive["memcached_cache"], MemcachedCache)

    caches["default"] = dict(caches["redis_cache"])
    alive = configure(accelerate(caches))
    alive["default"].set("step", 4)
    assert alive["redis_cache"].get("step") == 4


def test_accelerate_takes_a_site_of_files_over_warm(configure, tmp_path):
    from pinyon.django import FileBasedCache, accelerate

    caches = {"default": {"BACKEND": INCUMBENT["file"], "LOCATION": tmp_path}}
    configure(caches)["default"].set("book", Book(1, "One"))
    alive = configure(accelerate(caches))
    assert isinstance(alive["default"], FileBasedCache)
    assert alive["default"].get("book") == Book(1, "One")


def test_accelerate_changes_a_copy_and_leaves_other_backends_alone():
    from pinyon.django import accelerate

    caches = {
        "default": {"BACKEND": INCUMBENT["redis"], "LOCATION": "redis://h", "OPTIONS": {"db": 1}, "TIMEOUT": 5},
        "pylibmc": {"BACKEND": OTHERS["pylibmc"], "LOCATION": "h:11211"},
        "table": {"BACKEND": INCUMBENT["database"], "LOCATION": "cache_table", "OPTIONS": {"MAX_ENTRIES": 9}},
        "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
        "site": {"BACKEND": "site.caches.Special", "LOCATION": "z", "OPTIONS": {"any": ["thing"]}},
    }
    before = copy.deepcopy(caches)
    accelerated = accelerate(caches)
    assert caches == before
    assert list(accelerated) == list(caches)
    assert accelerated["dummy"] == {"BACKEND": "pinyon.django.DummyCache"}
    assert accelerated["site"] == caches["site"]
    assert accelerated["default"]["BACKEND"].startswith("pinyon.django.")
    assert accelerated["pylibmc"]["BACKEND"].startswith("pinyon.django.")
    assert accelerated["table"] == {**caches["table"], "BACKEND": "pinyon.django.DatabaseCache"}
    assert accelerated["default"]["LOCATION"] == "redis://h"
    assert accelerated["default"]["TIMEOUT"] == 5
    assert accelerate(accelerated) == accelerated


def test_every_class_stands_under_the_names_it_replaces(configure):
    import pinyon.django

    assert issubclass(pinyon.django.PyMemcacheCache, pinyon.django.MemcachedCache)
    assert issubclass(pinyon.django.PyLibMCCache, pinyon.django.MemcachedCache)
    caches = configure({"default": {"BACKEND": "pinyon.django.NoSuchCache"}})
    with pytest.raises(InvalidCacheBackendError):
        caches["default"]


numbers = itertools.count()
VANISHED = pickle.dumps(Book(1, "x"), 5).replace(b"Book", b"Kook")
BAD = {
    "truncated": pickle.dumps({"a": list(range(100))}, 5)[:40],
    "garbage": b"\xff\xfenot a pickle",
    "vanished class": VANISHED,
    "vanished module": VANISHED.replace(b"payloads", b"gayloads"),
    "empty stack": b"\x80\x05.",
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_bytes_that_cannot_be_read_are_a_miss_counted_and_logged_once(name, params, configure, plant, raw, caplog):
    # "Once" may be counted for each alias of the process: every case has its own.
    alias = f"shelf{next(numbers)}"
    cache = configure({"default": params("memory"), alias: params(name)})[alias]
    cache.set("good", ["fine"])
    plant(cache, "bad", raw)
    before = cache.stats()
    with caplog.at_level(logging.DEBUG, "pinyon"):
        assert cache.get("bad") is None
        assert cache.get("bad", "default") == "default"
        assert cache.get_many(["bad", "good"]) == {"good": ["fine"]}
    after = cache.stats()
    assert after["bad_values"] == before["bad_values"] + 3
    assert after["hits"] == before["hits"] + 1
    assert after["misses"] == before["misses"] + 3
    records = [record for record in caplog.records if record.name.startswith("pinyon")]
    assert len(records) == 1
    assert alias in records[0].getMessage()
    assert cache.get_or_set("bad", "mended") == "mended"
    assert cache.get("bad") == "mended"


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_on_bad_value_raise_gives_the_original_error(name, params, configure, plant, raw):
    import pinyon

    cache = configure({"default": params(name, OPTIONS={"ON_BAD_VALUE": "raise"})})["default"]
    plant(cache, "bad", raw)
    with pytest.raises(Exception) as expected:
        pickle.loads(raw)
    for read in (lambda: cache.get("bad"), lambda: cache.get_many(["bad"])):
        with pytest.raises(pinyon.BadValueError) as caught:
            read()
        assert isinstance(caught.value, ValueError)
        assert type(caught.value.__cause__) is type(expected.value)
    assert cache.stats()["bad_values"] >= 2


def test_hits_and_misses_are_counted(cache):
    before = cache.stats()
    cache.set("key", 1)
    cache.get("key")
    cache.get("missing")
    cache.get_many(["key", "missing", "other"])
    after = cache.stats()
    assert after["hits"] - before["hits"] == 2
    assert after["misses"] - before["misses"] == 3
    assert after["bad_values"] == before["bad_values"]
