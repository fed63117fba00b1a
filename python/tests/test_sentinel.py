"""Redis Sentinel: django-redis's settings for it, and real failovers."""

import asyncio
import contextlib
import threading
import time

import pytest
from backends import BACKENDS, OTHERS, error
from django.core.exceptions import ImproperlyConfigured
from pinyon.django import accelerate, checks
from servers import HOST, RedisServer, SentinelServer, free_port, wait_until

pytestmark = pytest.mark.pinyon_only

#: Longer than a failover takes on any machine, in seconds.
PATIENCE = 40
#: What one operation may take.
LIMIT = 1
CLIENT = {"CLIENT_CLASS": "django_redis.client.SentinelClient"}
FACTORY = "django_redis.pool.SentinelConnectionFactory"
AT_ONCE = ("--repl-diskless-sync-delay", 0)


class Watched:
    """A primary, replicas, and Sentinels that have found each other."""

    def __init__(self, stack, replicas, sentinels):
        primary = stack.enter_context(RedisServer(*AT_ONCE))
        self.servers = [primary]
        for _ in range(replicas):
            replica = stack.enter_context(RedisServer(*AT_ONCE, replica_of=primary))
            replica.caught_up()
            self.servers.append(replica)
        quorum = sentinels // 2 + 1
        self.sentinels = [stack.enter_context(SentinelServer(primary, quorum)) for _ in range(sentinels)]
        for sentinel in self.sentinels:
            sentinel.hurry()
        self.complete()

    def complete(self):
        """Wait until all is well."""
        others, replicas = len(self.sentinels) - 1, len(self.servers) - 1
        for sentinel in self.sentinels:
            wait_until(lambda sentinel=sentinel: sentinel.knows(others, replicas), "Sentinels that know all", PATIENCE)

    @property
    def addresses(self):
        return [(HOST, sentinel.port) for sentinel in self.sentinels]

    def successor(self):
        """Wait until another server than the first one is the primary."""
        first = self.servers[0].port
        wait_until(lambda: self.sentinels[0].primary_port() != first, "a failover", PATIENCE)
        port = self.sentinels[0].primary_port()
        return next(server for server in self.servers if server.port == port)


@pytest.fixture
def watch():
    with contextlib.ExitStack() as stack:
        yield lambda replicas, sentinels: Watched(stack, replicas, sentinels)


def entry(sentinels, location="redis://mymaster/0", **options):
    limits = {"socket_timeout": LIMIT, "socket_connect_timeout": LIMIT}
    return {
        "BACKEND": BACKENDS["redis"],
        "LOCATION": location,
        "OPTIONS": {"SENTINELS": sentinels, **limits, **options},
    }


def calls(server, command):
    with server.client() as client:
        return client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


class Load:
    """Threads, and tasks on an event loop, that write and read: the value of a key follows from its name."""

    def __init__(self, cache):
        self.cache = cache
        self.stopped = threading.Event()
        self.wrong = []
        self.count = {"sync": 0, "async": 0}
        self.workers = [threading.Thread(target=self.thread, args=(number,)) for number in range(4)]
        self.workers.append(threading.Thread(target=lambda: asyncio.run(self.tasks())))

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        self.goes_on("at the beginning")
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for worker in self.workers:
            worker.join(PATIENCE)
        assert not any(worker.is_alive() for worker in self.workers)
        assert self.wrong == []

    def goes_on(self, when):
        """Wait until threads and tasks both have written and read what they wrote."""
        self.count.update({"sync": 0, "async": 0})
        wait_until(lambda: self.wrong or min(self.count.values()) > 100, f"writes and reads {when}", PATIENCE)
        assert self.wrong == []

    @contextlib.contextmanager
    def step(self, face):
        start = time.monotonic()
        try:
            yield
            self.count[face] += 1
        except (error("CacheConnectionError"), error("CacheServerError")) as failure:
            # In a failover nothing else may happen than that nobody can be asked.
            if not isinstance(failure, error("CacheConnectionError")) and "READONLY" not in str(failure):
                self.wrong.append(failure)
        except BaseException as failure:
            self.wrong.append(failure)
        if time.monotonic() - start > LIMIT * 20:
            self.wrong.append("an operation hangs")

    def check(self, key, value):
        if value not in (None, {"value of": key}):
            self.wrong.append((key, value))

    def thread(self, number):
        step = 0
        while not self.stopped.wait(0.002):
            key = f"thread:{number}:{(step := step + 1) % 50}"
            with self.step("sync"):
                self.cache.set(key, {"value of": key})
                self.check(key, self.cache.get(key))

    async def tasks(self):
        async def task(number):
            step = 0
            while not self.stopped.is_set():
                key = f"task:{number}:{(step := step + 1) % 50}"
                with self.step("async"):
                    await self.cache.aset(key, {"value of": key})
                    self.check(key, await self.cache.aget(key))
                await asyncio.sleep(0.002)

        await asyncio.gather(*map(task, range(4)))


