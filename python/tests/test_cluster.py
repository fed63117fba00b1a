"""Redis Cluster: the methods of a cache on six servers, slots that move, and a primary that dies."""

import asyncio
import contextlib
import threading
import time

import pytest
from backends import BACKENDS
from pinyon.django import get_redis_connection
from pinyon.exceptions import CacheConnectionError, CacheServerError
from redis_cluster import PATIENCE, Cluster
from redis_faces import face
from servers import wait_until

__all__ = ["face"]

pytestmark = pytest.mark.pinyon_only
#: What one operation may take, in seconds.
LIMIT = 2
KEYS = [f"key-{number}" for number in range(80)]


@pytest.fixture(scope="module")
def cluster():
    with contextlib.ExitStack() as stack:
        yield Cluster(stack)


@pytest.fixture
def changing():
    """A cluster that the test may break."""
    with contextlib.ExitStack() as stack:
        yield Cluster(stack)


def settings(cluster, **options):
    limits = {"SOCKET_TIMEOUT": LIMIT, "SOCKET_CONNECT_TIMEOUT": LIMIT}
    return {
        "default": {
            "BACKEND": BACKENDS["redis"],
            "LOCATION": cluster.location,
            "OPTIONS": {"CLUSTER": True, **limits, **options},
        }
    }


@pytest.fixture
def cache(cluster, configure):
    cache = configure(settings(cluster))["default"]
    cache.clear()
    return cache


def sizes(cluster):
    found = []
    for node in cluster.primaries:
        with node.client() as client:
            found.append(client.dbsize())
    return found


def test_keys_are_spread_and_found(cache, cluster, face):
    cache = face(cache)
    assert cache.set_many({key: [key] for key in KEYS}, 60) == []
    assert sum(sizes(cluster)) == len(KEYS)
    assert all(size > 10 for size in sizes(cluster))
    assert cache.get_many([*KEYS, "missing"]) == {key: [key] for key in KEYS}
    assert [cache.get(key) for key in KEYS] == [[key] for key in KEYS]
    assert sorted(cache.keys("*")) == sorted(KEYS)
    assert sorted(cache.iter_keys("key-1*", itersize=3)) == sorted(key for key in KEYS if key.startswith("key-1"))
    assert cache.delete_many(KEYS[:30]) == 30
    assert cache.delete_pattern("*", itersize=7) == 50
    assert sizes(cluster) == [0, 0, 0]
    cache.set_many(dict.fromkeys(KEYS, 1))
    assert cache.clear() is True
    assert sizes(cluster) == [0, 0, 0]


def test_clear_of_a_prefix_is_of_every_server(cluster, configure, face):
    caches = settings(cluster, CLEAR="prefix")
    caches["other"] = {**caches["default"], "KEY_PREFIX": "other"}
    caches = configure(caches)
    mine, other = face(caches["default"]), face(caches["other"])
    for cache in (mine, other):
        cache.set_many(dict.fromkeys(KEYS, 1), 60)
    other.clear()
    assert (len(mine.get_many(KEYS)), other.get_many(KEYS)) == (len(KEYS), {})
    mine.clear()


def test_a_key_has_every_method(cache, face):
    plain, cache = cache, face(cache)
    for key in KEYS[:12]:
        assert cache.add(key, 1, 60)
        assert not cache.add(key, 2)
        assert (cache.incr(key, 4), cache.ttl(key), cache.touch(key, 90), cache.ttl(key)) == (5, 60, True, 90)
        assert (cache.has_key(key), cache.get_or_set(key, 9)) == (True, 5)
        assert cache.incr_version(key) == 2
        assert (cache.get(key, version=2), cache.ttl(key, version=2), cache.get(key)) == (5, 90, None)
        with pytest.raises(ValueError, match="not found"):
            cache.incr_version(key)
        assert cache.decr_version(key, version=2) == 1
        assert cache.set(key, [1], nx=True) is False
        assert cache.set(key, [1], get=True) == 5
        assert (cache.persist(key), cache.persist(key)) == (True, False)
        assert cache.hset(f"h{key}", "f", key) == 1
        assert cache.zadd(f"z{key}", {key: 1.5}) == 1
        assert cache.zrange(f"z{key}", 0, -1) == [key]
        assert cache.rpush(f"l{key}", 1, 2) == 2
        assert cache.sadd(f"s{key}", 1, 2) == 2
        with plain.lock(f"lock-{key}", timeout=5) as lock:
            assert lock.owned()
        assert get_redis_connection().script("return KEYS[1]", [key]) == key.encode()
        assert cache.delete(key)


def test_keys_that_are_used_together_need_a_hash_tag(cache, face):
    cache = face(cache)
    cache.sadd("{tag}a", 1, 2)
    cache.sadd("{tag}b", 2, 3)
    assert cache.sunion("{tag}a", "{tag}b") == {1, 2, 3}
    assert cache.smove("{tag}a", "{tag}b", 1) is True
    with pytest.raises(CacheServerError, match="hash tag"):
        cache.sunion(*KEYS[:20])


def test_commands_of_a_pipeline_go_where_their_keys_are(cache, cluster):
    pipeline = get_redis_connection().pipeline()
    for key in KEYS:
        pipeline.add("SET", key, key)
    assert pipeline.execute() == [b"OK"] * len(KEYS)
    for key in KEYS:
        pipeline.add("GET", key)
    assert asyncio.run(pipeline.aexecute()) == [key.encode() for key in KEYS]
    with pytest.raises(CacheServerError, match="hash tag"):
        get_redis_connection().pipeline(transaction=True).add("INCR", "a").add("INCR", "b").execute()


