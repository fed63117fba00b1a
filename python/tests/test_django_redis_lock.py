"""The lock: one holder at a time, of Pinyon's and django-redis's alike."""

import asyncio
import inspect
import threading

import backends
import pytest
from pinyon.django import get_redis_connection
from pinyon.django.redis_methods.lock import AsyncRedisLock
from pinyon.exceptions import LockError, LockNotOwnedError
from redis_faces import face
from servers import wait_until

__all__ = ["face"]
pytestmark = pytest.mark.pinyon_only


@pytest.fixture
def caches(params, configure):
    ours = params("redis", KEY_PREFIX="p")
    return configure({"default": ours, "theirs": {**ours, "BACKEND": backends.OTHERS["django_redis"]}})


class Awaited:
    """An async lock, its methods run to their end."""

    def __init__(self, lock, loop):
        self.lock, self.loop = lock, loop

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.loop.run_until_complete(getattr(self.lock, name)(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def lock(request, caches):
    """`lock(key, ...)`: a lock of the one kind or the other."""
    if request.param == "sync":
        yield caches["default"].lock
        return
    loop = asyncio.new_event_loop()
    yield lambda *args, **kwargs: Awaited(caches["default"].alock(*args, **kwargs), loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def lease():
    """Milliseconds that the lock `l` has left."""
    return get_redis_connection().execute("PTTL", "p:1:l")


def test_one_holds_and_the_others_do_not(lock):
    first, second = lock("l"), lock("l", blocking=False)
    assert (first.locked(), first.owned()) == (False, False)
    assert first.acquire() is True
    assert (first.locked(), first.owned(), second.locked(), second.owned()) == (True, True, True, False)
    assert second.acquire() is False
    assert second.acquire(blocking=True, blocking_timeout=0.05, sleep=0.01) is False
    assert lock("other").acquire() is True
    first.release()
    assert second.acquire() is True
    assert (first.owned(), second.owned(), lease()) == (False, True, -1)


def test_only_the_owner_releases(lock):
    first = lock("l")
    first.acquire()
    with pytest.raises(LockError, match="was not acquired"):
        lock("l").release()
    assert first.owned()
    first.release()
    with pytest.raises(LockError, match="released already"):
        first.release()


def test_a_lock_whose_time_was_over_is_not_released_for_its_next_holder(lock):
    first, second = lock("l", timeout=60), lock("l")
    first.acquire()
    # Its time passes.
    get_redis_connection().execute("DEL", "p:1:l")
    second.acquire()
    for method in (first.reacquire, lambda: first.extend(1), first.release):
        with pytest.raises(LockNotOwnedError, match="time was over"):
            method()
    assert second.owned()


def test_the_lease_is_renewed(lock):
    held = lock("l", timeout=100)
    held.acquire()
    assert 90_000 < lease() <= 100_000
    assert held.extend(50) is True
    assert 140_000 < lease() <= 150_000
    assert held.extend(30, replace_ttl=True) is True
    assert 20_000 < lease() <= 30_000
    assert held.reacquire() is True
    assert 90_000 < lease() <= 100_000
    endless = lock("m")
    endless.acquire()
    with pytest.raises(LockError, match="without a timeout"):
        endless.extend(1)
    with pytest.raises(LockError, match="without a timeout"):
        endless.reacquire()


def test_a_lock_ends_with_its_lease(lock):
    lock("l", timeout=0.05).acquire()
    waiting = lock("l", sleep=0.01)
    assert waiting.acquire() is True
    assert waiting.owned()


def test_a_token_of_ones_own(lock):
    held = lock("l")
    held.acquire(token="mine")
    assert get_redis_connection().execute("GET", "p:1:l") == b"mine"
    held.release()


def test_django_redis_and_pinyon_exclude_each_other(caches, lock):
    ours, theirs = lock("l", timeout=60), caches["theirs"].lock("l", timeout=60)
    assert theirs.acquire() is True
    assert (ours.acquire(blocking=False), ours.locked(), ours.owned()) == (False, True, False)
    theirs.release()
    assert ours.acquire() is True
    assert (theirs.acquire(blocking=False), theirs.locked(), theirs.owned()) == (False, True, False)
    ours.release()
    # Each goes on with what the other began, if it has its token.
    theirs.acquire(token="shared")
    mine = lock("l", timeout=60)
    (mine.lock if isinstance(mine, Awaited) else mine).local.token = b"shared"
    assert mine.owned() is True
    assert mine.extend(60) is True
    assert 110_000 < lease() <= 120_000
    mine.release()
    assert theirs.locked() is False


def test_whoever_waits_gets_it_when_it_is_released_even_by_the_other_library(caches, redis_server):
    theirs = caches["theirs"].lock("l")
    theirs.acquire()
    taken = []

    def wait():
        with caches["default"].lock("l", sleep=0.01):
            taken.append("ours")

    def tries():
        with redis_server.client() as client:
            return client.info("commandstats")["cmdstat_set"]["calls"]

    before = tries()
    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: tries() > before + 1, "the second try")
    assert taken == []
    theirs.release()
    waiting.join()
    assert taken == ["ours"]


def test_nothing_is_done_by_two_threads_at_a_time(caches):
    cache = caches["default"]
    cache.set("n", 0)
    failures = []

    def work():
        try:
            for _ in range(20):
                with cache.lock("l", sleep=0.001):
                    cache.set("n", cache.get("n") + 1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, cache.get("n")) == ([], 80)


def test_nothing_is_done_by_two_tasks_at_a_time(caches):
    cache = caches["default"]

    async def work():
        for _ in range(20):
            async with cache.alock("l", sleep=0.001):
                await cache.aset("n", await cache.aget("n") + 1)

    async def all_of_it():
        await cache.aset("n", 0)
        await asyncio.gather(*(work() for _ in range(4)))
        return await cache.aget("n")

    assert asyncio.run(all_of_it()) == 80


def test_a_block_is_not_entered_without_the_lock(caches):
    cache = caches["default"]
    with cache.lock("l") as held:
        assert held.owned()
        with pytest.raises(LockError, match="could not be acquired"), cache.lock("l", blocking_timeout=0):
            pytest.fail("entered")
    assert not cache.lock("l").locked()


def test_another_thread_owns_nothing_unless_it_may(caches):
    for thread_local in (True, False):
        held = caches["default"].lock("l", thread_local=thread_local)
        held.acquire()
        owned = []
        thread = threading.Thread(target=lambda held=held, owned=owned: owned.append(held.owned()))
        thread.start()
        thread.join()
        assert owned == [not thread_local]
        held.release()


def test_a_task_that_is_cancelled_while_it_acquires_leaves_no_lock_behind(caches):
    cache = caches["default"]

    async def cancel_at_every_moment():
        for turns in range(6):
            task = asyncio.create_task(cache.alock("l").acquire())
            for _ in range(turns):
                await asyncio.sleep(0)
            if not task.cancel():
                await cache.adelete("l")
                continue
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await cache.alock("l").locked() is False

    asyncio.run(cancel_at_every_moment())


def test_the_async_lock_has_the_methods_of_the_other():
    for name in ("acquire", "release", "extend", "reacquire", "locked", "owned"):
        assert inspect.iscoroutinefunction(getattr(AsyncRedisLock, name))
