"""Hundreds of tasks, cancelled and timed out at random, on servers that stop, die and come back.

What arrives must be the right key's: every value carries its key. What does not arrive must fail as a cache error, in time.
"""

import asyncio
import gc
import os
import random
import threading

import pytest
from backends import error
from loops import RUN, SERVERS, deserted, entry, healthy, location, resident_bytes, run, settled
from servers import PATIENCE

TASKS = 300
KEYS = 200
#: How far apart the counters begin, so that a number tells whose it is.
APART = 10**9
KINDS = pytest.mark.parametrize("kind", list(RUN))
pytestmark = [pytest.mark.pinyon_only, pytest.mark.slow, pytest.mark.parametrize("name", list(SERVERS))]


class Storm:
    """Tasks that call everything at random until they are told to stop.

    `cancelled` is the share of calls that is cancelled at a random moment, `hurried` the share with a tiny time limit.
    """

    def __init__(self, cache, *, cancelled=0.0, hurried=0.0, size=4000):
        self.cache = cache
        self.cancelled = cancelled
        self.hurried = hurried
        self.chance = random.Random(1815)
        self.padding = os.urandom(size)
        self.calm = asyncio.Event()
        self.answered = self.broken_off = self.failed = 0
        #: What the counter `total` must be between, if no server lost it.
        self.counted = self.tried = 0

    async def blow(self, seconds, trouble=None):
        """So many seconds of it, with `trouble()` meanwhile; then all tasks come to their end by themselves."""
        self.calm.clear()
        tasks = [asyncio.create_task(self.work()) for _ in range(TASKS)]
        ending = asyncio.gather(*tasks)
        try:
            if trouble is not None:
                await trouble()
            # A task that meets what must not be ends the storm at once.
            await asyncio.wait([ending], timeout=seconds)
        finally:
            self.calm.set()
        await ending

    async def work(self):
        while not self.calm.is_set():
            call = self.chance.choice(self.CALLS)(self)
            dice = self.chance.random()
            try:
                if dice < self.cancelled:
                    await self.cancel(call)
                elif dice < self.cancelled + self.hurried:
                    await self.hurry(call)
                else:
                    await call
                self.answered += 1
            except error("CacheError"):
                self.failed += 1
                # A server that refuses does so within microseconds.
                await asyncio.sleep(0.005)

    async def cancel(self, call):
        task = asyncio.create_task(call)
        if self.chance.random() < 0.5:
            for _ in range(self.chance.randrange(4)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.chance.random() * 0.02)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            self.broken_off += 1

    async def hurry(self, call):
        try:
            await asyncio.wait_for(call, self.chance.random() * 0.005)
        except error("CacheError"):
            raise
        except asyncio.TimeoutError:
            self.broken_off += 1

    # What it calls. Each checks that the answer is an answer to its question.

    def key(self):
        return f"k{self.chance.randrange(KEYS)}"

    def keys(self):
        return [self.key() for _ in range(10)]

    def value(self, key):
        return {"key": key, "padding": self.padding[: self.chance.choice((10, 100, len(self.padding)))]}

    def check(self, key, value):
        assert value is None or (value["key"] == key and self.padding.startswith(value["padding"])), (key, value)

    async def get(self):
        key = self.key()
        self.check(key, await self.cache.aget(key))

    async def set(self):
        key = self.key()
        assert await self.cache.aset(key, self.value(key)) in (None, True)

    async def add(self):
        key = self.key()
        assert type(await self.cache.aadd(key, self.value(key))) is bool

    async def touch(self):
        assert type(await self.cache.atouch(self.key(), 60)) is bool

    async def delete(self):
        assert type(await self.cache.adelete(self.key())) is bool

    async def has_key(self):
        assert type(await self.cache.ahas_key(self.key())) is bool

    async def get_many(self):
        keys = self.keys()
        found = await self.cache.aget_many(keys)
        assert found.keys() <= set(keys)
        for key, value in found.items():
            self.check(key, value)

    async def set_many(self):
        keys = self.keys()
        assert set(await self.cache.aset_many({key: self.value(key) for key in keys})) <= set(keys)

    async def delete_many(self):
        assert await self.cache.adelete_many([self.key() for _ in range(3)]) in (None, 0, 1, 2, 3)

    async def get_or_set(self):
        key = self.key()
        self.check(key, await self.cache.aget_or_set(key, lambda: self.value(key)))

    async def incr(self):
        number = self.chance.randrange(1, 20)
        try:
            found = await self.cache.aincr(f"counter-{number}")
        except ValueError:
            await self.cache.aadd(f"counter-{number}", number * APART)
        else:
            assert found // APART == number

    async def count(self):
        self.tried += 1
        try:
            await self.cache.aincr("total")
        except ValueError:
            # Gone with a server that was killed.
            return
        self.counted += 1

    CALLS = (get, get, get, get, set, set, add, touch, delete, has_key)
    CALLS += (get_many, get_many, set_many, delete_many, get_or_set, incr, count)


@pytest.fixture
def server(name):
    with SERVERS[name]() as started:
        yield started


