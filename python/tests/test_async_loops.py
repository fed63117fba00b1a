"""Event loops: one connection for each, gone with it; many loops, threads, forks and the synchronous face beside them."""

import asyncio
import gc
import inspect
import json
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from backends import FACE, error
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning, InvalidCacheKey
from django.core.signals import request_finished
from loops import NEW_LOOP, RUN, SERVERS, deserted, entry, location, opened, run, settled
from payloads import Unpicklable
from servers import PATIENCE, wait_until
from test_processes import ended_well, in_child

HERE = Path(__file__).parent
KINDS = pytest.mark.parametrize("kind", list(RUN))
pytestmark = [
    pytest.mark.parametrize("name", list(SERVERS)),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.fixture
def server(name):
    with SERVERS[name]() as started:
        yield started


@pytest.fixture
def cache(name, server, configure):
    return configure({"default": entry(name, location(name, server))})["default"]


async def mix(cache, who, rounds=5):
    """Operations whose answers only this caller can have written."""
    for number in range(rounds):
        await cache.aset(f"own-{who}", [who, number])
        assert await cache.aget(f"own-{who}") == [who, number]
        assert await cache.aset_many({f"a-{who}": number, f"b-{who}": who}) == []
        assert await cache.aget_many([f"a-{who}", f"b-{who}", "nobody"]) == {f"a-{who}": number, f"b-{who}": who}
        assert await cache.aincr(f"a-{who}") == number + 1
        assert await cache.ahas_key(f"b-{who}") is True
        assert await cache.adelete(f"b-{who}") is True
        assert await cache.aget(f"b-{who}", "gone") == "gone"
        assert await cache.aget_or_set(f"b-{who}", lambda: [number]) == [number]


async def mix_many(cache, who, tasks=20):
    await asyncio.gather(*(mix(cache, f"{who}-{number}") for number in range(tasks)))


# --- One connection for each loop ---


@KINDS
@pytest.mark.pinyon_only
def test_a_thousand_calls_at_once_share_one_connection(kind, server, cache):
    async def use():
        before = server.accepted()
        await cache.aset_many({f"k{number}": [number] for number in range(1000)})
        found = await asyncio.gather(*(cache.aget(f"k{number}") for number in range(1000)))
        assert found == [[number] for number in range(1000)]
        assert opened(server, before) == 1
        assert await asyncio.to_thread(settled, server) == 1

    run(kind, use)


@KINDS
@pytest.mark.pinyon_only
def test_the_first_calls_of_a_loop_wait_for_one_connection(kind, server, cache):
    async def use():
        before = server.accepted()
        assert await asyncio.gather(*(cache.aget("key", number) for number in range(1000))) == list(range(1000))
        assert opened(server, before) == 1

    run(kind, use)


@pytest.mark.pinyon_only
def test_the_objects_of_all_tasks_share_one_connection(server, cache):
    async def one(number):
        own = caches["default"]
        await own.aset(f"k{number}", number)
        request_finished.send(sender=None)
        await own.aclose()
        assert await caches["default"].aget(f"k{number}") == number
        return own

    async def use():
        before = server.accepted()
        # What an ASGI server does: a context for each request, in which there is no cache object yet.
        found = await asyncio.gather(*(asyncio.create_task(one(number)) for number in range(100)))
        assert opened(server, before) == 1
        return found

    # Made in the test's context, the object would be every task's.
    del caches["default"]
    assert len({id(own) for own in run("asyncio", use)}) == 100


@KINDS
@pytest.mark.pinyon_only
def test_the_connection_closes_with_its_loop(kind, server, cache):
    for _ in range(3):
        before = server.accepted()
        run(kind, mix_many, cache, "a")
        assert opened(server, before) == 1
        deserted(server)


@KINDS
@pytest.mark.pinyon_only
def test_async_to_sync_in_a_row_leaves_no_connection(kind, server, cache):
    for number in range(50):
        async_to_sync(cache.aset)("key", [number])
        assert async_to_sync(cache.aget)("key") == [number]
    deserted(server)


@KINDS
@pytest.mark.pinyon_only
@pytest.mark.slow
def test_a_thousand_runs_leave_nothing_behind(kind, name, server):
    caches = {"default": entry(name, location(name, server))}
    before = server.accepted()
    command = [sys.executable, "-X", "dev", "-W", "error", "loop_process.py", kind, "1000", json.dumps(caches)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=HERE, text=True, **pipes) as process:
        killer = threading.Timer(PATIENCE * 8, process.kill)
        killer.start()
        line = process.stdout.readline()
        # Counted while the process is still there.
        left = settled(server) if line else None
        _, complaints = process.communicate("\n")
        killer.cancel()
    assert complaints == ""
    assert process.returncode == 0
    report = json.loads(line)
    assert left == 0
    assert server.accepted() - before >= 1000
    assert len(report["open_files"]) == 1, report
    assert report["loops"] == 0
    # Nothing grows with the number of runs, of which 800 were watched.
    assert report["objects"] < 200
    assert report["memory"] < 16 * 2**20


# --- Loops that come and go ---


@KINDS
@pytest.mark.pinyon_only
def test_loops_in_several_threads_have_a_connection_each(kind, server, cache):
    together = threading.Barrier(8, timeout=PATIENCE)

    async def use(number):
        await mix_many(cache, number)
        # No loop ends before all of them have been at work.
        await asyncio.to_thread(together.wait)
        await mix_many(caches["default"], number)

    before = server.accepted()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: run(kind, use, number, patience=PATIENCE * 2), range(8)))
    assert opened(server, before) == 8
    deserted(server)