def test_replicas_are_read_from_if_that_is_wanted(cluster, configure, face):
    cache = configure(settings(cluster, READ_FROM_REPLICAS=True))["default"]
    cache.set_many(dict.fromkeys(KEYS, 1), 60)
    for node in cluster.nodes[3:]:
        node.caught_up()
    for node in cluster.nodes:
        with node.client() as client:
            client.config_resetstat()
    assert len([face(cache).get(key) for key in KEYS]) == len(KEYS)
    asked = []
    for node in cluster.nodes:
        with node.client() as client:
            asked.append(client.info("commandstats").get("cmdstat_get", {}).get("calls", 0))
    assert asked[:3] == [0, 0, 0]
    assert sum(asked[3:]) >= len(KEYS)


def test_what_makes_no_sense_is_said(cluster, configure):
    for options, message in [
        ({"SENTINELS": [("h", 1)]}, "SENTINELS"),
        ({"CLIENT_CLASS": "django_redis.client.ShardClient"}, "CLIENT_CLASS"),
    ]:
        with pytest.raises(Exception, match=message):
            configure(settings(cluster, **options))["default"].get("a")


class Load:
    """Threads and tasks that count up their own keys, and look at what they read."""

    def __init__(self, cache, keys, threads=3, tasks=6):
        self.cache, self.keys = cache, keys
        self.stopped = threading.Event()
        self.wrong, self.errors, self.slow = [], [], []
        self.rounds = [0] * (threads + tasks)
        self.threads = [threading.Thread(target=self.in_thread, args=(number,)) for number in range(threads)]
        self.threads.append(threading.Thread(target=lambda: asyncio.run(self.in_loop(threads, tasks))))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def own(self, writer):
        return [f"{key}-{writer}" for key in self.keys]

    def in_thread(self, writer):
        while not self.stopped.is_set():
            number = self.rounds[writer]
            for operation in self.round(writer, number):
                start = time.monotonic()
                try:
                    operation(False)
                except CacheConnectionError as error:
                    self.errors.append(error)
                self.took(start)
            self.rounds[writer] += 1

    async def in_loop(self, first, tasks):
        await asyncio.gather(*(self.in_task(first + number) for number in range(tasks)))

    async def in_task(self, writer):
        while not self.stopped.is_set():
            number = self.rounds[writer]
            for operation in self.round(writer, number):
                start = time.monotonic()
                try:
                    await operation(True)
                except CacheConnectionError as error:
                    self.errors.append(error)
                self.took(start)
            self.rounds[writer] += 1
            await asyncio.sleep(0)

    def round(self, writer, number):
        """Writes and reads; a value tells whose it is, and of which round it is at most."""
        for key in self.own(writer):
            yield lambda on_loop, key=key: self.write(on_loop, key, number)
            yield lambda on_loop, key=key: self.read(on_loop, key, number)
        yield lambda on_loop: self.read_all(on_loop, writer, number)

    def write(self, on_loop, key, number):
        return self.cache.aset(key, [key, number], 300) if on_loop else self.cache.set(key, [key, number], 300)

    def read(self, on_loop, key, number):
        if on_loop:
            return self.look_later(self.cache.aget(key), lambda value: self.look({key: value}, number))
        return self.look({key: self.cache.get(key)}, number)

    def read_all(self, on_loop, writer, number):
        if on_loop:
            return self.look_later(self.cache.aget_many(self.own(writer)), lambda found: self.look(found, number))
        return self.look(self.cache.get_many(self.own(writer)), number)

    async def look_later(self, awaited, look):
        look(await awaited)

    def look(self, found, number):
        for key, value in found.items():
            if value is not None and (value[0] != key or value[1] > number):
                self.wrong.append((key, value, number))

    def took(self, start):
        elapsed = time.monotonic() - start
        # Connecting and the operation; twice, for a machine that has more to do.
        if elapsed > 4 * LIMIT:
            self.slow.append(elapsed)

    def goes_on(self, rounds=3):
        """Wait until everybody has done some more rounds."""
        before = list(self.rounds)

        def advanced():
            return all(now >= then + rounds for now, then in zip(self.rounds, before, strict=True))

        wait_until(advanced, "operations that succeed", PATIENCE)


def test_slots_that_move_under_load_cost_no_error_and_no_wrong_value(changing, configure):
    cache = configure(settings(changing))["default"]
    slots = [changing.slot(f":1:{{{tag}}}") for tag in range(3)]
    with Load(cache, [f"{{{tag}}}" for tag in range(3)]) as load:
        load.goes_on()
        for slot in slots:
            source = changing.owner(slot)
            target = changing.primaries[(source + 1) % 3]
            changing.move_slot(slot, changing.primaries[source], target)
            load.goes_on()
            changing.move_slot(slot, target, changing.primaries[source])
            load.goes_on()
    assert (load.wrong, load.errors, load.slow) == ([], [], [])


def test_a_replica_takes_over_under_load(changing, configure):
    cache = configure(settings(changing))["default"]
    keys = [f"key-{number}" for number in range(9)]
    with Load(cache, keys) as load:
        load.goes_on()
        victim = changing.primaries[0]
        survivor = changing.nodes[1]
        victim.stop()
        wait_until(
            lambda: all(servers[0] != victim.port for servers in changing.slots(survivor).values()),
            "an election",
            PATIENCE,
        )

        def writes_succeed():
            before = len(load.errors)
            load.goes_on()
            return len(load.errors) == before

        wait_until(writes_succeed, "operations without errors", PATIENCE)
    assert (load.wrong, load.slow) == ([], [])
    assert cache.set_many(dict.fromkeys(KEYS, 2)) == []
    assert cache.get_many(KEYS) == dict.fromkeys(KEYS, 2)
    assert all(isinstance(error, CacheConnectionError) for error in load.errors)
