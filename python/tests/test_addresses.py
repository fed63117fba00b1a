"""Every way to say where a server is and how to log in to it."""

import backends
import pytest
from servers import MemcachedServer, RedisServer, wait_until

REDIS = backends.BACKENDS["redis"]
MEMCACHED = backends.BACKENDS["memcached"]


@pytest.fixture(scope="module")
def guarded(certificates):
    """A Redis with everything: a password, a user, a unix socket and TLS."""
    with RedisServer(
        password="open sesame/?#@:", acl_user=("reader", "p4ss"), unix=True, certificates=certificates
    ) as server:
        yield server


def works(configure, location, backend=REDIS, **options):
    cache = configure({"default": {"BACKEND": backend, "LOCATION": location, "OPTIONS": options}})["default"]
    cache.set("where", [location])
    return cache.get("where") == [location]


QUOTED = "open%20sesame%2F%3F%23%40%3A"


def test_password_in_the_url(guarded, configure):
    assert works(configure, f"redis://:{QUOTED}@{guarded.address}/1")


def test_user_and_password_in_the_url(guarded, configure):
    assert works(configure, f"redis://reader:p4ss@{guarded.address}")


def test_user_and_password_in_options(guarded, configure):
    assert works(configure, guarded.url, username="reader", password="p4ss")


def test_password_in_options(guarded, configure):
    assert works(configure, guarded.url, password=guarded.password)


def test_unix_socket(guarded, configure):
    assert works(configure, f"unix://:{QUOTED}@{guarded.unix_path}?db=3")
    with guarded.client(db=3) as client:
        assert client.exists(":1:where")


def test_tls_with_a_private_authority(guarded, certificates, configure):
    assert works(configure, guarded.tls_url, password=guarded.password, ssl_ca_certs=certificates.ca)


def test_tls_refuses_an_unknown_authority(guarded, configure):
    with pytest.raises(Exception, match=r"(?i)certificate"):
        works(configure, guarded.tls_url, password=guarded.password)


def test_tls_without_verification_only_when_asked(guarded, configure):
    # Django passes strings and redis-py reads "none".
    options = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    assert works(configure, guarded.tls_url, password=guarded.password, **options)


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocol_versions(guarded, configure, protocol):
    assert works(configure, guarded.url, password=guarded.password, protocol=protocol)


@pytest.mark.parametrize(
    ("tail", "options", "database"),
    [("", {}, 0), ("/4", {}, 4), ("?db=5", {}, 5), ("", {"db": 6}, 6), ("/0", {"db": 6}, 0)],
)
def test_the_database_number(redis_server, configure, tail, options, database):
    with redis_server.client() as client:
        client.flushall()
    assert works(configure, redis_server.url + tail, **options)
    with redis_server.client(db=database) as client:
        assert client.keys("*") == [b":1:where"]


def test_replicas_answer_the_reads(configure):
    with RedisServer() as primary, RedisServer(replica_of=primary) as replica:
        replica.caught_up()
        location = [primary.url, replica.url]
        cache = configure({"default": {"BACKEND": REDIS, "LOCATION": location}})["default"]
        cache.set("key", "value")
        with replica.client() as client:
            wait_until(lambda: client.exists(":1:key"), "the replica to receive the key")
        # What only the replica has shows who answers.
        with primary.paused():
            assert cache.get("key") == "value"
            assert cache.get_many(["key", "other"]) == {"key": "value"}
            assert cache.has_key("key")
        cache.set("n", 1)
        assert cache.incr("n") == 2
        with primary.client() as client:
            assert client.get(":1:n") == b"2"


def test_memcached_unix_socket(configure):
    with MemcachedServer(unix=True) as server:
        assert works(configure, f"unix:{server.unix_path}", MEMCACHED)
        assert server.fetch(":1:where") is not None
        assert works(configure, server.unix_path, MEMCACHED)


def test_memcached_servers_in_one_string_or_a_list(configure):
    with MemcachedServer() as one, MemcachedServer() as two:
        for location in (
            f"{one.address},{two.address}",
            f"{one.address};{two.address}",
            [one.address, two.address],
            (one.address, two.address),
        ):
            cache = configure({"default": {"BACKEND": MEMCACHED, "LOCATION": location}})["default"]
            cache.clear()
            cache.set_many({str(number): number for number in range(20)})
            assert one.stat("curr_items") > 0
            assert two.stat("curr_items") > 0
            assert one.stat("curr_items") + two.stat("curr_items") == 20