@KINDS
@pytest.mark.pinyon_only
def test_two_loops_in_turns_keep_their_connections(kind, server, cache):
    loops = [NEW_LOOP[kind]() for _ in range(2)]
    before = server.accepted()
    for turn in range(5):
        for number, loop in enumerate(loops):
            loop.run_until_complete(mix(cache, f"{number}-{turn}"))
    assert opened(server, before) == 2
    for loop in loops:
        loop.close()


@KINDS
@pytest.mark.pinyon_only
def test_a_closed_loop_that_is_gone_leaves_no_connection(kind, server, cache):
    before = server.accepted()
    loop = NEW_LOOP[kind]()
    loop.run_until_complete(cache.aset("key", 1))
    assert opened(server, before) == 1
    loop.close()
    del loop
    gc.collect()
    deserted(server)


@KINDS
@pytest.mark.pinyon_only
def test_the_connection_of_a_closed_loop_closes_with_the_next_use(kind, server, cache):
    loop = NEW_LOOP[kind]()
    loop.run_until_complete(cache.aset("key", 1))
    loop.close()

    async def use():
        assert await cache.aget("key") == 1
        await asyncio.to_thread(wait_until, lambda: server.connections() == 1, "the old connection to close")

    run(kind, use)
    deserted(server)
    assert loop.is_closed()


@KINDS
@pytest.mark.pinyon_only
def test_a_loop_closed_in_the_middle_of_a_call_disturbs_no_other(kind, server, cache):
    loop = NEW_LOOP[kind]()
    loop.run_until_complete(cache.aset_many({"a": "A", "b": "B"}))
    with server.paused():
        left = loop.create_task(cache.aget("a"))
        for _ in range(5):
            loop.run_until_complete(asyncio.sleep(0))
        left.cancel()
        loop.run_until_complete(asyncio.wait([left]))
        loop.close()
    assert run(kind, cache.aget, "b") == "B"
    deserted(server)


# --- The methods are coroutine functions like Django's ---


def test_each_method_is_a_coroutine_function(cache):
    names = "aadd aget aset atouch adelete aget_many aset_many adelete_many ahas_key aincr adecr aget_or_set aclear"
    for method in [*names.split(), "aincr_version", "adecr_version", "aclose"]:
        assert inspect.iscoroutinefunction(getattr(cache, method)), method


@KINDS
def test_a_coroutine_may_be_made_outside_of_a_loop(kind, cache):
    RUN[kind](cache.aset("key", "value"))
    waiting = cache.aget("key")
    assert inspect.iscoroutine(waiting)
    assert RUN[kind](waiting) == "value"


def test_nothing_happens_before_it_is_awaited(cache):
    unused = cache.aset("key", "value")
    unused.close()
    assert cache.get("key") is None


@KINDS
def test_calls_can_be_tasks(kind, cache):
    async def use():
        writing = [asyncio.create_task(cache.aset(f"k{number}", number)) for number in range(20)]
        done, _ = await asyncio.wait(writing)
        assert {task.result() for task in done} in ({None}, {True})
        assert await asyncio.create_task(cache.aget("k7")) == 7
        assert await asyncio.wait_for(asyncio.shield(cache.aget("k8")), PATIENCE) == 8

    run(kind, use)


def test_calls_in_a_row_are_done_in_that_order(cache):
    async def use():
        for number in range(100):
            writing = asyncio.create_task(cache.aset("key", number))
            reading = asyncio.create_task(cache.aget("key"))
            await writing
            assert await reading == number

    run("asyncio", use)


# --- Errors ---


@KINDS
@pytest.mark.pinyon_only
def test_the_error_of_one_call_disturbs_no_other(kind, server, cache):
    async def use():
        await cache.aset_many({"word": "no number", **{f"k{number}": [number] for number in range(50)}})
        before = server.accepted()
        failing = [cache.aincr("missing"), cache.aincr("word"), cache.aset("key", Unpicklable()), cache.aset_many(5)]
        calls = [cache.aget(f"k{number}") for number in range(50)]
        for place, call in enumerate(failing):
            calls.insert(place * 10, call)
        found = await asyncio.gather(*calls, return_exceptions=True)
        failed = [found.pop(place * 10) for place in reversed(range(len(failing)))][::-1]
        assert found == [[number] for number in range(50)]
        for problem, expected in zip(
            failed, (ValueError, error("NotAnIntegerError"), pickle.PicklingError, Exception), strict=True
        ):
            assert isinstance(problem, expected), problem
        assert opened(server, before) == 0

    run(kind, use)


