"""Several Memcached servers: each key lives where pymemcache looks for it."""

from contextlib import ExitStack

import backends
import pytest
from servers import MemcachedServer

KEYS = [f"k{number}" for number in range(60)] + ["user:1", "schlüssel", "日本", "😀", "k" * 200]


@pytest.fixture(scope="module")
def three():
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer()) for _ in range(3)]


@pytest.fixture
def both(three, configure):
    """Our cache and pymemcache's, on three empty servers."""
    for server in three:
        server.flush()
    location = [server.address for server in three]
    caches = configure(
        {
            "ours": {"BACKEND": backends.BACKENDS["memcached"], "LOCATION": location},
            # Another order, another spelling: placement depends on the names alone.
            "theirs": {"BACKEND": backends.INCUMBENT["memcached"], "LOCATION": ";".join(reversed(location))},
        }
    )
    return caches["ours"], caches["theirs"]


def homes(three, prefix=":1:"):
    """The servers on which each key is found."""
    return {key: [i for i, server in enumerate(three) if server.fetch(prefix + key)] for key in KEYS}


def test_each_key_is_on_the_server_where_pymemcache_puts_it(three, both):
    ours, theirs = both
    for key in KEYS:
        theirs.set(key, "theirs")
    expected = homes(three)
    assert all(len(home) == 1 for home in expected.values())
    assert {home[0] for home in expected.values()} == {0, 1, 2}
    for server in three:
        server.flush()
    for key in KEYS:
        ours.set(key, "ours")
    assert homes(three) == expected


def test_many_keys_are_found_across_the_servers(three, both):
    ours, theirs = both
    data = {key: {"value": key} for key in KEYS}
    assert theirs.set_many(data) == []
    assert ours.get_many(KEYS) == data
    ours.clear()
    assert theirs.get_many(KEYS) == {}
    assert ours.set_many(data) == []
    assert theirs.get_many(KEYS) == data
    assert all(len(home) == 1 for home in homes(three).values())


def test_each_operation_goes_to_the_keys_own_server(three, both):
    ours, theirs = both
    for number, key in enumerate(KEYS):
        assert ours.add(key, number)
    placed = homes(three)
    for number, key in enumerate(KEYS):
        assert theirs.get(key) == number
        assert ours.incr(key) == number + 1
        assert ours.touch(key, 500)
        assert ours.has_key(key)
    assert homes(three) == placed
    ours.delete_many(KEYS[:30])
    assert all(ours.delete(key) for key in KEYS[30:])
    assert not any(homes(three).values())


def test_the_prefix_is_part_of_what_is_placed(three, configure):
    for server in three:
        server.flush()
    location = [server.address for server in three]
    entry = {"LOCATION": location, "KEY_PREFIX": "site"}
    caches = configure(
        {
            "ours": {**entry, "BACKEND": backends.BACKENDS["memcached"]},
            "theirs": {**entry, "BACKEND": backends.INCUMBENT["memcached"]},
        }
    )
    for key in KEYS:
        caches["theirs"].set(key, 1)
    placed = homes(three, "site:1:")
    for key in KEYS:
        caches["ours"].set(key, 2)
    assert homes(three, "site:1:") == placed


def test_clear_empties_every_server(three, both):
    ours, _ = both
    ours.set_many(dict.fromkeys(KEYS, 1))
    ours.clear()
    assert not any(homes(three).values())
