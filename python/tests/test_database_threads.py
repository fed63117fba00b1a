"""The database cache under many writers, threads and processes, on SQLite, PostgreSQL and MariaDB."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import caches
from django.db import connections

pytestmark = [pytest.mark.pinyon_only, pytest.mark.slow]
THREADS = 8


def in_threads(work):
    """What `work(number)` returned in each of several threads that start together, each with its own connection."""
    start = threading.Barrier(THREADS)

    def begin(number):
        start.wait()
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


@pytest.fixture(autouse=True)
def nothing_refused(ours, server, database):
    """After each test: no write was refused, and PostgreSQL's log has no error."""
    start = 0 if server is None else len(server.log())
    yield
    if database == "postgresql":
        assert "ERROR" not in server.log()[start:]
    assert caches["ours"].stats()["errors"] == 0


def test_incr_adds_up_exactly(ours):
    ours.set("total", 0, None)
    in_threads(lambda number: [caches["ours"].incr("total", 2) for _ in range(25)])
    assert ours.get("total") == THREADS * 25 * 2
    assert ours.ttl("total") is None


def test_of_many_adds_one_wins(ours):
    keys = [f"key-{number}" for number in range(20)]
    ours.set_many(dict.fromkeys(keys[:10], "expired"), 0)
    won = in_threads(lambda number: [key for key in keys if caches["ours"].add(key, number)])
    assert sorted(key for mine in won for key in mine) == sorted(keys)
    found = ours.get_many(keys)
    assert all(found[key] == number for number, mine in enumerate(won) for key in mine)


def test_the_same_new_keys_from_everywhere(ours):
    keys = [f"key-{number}" for number in range(40)]

    def write(number):
        order = keys if number % 2 else keys[::-1]
        cache = caches["ours"]
        for round_ in range(5):
            assert cache.set_many(dict.fromkeys(order, (number, round_))) == []
            for key in order[:5]:
                cache.set(key, (number, round_))
                cache.add(key, (number, round_))
            cache.delete_many(order[5:10])
            cache.touch(order[0])

    in_threads(write)
    ours.set_many(dict.fromkeys(keys, "last"))
    assert ours.get_many(keys) == dict.fromkeys(keys, "last")


def test_culling_while_everybody_writes(make):
    make(OPTIONS={"MAX_ENTRIES": 40})

    def write(number):
        cache = caches["ours"]
        for round_ in range(10):
            cache.set_many({f"{number}-{round_}-{item}": item for item in range(8)}, 0 if round_ % 2 else 60)
            cache.set(f"{number}-mine", round_)

    in_threads(write)
    caches["ours"].set("after", 1)
    assert caches["ours"].get("after") == 1
