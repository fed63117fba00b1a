"""Servers for the whole session, Django's settings, and caches made through Django's own `caches`."""

import base64
import itertools
import pickle
import shutil
import tempfile
import zlib
from pathlib import Path

import backends
import django
import pytest
from django.conf import settings
from django.core.management import call_command
from servers import Certificates, MemcachedServer, RedisServer

pytest_plugins = ["database_fixtures"]
DIRECTORY = tempfile.mkdtemp(prefix="pinyon-tests-")
settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
    SECRET_KEY="not a secret: for tests",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{DIRECTORY}/default.sqlite3",
            # As docs/database.md has it for several writers.
            "OPTIONS": {"timeout": 30, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"},
        }
    },
    USE_TZ=False,
)
django.setup()

_locations = itertools.count()

# A file is run by one worker from its first test to its last: one that takes minutes and comes last keeps all others waiting.
LONG_FILES = (
    "test_bench.py",
    "test_django_suite.py",
    "test_async_stress.py",
    "test_async_loops.py",
    "test_axum_bookshop.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG_FILES.index(item.path.name) if item.path.name in LONG_FILES else len(LONG_FILES))
    if backends.FACE == "incumbent":
        skip = pytest.mark.skip(reason="only Pinyon promises this")
        for item in items:
            if "pinyon_only" in item.keywords:
                item.add_marker(skip)


def pytest_unconfigure():
    shutil.rmtree(DIRECTORY, ignore_errors=True)


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
    """Call it with a CACHES dictionary, and other settings by name; it answers Django's `caches`. The settings return after the test,
    in the reverse order: an `override_settings` around a call would come back with them.
    """
    from django.core.cache import caches
    from django.test import override_settings

    overrides = []

    def enable(setting, **others):
        override = override_settings(CACHES=setting, **others)
        override.enable()
        overrides.append(override)
        return caches

    yield enable
    for override in reversed(overrides):
        override.disable()


@pytest.fixture
def params(request):
    """`params(name, **changes)`: one entry of CACHES, on an empty store. `name` is one of backends.NAMES."""

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
        elif name == "database":
            result["LOCATION"] = f"cache {next(_locations)}"
            call_command("createcachetable", result["LOCATION"], verbosity=0)
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
        elif name == "database":
            insert(cache, made, base64.b64encode(raw).decode())
        else:
            pytest.skip("process memory has no foreign writer")

    return write


def insert(cache, made, text):
    """Give a database cache a row as another program would."""
    from django.db import connection

    with connection.cursor() as cursor:
        statement = f"REPLACE INTO {connection.ops.quote_name(cache._table)} VALUES (%s, %s, %s)"
        cursor.execute(statement, [made, text, "9999-12-31 23:59:59"])