def test_threads_and_tasks_find_the_successor_of_a_primary_that_dies(watch, configure):
    watched = watch(2, 3)
    cache = configure({"default": entry(watched.addresses, **CLIENT)})["default"]
    with Load(cache) as load:
        old = watched.servers[0]
        old.stop()
        successor = watched.successor()
        load.goes_on("at the new primary")
        assert calls(successor, "set") > 0
        old.replica_of = successor
        old.start()
        watched.complete()
        load.goes_on("with the old primary as a replica")
        with old.client() as client:
            # A Sentinel that has not heard of the failover may have made it a primary for a moment. It mends that late where
            # its clock has jumped, as on a busy machine: it acts on nothing for 30 s then (its TILT mode). And there the successor
            # may have been silent for too long as well, so that this one is the primary once more.
            def is_replica():
                return client.info("replication")["role"] == "slave"

            def is_primary_again():
                return all(sentinel.primary_port() == old.port for sentinel in watched.sentinels)

            wait_until(lambda: is_replica() or is_primary_again(), "the old primary to be a replica", PATIENCE * 2)
            # Nobody has tried to write to it.
            assert is_primary_again() or "errorstat_READONLY" not in client.info("errorstats")
        load.goes_on("at the end")


def test_ignored_errors_are_misses_until_there_is_a_successor(watch, configure):
    watched = watch(1, 1)
    cache = configure({"default": entry(watched.addresses, IGNORE_EXCEPTIONS=True)})["default"]
    cache.set("key", 1)
    assert cache.get("key") == 1
    watched.servers[1].caught_up()
    with watched.servers[0].paused():
        assert cache.get("key", "default") == "default"

        def answered():
            asyncio.run(cache.aset("other", 2))
            return cache.get("other") == 2

        wait_until(answered, "writes at the new primary", PATIENCE)
    assert cache.get("key") == 1
    assert cache.stats()["errors"] > 0
    assert watched.successor() is watched.servers[1]


def test_reads_go_to_replicas_with_the_sentinel_client_and_to_the_primary_without(watch, configure):
    watched = watch(1, 1)
    replica = watched.servers[1]
    both = ["redis://mymaster/0?is_master=1", "redis://mymaster/0?is_master=0"]
    caches = configure(
        {
            "default": entry(watched.addresses),
            "client": entry(watched.addresses, **CLIENT),
            "two": entry(watched.addresses, both),
        }
    )
    caches["default"].set("key", "value")
    assert caches["default"].get("key") == "value"
    assert calls(replica, "get") == 0
    replica.caught_up()
    for alias in ("client", "two"):
        before = calls(replica, "get")
        assert caches[alias].get("key") == "value"
        assert asyncio.run(caches[alias].aget("key")) == "value"
        assert calls(replica, "get") == before + 2


def test_django_redis_and_pinyon_share_a_cache_behind_sentinels(watch, configure):
    watched = watch(1, 1)
    site = {"default": {"BACKEND": OTHERS["django_redis"], "LOCATION": "redis://mymaster/1", "OPTIONS": {**CLIENT}}}
    site["default"]["OPTIONS"]["SENTINELS"] = watched.addresses
    factory = {"DJANGO_REDIS_CONNECTION_FACTORY": FACTORY}
    theirs = configure(site, **factory)["default"]
    theirs.set("theirs", [1])
    watched.servers[1].caught_up()
    ours = configure(accelerate(site), **factory)["default"]
    assert checks.check_settings() == []
    assert ours.get("theirs") == [1]
    ours.set("ours", {2})
    watched.servers[1].caught_up()
    assert theirs.get("ours") == {2}
    theirs.close()


