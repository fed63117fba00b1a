"""`get_or_set` and `aget_or_set` make a value once, however many threads, tasks and event loops ask for it."""

import asyncio
import gc
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import backends
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from together import LIMIT, Thread, auntil, run, until, waiting

pytestmark = pytest.mark.pinyon_only
if backends.FACE == "pinyon":
    from pinyon.django import single_flight

_stores = itertools.count()


@pytest.fixture(autouse=True)
def nobody_is_left():
    yield
    assert single_flight._flights == {}


def memory(**changes):
    return {"BACKEND": backends.PINYON["memory"], "LOCATION": f"flights-{next(_stores)}", **changes}


@pytest.fixture
def cache(configure):
    return configure({"default": memory()})["default"]


def make_once_between_threads(cache, count=12):
    runs = []

    def make():
        runs.append(1)
        until(lambda: waiting() == count - 1)
        return ["made"]

    threads = [Thread(lambda: cache.get_or_set("key", make)) for _ in range(count)]
    values = [thread.result() for thread in threads]
    assert values == [["made"]] * count
    assert len({id(value) for value in values}) == count, "everybody has a copy of their own"
    assert len(runs) == 1


async def make_once_between_tasks(cache, count=30):
    runs = []

    async def make():
        runs.append(1)
        await auntil(lambda: waiting() == count - 1)
        return ["made"]

    values = await asyncio.gather(*(cache.aget_or_set("key", make) for _ in range(count)))
    assert values == [["made"]] * count
    assert len({id(value) for value in values}) == count
    assert len(runs) == 1


def test_threads_make_a_value_once(cache):
    make_once_between_threads(cache)


def test_tasks_make_a_value_once(cache):
    run(make_once_between_tasks(cache))


def test_redis_too(params, configure):
    caches = configure({"default": params("redis"), "other": params("redis", KEY_PREFIX="other")})
    make_once_between_threads(caches["default"])
    run(make_once_between_tasks(caches["other"]))


def test_tasks_of_several_event_loops_make_a_value_once(cache):
    runs = []

    async def make():
        runs.append(1)
        await auntil(lambda: waiting() == 19)
        return "made"

    async def ask():
        return await asyncio.gather(*(cache.aget_or_set("key", make) for _ in range(5)))

    threads = [Thread(lambda: run(ask())) for _ in range(4)]
    assert [thread.result() for thread in threads] == [["made"] * 5] * 4
    assert len(runs) == 1


def test_a_callable_that_makes_the_value_at_once_needs_no_coroutine(cache):
    assert run(cache.aget_or_set("key", lambda: {"made": 1})) == {"made": 1}
    assert run(cache.aget_or_set("none", lambda: None)) is None
    assert run(cache.aget_or_set("none", lambda: "again")) is None


def test_a_look_before_the_landing_is_repeated():
    since = single_flight.landings
    with single_flight.Turn("key", since) as made:
        assert not made
    with single_flight.Turn("key", since) as made:
        assert made
    with single_flight.Turn("other", since) as made:
        assert not made
    with single_flight.Turn("key", single_flight.landings) as made:
        assert not made
    for number in range(300):
        with single_flight.Turn(number, single_flight.landings):
            pass
    with single_flight.Turn("other", since) as made:
        assert made, "too long ago to know: look again"


def test_to_lead_without_waiting_fails_while_somebody_leads_and_after_a_landing():
    since = single_flight.landings
    with single_flight.Turn("key", since):
        assert not single_flight.Turn("key", since).lead(asynchronous=False)
    assert not single_flight.Turn("key", since).lead(asynchronous=False), "there is something newer to look at"
    turn = single_flight.Turn("key", single_flight.landings)
    assert turn.lead(asynchronous=False)
    turn.leave(made=True)


def test_after_a_failure_the_next_thread_leads_and_the_others_wait_on(cache):
    runs = []

    def make():
        runs.append(1)
        until(lambda: waiting() == 5 - len(runs))
        if len(runs) < 3:
            raise LookupError(len(runs))
        return "made"

    threads = [Thread(lambda: cache.get_or_set("key", make)) for _ in range(5)]
    results = []
    for thread in threads:
        try:
            results.append(thread.result())
        except LookupError as error:
            results.append(error.args[0])
    assert sorted(map(str, results)) == ["1", "2", "made", "made", "made"]
    assert len(runs) == 3