def test_a_key_that_is_not_valid_is_refused_at_the_await(name, cache):
    async def use():
        waiting = [cache.aget("with blank"), cache.aset("k" * 300, 1), cache.aget_many(["fine", "with blank"])]
        fine = asyncio.gather(*(cache.aset(f"k{number}", number) for number in range(20)))
        for call in waiting:
            if name == "memcached":
                with pytest.raises(InvalidCacheKey):
                    await call
            else:
                with pytest.warns(CacheKeyWarning):
                    await call
        await fine
        assert await cache.aget("k7") == 7

    run("asyncio", use)


@KINDS
def test_the_debug_mode_of_the_loop_has_nothing_to_complain_of(kind, cache, caplog):
    async def use():
        asyncio.get_running_loop().slow_callback_duration = 60
        await mix_many(cache, "debug")

    run(kind, use, debug=True)
    assert not [record for record in caplog.records if record.name.startswith("asyncio") and record.levelno > 20]


# --- Beside the synchronous face ---


@KINDS
@pytest.mark.pinyon_only
def test_both_faces_of_one_object_side_by_side(kind, server, cache):
    done = threading.Event()

    def busy(number):
        turns = 0
        while not done.is_set() or not turns:
            cache.set(f"sync-{number}", [number, turns])
            assert cache.get(f"sync-{number}") == [number, turns]
            turns += 1
        return True

    async def use():
        threads = [asyncio.create_task(asyncio.to_thread(busy, number)) for number in range(3)]
        try:
            for turn in range(20):
                await mix_many(cache, turn)
                # In the loop's own thread too.
                cache.set("turn", turn)
                assert await cache.aget("turn") == turn
                await cache.aset("turn", -turn)
                assert cache.get("turn") == -turn
        finally:
            done.set()
        assert all(await asyncio.gather(*threads))

    before = server.accepted()
    run(kind, use, patience=PATIENCE * 2)
    # The loop's, and one for each thread that was ever in a call at once.
    assert opened(server, before) <= 1 + 4


# --- Fork ---


@KINDS
@pytest.mark.pinyon_only
def test_a_child_has_its_own_loop_and_connection(kind, server, cache):
    loop = NEW_LOOP[kind]()
    loop.run_until_complete(mix(cache, "before"))
    before = server.accepted()
    for generation in range(3):

        def child():
            for number in range(3):
                RUN[kind](mix_many(cache, f"child-{generation}-{number}"))
                gc.collect()

        pid = in_child(child)
        loop.run_until_complete(mix_many(cache, f"parent-{generation}"))
        assert ended_well(pid)
    loop.run_until_complete(mix(cache, "after"))
    # The parent's own connection has seen it all; each run of a child had one.
    assert opened(server, before) == 3 * 3
    wait_until(lambda: server.connections() == 1, "the children's connections to close")
    loop.close()


@KINDS
@pytest.mark.pinyon_only
def test_a_loop_that_runs_in_a_thread_is_not_disturbed_by_forks(kind, server, cache):
    done, started = threading.Event(), threading.Event()

    async def busy():
        before = server.accepted()
        turn = 0
        while not done.is_set():
            await mix_many(cache, f"parent-{turn}", 5)
            started.set()
            turn += 1
        return before

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, kind, busy, patience=PATIENCE * 4)
        try:
            assert started.wait(PATIENCE)
            for number in range(10):

                def child():
                    cache.set(f"child-{number}", number)
                    RUN[kind](mix_many(cache, f"child-{number}", 5))
                    assert cache.get(f"child-{number}") == number

                assert ended_well(in_child(child))
        finally:
            done.set()
        before = running.result(PATIENCE)
    # One is the parent's; a child has one for each face.
    assert opened(server, before) == 1 + 10 * 2
    assert settled(server) == 0


@KINDS
def test_a_fork_in_the_middle_of_a_coroutine(kind, cache):
    if FACE == "incumbent":
        pytest.skip("the thread that the calls go through does not live in the child")

    async def use():
        await cache.aset_many({f"k{number}": number for number in range(50)})
        under_way = [asyncio.create_task(cache.aget(f"k{number}")) for number in range(50)]
        await asyncio.sleep(0)

        def child():
            # The child stands in the parent's coroutine; its own loop is another thread's, for no loop runs in a loop.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(RUN[kind], mix_many(cache, "child", 5)).result(PATIENCE)
            os.write(told[1], b"!")

        told = os.pipe()
        pid = in_child(child)
        assert await asyncio.gather(*under_way) == list(range(50))
        assert await asyncio.to_thread(os.read, told[0], 1) == b"!"
        assert await asyncio.to_thread(ended_well, pid)
        await mix_many(cache, "parent", 5)
        for end in told:
            os.close(end)

    run(kind, use)