def test_sentinels_have_a_login_and_tls_of_their_own(configure, certificates):
    with (
        RedisServer(password="of-servers") as primary,
        SentinelServer(primary, password="of-sentinels", certificates=certificates) as sentinel,
    ):
        kwargs = {"password": "of-sentinels", "ssl": True, "ssl_ca_certs": certificates.ca}

        def cache(location="redis://:of-servers@mymaster/0", **kwargs):
            sentinels = [("localhost", sentinel.tls_port)]
            return configure({"default": entry(sentinels, location, SENTINEL_KWARGS=kwargs)})["default"]

        cache(**kwargs).set("key", 1)
        assert asyncio.run(cache(**kwargs).aget("key")) == 1
        with pytest.raises(error("CacheAuthError"), match="mymaster") as raised:
            cache(**{**kwargs, "password": "wrong"}).get("key")
        assert "SENTINEL_KWARGS" in raised.value.hint
        assert "of-" not in str(raised.value)
        with pytest.raises(error("CacheAuthError"), match=str(primary.port)):
            cache("redis://mymaster/0", **kwargs).get("key")


def test_servers_have_tls_of_their_own(configure, certificates):
    with (
        RedisServer(certificates=certificates) as primary,
        # It cannot talk to that port itself, and tells it all the same.
        SentinelServer(primary, quorum=5, port=primary.tls_port) as sentinel,
    ):
        trust = {"ssl_ca_certs": certificates.ca}
        sentinels = [f"{HOST}:{sentinel.port}"]
        for location, options in [
            ("rediss://mymaster/0", trust),
            ("redis://mymaster/0", {"CONNECTION_POOL_KWARGS": {"ssl": True, **trust}}),
        ]:
            cache = configure({"default": entry(sentinels, location, **options)})["default"]
            cache.set("key", location)
            assert cache.get("key") == location


def test_a_dead_sentinel_is_passed_over_and_none_at_all_is_an_error_that_names_them(configure):
    dead = [(HOST, free_port()), (HOST, free_port())]
    with RedisServer() as primary, SentinelServer(primary) as sentinel:
        cache = configure({"default": entry([*dead, (HOST, sentinel.port)])})["default"]
        cache.set("key", 1)
        assert asyncio.run(cache.aget("key")) == 1
    cache = configure({"default": entry(dead)})["default"]
    for call in (cache.get, lambda key: asyncio.run(cache.aget(key))):
        with pytest.raises(error("CacheConnectionError"), match="no Sentinel tells the primary") as raised:
            call("key")
        assert "'mymaster'" in str(raised.value)
        assert all(str(port) in str(raised.value) for _, port in dead)
        assert "SENTINELS" in raised.value.hint


def test_an_unknown_service_is_named(configure):
    with RedisServer() as primary, SentinelServer(primary) as sentinel:
        cache = configure({"default": entry([(HOST, sentinel.port)], "redis://other/0")})["default"]
        with pytest.raises(error("CacheConnectionError"), match="'other'") as raised:
            cache.get("key")
        assert "sentinel monitor" in raised.value.hint


def test_a_check_lists_servers_and_sentinels(configure):
    with RedisServer() as primary, SentinelServer(primary) as sentinel:
        cache = configure({"default": entry([(HOST, sentinel.port)])})["default"]
        servers = {server["server"]: server["ok"] for server in cache._check()}
        assert servers == {
            f"redis://{HOST}:{primary.port}/0": True,
            f"redis+sentinel://{HOST}:{sentinel.port}/mymaster": True,
        }


@pytest.mark.parametrize("path", [None, "django_redis.pool.ConnectionFactory"])
def test_the_setting_for_all_caches_needs_sentinels_unless_a_cache_says_otherwise(configure, path):
    options = {"OPTIONS": {"CONNECTION_FACTORY": path}} if path else {}
    setting = {"default": {"BACKEND": BACKENDS["redis"], "LOCATION": "redis://h", **options}}
    caches = configure(setting, DJANGO_REDIS_CONNECTION_FACTORY=FACTORY)
    if path:
        assert caches["default"] is not None
        assert checks.check_settings() == []
        return
    with pytest.raises(ImproperlyConfigured, match="needs the option SENTINELS"):
        caches["default"].get("key")
    (found,) = checks.check_settings()
    assert found.id == "pinyon.E001"
    assert "django_redis.pool.ConnectionFactory" in found.hint


def test_two_caches_of_one_service_collide_and_those_of_two_do_not(configure):
    one, same, other = [("a", 1), ("b", 2)], ["b:2"], ["c:3"]
    configure({"default": entry(one), "same": entry(same), "other": entry(other)})
    (found,) = checks.check_collisions()
    assert found.id == "pinyon.W003"
    assert "'default' and 'same'" in found.msg
    configure({"default": entry(one), "service": entry(one, "redis://s"), "db": entry(one, "redis://mymaster/1")})
    assert checks.check_collisions() == []