@pytest.fixture
def make(name, server, configure):
    """`make(limit)`: a cache whose operations may take so many seconds."""
    return lambda limit: configure({"default": entry(name, location(name, server), limit)})["default"]


async def all_is_well(cache):
    """The cache works, and so does each of its calls at once."""
    await healthy(cache)
    assert await cache.aset_many({f"well-{number}": [number] for number in range(100)}) == []
    found = await asyncio.gather(*(cache.aget(f"well-{number}") for number in range(100)))
    assert found == [[number] for number in range(100)]


class Census:
    """Counts the connections of a server all the time, from another thread; `most` is the highest count."""

    def __init__(self, server):
        self.server = server
        self.most = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.done.wait(0.05):
            self.most = max(self.most, self.server.connections())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


@KINDS
def test_calls_that_are_broken_off_disturb_no_other(kind, server, make):
    cache = make(PATIENCE * 4)

    async def meet():
        await cache.aset("total", 0, None)
        storm = Storm(cache, cancelled=0.1, hurried=0.1)
        with Census(server) as census:
            await storm.blow(5)
        assert storm.broken_off > 100
        assert storm.answered > storm.broken_off
        assert storm.failed == 0
        # None is counted twice, and none that was answered is lost.
        assert storm.counted <= await cache.aget("total") <= storm.tried
        await all_is_well(cache)
        # One, and one that takes its place.
        assert census.most <= 2
        assert await asyncio.to_thread(settled, server) == 1

    run(kind, meet, patience=PATIENCE * 4)
    deserted(server)


@KINDS
def test_a_server_that_stops_for_a_moment(kind, server, make):
    cache = make(0.15)

    async def pauses():
        for seconds in (0.01, 0.05, 0.3, 0.1, 0.5, 0.02):
            await asyncio.sleep(0.4)
            with server.paused():
                await asyncio.sleep(seconds)

    async def meet():
        await cache.aset("total", 0, None)
        storm = Storm(cache, cancelled=0.03, hurried=0.03)
        await storm.blow(0.5, pauses)
        assert storm.failed
        await all_is_well(cache)
        assert storm.counted <= await cache.aget("total") <= storm.tried
        assert await asyncio.to_thread(settled, server) == 1

    run(kind, meet, patience=PATIENCE * 4)
    deserted(server)


@KINDS
def test_a_server_that_is_killed_and_comes_back_five_times(kind, server, make):
    cache = make(1)

    async def kills():
        for number in range(5):
            await asyncio.sleep(0.6)
            if number % 2:
                # Requests are under way for certain.
                server.pause()
                await asyncio.sleep(0.05)
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(0.1 * number)
            await asyncio.to_thread(server.start)

    async def meet():
        storm = Storm(cache, cancelled=0.05, hurried=0.05)
        await storm.blow(0.6, kills)
        assert storm.failed
        await all_is_well(cache)
        before = storm.answered
        await storm.blow(0.3)
        assert storm.answered > before
        assert await asyncio.to_thread(settled, server) == 1

    run(kind, meet, patience=PATIENCE * 4)
    deserted(server)


def test_memory_does_not_grow(server, make):
    cache = make(0.3)
    sizes = []

    async def pause():
        await asyncio.sleep(0.5)
        with server.paused():
            await asyncio.sleep(0.4)

    async def meet():
        storm = Storm(cache, cancelled=0.2, hurried=0.1, size=64 * 1024)
        for _ in range(7):
            await storm.blow(0.8, pause)
            await healthy(cache)
            gc.collect()
            sizes.append(resident_bytes())
        # What a round breaks off would be a hundred MiB if it stayed.
        assert storm.broken_off > 7 * 300

    run("asyncio", meet, patience=PATIENCE * 4)
    # The first rounds may still fill what is filled once.
    assert max(sizes[4:]) - max(sizes[:3]) < 48 * 2**20, sizes


def test_tasks_that_are_cancelled_all_at_once_leave_a_connection_that_works(server, make):
    cache = make(PATIENCE * 4)

    async def meet():
        await all_is_well(cache)
        for turn in range(20):
            under_way = [asyncio.create_task(cache.aget(f"well-{number % 100}")) for number in range(TASKS)]
            under_way += [asyncio.create_task(cache.aset(f"own-{number}", turn)) for number in range(50)]
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            for task in under_way:
                task.cancel()
            found = await asyncio.gather(*under_way, return_exceptions=True)
            for number, result in enumerate(found[:TASKS]):
                assert result == [number % 100] or isinstance(result, asyncio.CancelledError)
            await all_is_well(cache)

    run("asyncio", meet, patience=PATIENCE * 2)
    deserted(server)


def test_a_loop_that_ends_while_calls_are_under_way(server, make):
    cache = make(PATIENCE * 4)

    async def leave():
        for number in range(TASKS):
            # asyncio.run cancels them when this coroutine ends.
            leave.tasks.append(asyncio.create_task(cache.aget(f"well-{number}")))
        await asyncio.sleep(0)

    for _ in range(20):
        leave.tasks = []
        run("asyncio", leave)
        assert all(task.done() for task in leave.tasks)
    run("asyncio", all_is_well, cache)
    deserted(server)
