"""The database cache on SQLite, PostgreSQL and MariaDB: fixtures for test_database*.py, and a plugin of conftest.py's."""

import itertools

import backends
import pytest
from databases import MariaDbServer, PostgresServer
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

SERVERS = {"postgresql": PostgresServer, "mariadb": MariaDbServer}
_tables = itertools.count()


class Router:
    """Puts cache tables on one database, as Django documents it."""

    def __init__(self, alias):
        self.alias = alias

    def db_for_read(self, model, **hints):
        return self.alias if model._meta.app_label == "django_cache" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return db == self.alias if app_label == "django_cache" else None


@pytest.fixture(scope="session")
def database_servers():
    """Those that run, by name; they are started when a test first asks for one."""
    started = {}
    yield started
    for server in started.values():
        server.close()


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request):
    return request.param


@pytest.fixture
def server(database, database_servers):
    """The running server; None for SQLite."""
    if database == "sqlite":
        return None
    if database not in database_servers:
        server = database_servers[database] = SERVERS[database]().start()
        complete = connections.configure_settings({"default": {}, database: server.settings()})
        connections.settings[database] = complete[database]
    return database_servers[database]


@pytest.fixture
def alias(database, server):
    """The alias of the database, where the router sends the cache."""
    alias = "default" if database == "sqlite" else database
    with override_settings(DATABASE_ROUTERS=[Router(alias)]):
        yield alias
    connections[alias].close()


@pytest.fixture
def connection(alias):
    return connections[alias]


@pytest.fixture
def make(alias, configure):
    """`make(**params)`: the caches `ours` and `theirs`, Pinyon's and Django's, on one new table."""

    def make(**params):
        table = f"cache table {next(_tables)}"
        call_command("createcachetable", table, database=alias, verbosity=0)
        entry = {"LOCATION": table, **params}
        return configure(
            {
                "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
                "ours": {"BACKEND": backends.PINYON["database"], **entry},
                "theirs": {"BACKEND": backends.INCUMBENT["database"], **entry},
            }
        )

    return make


@pytest.fixture
def ours(make):
    return make()["ours"]


def rows(connection, cache):
    """What lies in the table, by key."""
    with connection.cursor() as cursor:
        quote = connection.ops.quote_name
        cursor.execute(f"SELECT cache_key, {quote('value')}, expires FROM {quote(cache._table)}")
        return {key: (value, expires) for key, value, expires in cursor.fetchall()}