def test_after_a_failure_or_a_cancellation_the_next_task_leads(cache):
    runs = []

    async def make():
        runs.append(asyncio.current_task())
        if len(runs) == 1:
            await auntil(lambda: waiting() == 4)
            raise LookupError
        if len(runs) == 2:
            await asyncio.sleep(LIMIT)
        await auntil(lambda: waiting() == 2)
        return "made"

    async def ask():
        tasks = [asyncio.create_task(cache.aget_or_set("key", make)) for _ in range(5)]
        await auntil(lambda: len(runs) == 2)
        runs[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(ask())
    assert sorted(type(result).__name__ for result in results) == ["CancelledError", "LookupError", "str", "str", "str"]
    assert len(runs) == 3


def test_a_cancelled_waiter_leaves_the_queue(cache):
    async def ask():
        go = asyncio.Event()

        async def make():
            await go.wait()
            return "made"

        tasks = [asyncio.create_task(cache.aget_or_set("key", make)) for _ in range(4)]
        await auntil(lambda: waiting() == 3)
        tasks[1].cancel()
        await auntil(lambda: waiting() == 2)
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(ask())
    assert [result for result in results if isinstance(result, str)] == ["made"] * 3


def test_a_waiter_that_is_cancelled_when_it_is_to_lead_hands_on():
    async def ask():
        async def fly():
            async with single_flight.Turn("key", single_flight.landings) as made:
                return made

        # Made before their leader leads: a task that is made inside of a flight does not wait for it.
        second, third = asyncio.create_task(fly()), asyncio.create_task(fly())
        leader = single_flight.Turn("key", single_flight.landings)
        assert await leader.__aenter__() is False
        await auntil(lambda: waiting() == 2)
        leader.leave(made=False)
        second.cancel()
        return await asyncio.gather(second, third, return_exceptions=True)

    second, third = run(ask())
    assert isinstance(second, asyncio.CancelledError)
    assert third is False, "it leads"


@pytest.mark.parametrize("store", ["memory, timeout 0", "dummy"])
def test_where_nothing_is_stored_the_others_make_it_at_the_same_time(configure, store):
    cache = configure({"default": {"BACKEND": backends.DUMMY} if store == "dummy" else memory(TIMEOUT=0)})["default"]
    # With a cache that stores, one leads first. The dummy has no flights.
    together = threading.Barrier(4 if store == "dummy" else 3)
    runs = []

    def make():
        runs.append(1)
        if store == "dummy" or len(runs) > 1:
            together.wait(LIMIT)
        else:
            until(lambda: waiting() == 3)
        return "made"

    threads = [Thread(lambda: cache.get_or_set("key", make))]
    until(lambda: runs)
    threads += [Thread(lambda: cache.get_or_set("key", make)) for _ in range(3)]
    assert [thread.result() for thread in threads] == ["made"] * 4
    assert len(runs) == 4


def test_who_asks_for_the_key_that_it_is_making_makes_it(cache):
    assert cache.get_or_set("key", lambda: cache.get_or_set("key", lambda: "inner")) == "inner"

    async def ask_again():
        return await cache.aget_or_set("async", inner)

    async def inner():
        return "inner"

    async def outer():
        # In tasks of their own, for which the leader waits.
        return (await asyncio.gather(ask_again(), ask_again()))[0]

    assert run(cache.aget_or_set("async", outer)) == "inner"


def test_two_threads_that_need_each_others_value_do_not_wait_for_ever(cache):
    both = threading.Barrier(2)

    def make(other):
        both.wait(LIMIT)
        return cache.get_or_set(other, lambda: "direct")

    threads = [
        Thread(lambda key=key, other=other: cache.get_or_set(key, lambda: make(other))) for key, other in ("ab", "ba")
    ]
    assert "direct" in [thread.result() for thread in threads]


def test_three_tasks_in_a_circle_do_not_wait_for_ever(cache):
    async def ask():
        started = []

        async def make(key, following):
            started.append(key)
            await auntil(lambda: len(started) == 3)
            # In a task of its own, as gather() makes them.
            return await asyncio.create_task(cache.aget_or_set(following, lambda: "direct"))

        return await asyncio.gather(
            *(cache.aget_or_set(key, lambda key=key, to=to: make(key, to)) for key, to in ("ab", "bc", "ca"))
        )

    assert "direct" in run(ask())


def test_a_circle_of_a_thread_and_a_task_is_broken(cache):
    led = threading.Barrier(2)

    async def make_a():
        await sync_to_async(led.wait, thread_sensitive=False)(LIMIT)
        return await sync_to_async(cache.get_or_set, thread_sensitive=False)("s", lambda: "direct")

    def make_s():
        led.wait(LIMIT)
        return async_to_sync(cache.aget_or_set)("a", lambda: "direct")

    task = Thread(lambda: run(cache.aget_or_set("a", make_a)))
    thread = Thread(lambda: cache.get_or_set("s", make_s))
    assert "direct" in [task.result(), thread.result()]


def test_a_sync_call_in_a_coroutine_waits_for_nobody(cache):
    go = threading.Event()

    def make():
        assert go.wait(LIMIT)
        return "the thread's"

    thread = Thread(lambda: cache.get_or_set("key", make))
    until(lambda: single_flight._flights)

    async def ask():
        return cache.get_or_set("key", lambda: "the coroutine's")

    assert run(ask()) == "the coroutine's"
    go.set()
    assert thread.result() == "the coroutine's", "that was stored first"


def test_what_cannot_be_seen_ends_with_patience(cache, monkeypatch):
    monkeypatch.setattr(single_flight, "PATIENCE", 0.1)
    with ThreadPoolExecutor(1) as pool:

        def make():
            return pool.submit(cache.get_or_set, "key", lambda: "from the pool").result(LIMIT)

        assert cache.get_or_set("key", make) == "from the pool"

    async def never():
        await asyncio.sleep(LIMIT)

    async def ask():
        leader = asyncio.create_task(cache.aget_or_set("async", never))
        await auntil(lambda: single_flight._flights)
        value = await cache.aget_or_set("async", lambda: "made")
        assert single_flight._flights == {}, "nobody else waits for this leader"
        leader.cancel()
        return value

    assert run(ask()) == "made"


def test_a_loop_that_closes_under_its_leader_releases_the_flight(cache):
    def lead_and_close():
        loop = asyncio.new_event_loop()

        async def make():
            loop.call_soon(loop.stop)
            await asyncio.sleep(LIMIT)

        loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
        task = loop.create_task(cache.aget_or_set("key", make))
        loop.run_forever()
        until(lambda: waiting() == 1)
        loop.close()
        del task
        gc.collect()

    closing = Thread(lead_and_close)
    until(lambda: single_flight._flights)
    assert run(cache.aget_or_set("key", lambda: "made")) == "made"
    closing.result()


def test_a_waiter_whose_loop_is_closed_is_passed_over(cache):
    loop = asyncio.new_event_loop()
    go = threading.Event()

    async def make():
        await auntil(go.is_set)
        raise LookupError

    leader = Thread(lambda: run(cache.aget_or_set("key", make)))
    until(lambda: single_flight._flights)
    lost = loop.create_task(cache.aget_or_set("key", lambda: "lost"))

    async def join():
        await auntil(lambda: waiting() == 1)

    loop.run_until_complete(join())
    loop.close()  # with `lost` in the queue
    follower = Thread(lambda: run(cache.aget_or_set("key", lambda: "made")))
    until(lambda: waiting() == 2)
    go.set()
    with pytest.raises(LookupError):
        leader.result()
    assert follower.result() == "made"
    assert not lost.done()
    loop.set_exception_handler(lambda *_: None)
    lost._log_destroy_pending = False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_of_its_parent(cache):
    go = threading.Event()
    thread = Thread(lambda: cache.get_or_set("key", lambda: go.wait(LIMIT)))
    until(lambda: single_flight._flights)
    child = os.fork()
    if child == 0:
        fine = single_flight._flights == {} and cache.get_or_set("key", lambda: "the child's") == "the child's"
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    go.set()
    assert thread.result() is True


def test_a_store_has_its_flights_and_aliases_share_them(configure):
    one = memory()
    caches = configure({"default": one, "same": {**one, "TIMEOUT": 60}, "other": memory()})
    go = threading.Event()

    def make():
        assert go.wait(LIMIT)
        return "made"

    leader = Thread(lambda: caches["default"].get_or_set("key", make))
    until(lambda: single_flight._flights)
    assert caches["other"].get_or_set("key", lambda: "the other's") == "the other's"
    assert caches["default"].get_or_set("key", lambda: "version 2", version=2) == "version 2"
    follower = Thread(lambda: caches["same"].get_or_set("key", lambda: "not made"))
    until(lambda: waiting() == 1)
    go.set()
    assert [leader.result(), follower.result()] == ["made", "made"]


def test_a_default_that_is_there_waits_for_nobody(cache):
    go = threading.Event()
    thread = Thread(lambda: cache.get_or_set("key", lambda: go.wait(LIMIT)))
    until(lambda: single_flight._flights)
    assert cache.get_or_set("key", "there") == "there"
    assert run(cache.aget_or_set("key", "not stored")) == "there"
    go.set()
    assert thread.result() == "there"
