"""Servers for the whole session, Django's settings, and caches made through Django's own `caches`."""

import itertools
import pickle
import zlib
from pathlib import Path

import backends
import django
import pytest
from django.conf import settings
from servers import Certificates, MemcachedServer, RedisServer

settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
    SECRET_KEY="not a secret: for tests",
    USE_TZ=False,
)
django.setup()

_locations = itertools.count()


def pytest_collection_modifyitems(items):
    if backends.FACE == "incumbent":
        skip = pytest.mark.skip(reason="only Pinyon promises this")
        for item in items:
            if "pinyon_only" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def redis_server():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_server():
    with MemcachedServer() as server:
        yield server


@pytest.fixture(scope="session")
def certificates():
    made = Certificates()
    yield made
    made.close()


@pytest.fixture
def configure():
    """Call it with a CACHES dictionary; it answers Django's `caches`. The settings return after the test."""
    from django.core.cache import caches
    from django.test import override_settings

    overrides = []

    def enable(setting):
        override = override_settings(CACHES=setting)
        override.enable()
        overrides.append(override)
        return caches

    yield enable
    for override in reversed(overrides):
        override.disable()


@pytest.fixture
def params(request):
    """`params(name, **changes)`: one entry of CACHES, on an empty store. `name`: memory, redis, memcached or file."""

    def entry(name, **changes):
        result = {"BACKEND": backends.BACKENDS[name]}
        if name == "memory":
            result["LOCATION"] = f"test-{next(_locations)}"
        elif name == "redis":
            server = request.getfixturevalue("redis_server")
            with server.client() as client:
                client.flushall()
            result["LOCATION"] = server.url
        elif name == "file":
            result["LOCATION"] = str(request.getfixturevalue("tmp_path") / f"cache-{next(_locations)}")
        else:
            server = request.getfixturevalue("memcached_server")
            server.flush()
            result["LOCATION"] = server.address
        return {**result, **changes}

    return entry


@pytest.fixture(params=backends.NAMES)
def name(request):
    return request.param


@pytest.fixture
def cache(name, params, configure):
    """The cache `default` of each backend in turn."""
    return configure({"default": params(name)})["default"]


@pytest.fixture
def plant(name, request):
    """`plant(cache, key, pickled)`: put raw bytes in the place of a pickled value, as a foreign writer would."""

    def write(cache, key, raw):
        made = cache.make_key(key)
        if name == "redis":
            with request.getfixturevalue("redis_server").client() as client:
                client.set(made, raw)
        elif name == "memcached":
            request.getfixturevalue("memcached_server").store(made, 1, raw)
        elif name == "file":
            path = Path(cache._key_to_file(key))
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.write_bytes(pickle.dumps(None, 5) + zlib.compress(raw))
        else:
            pytest.skip("process memory has no foreign writer")

    return write
