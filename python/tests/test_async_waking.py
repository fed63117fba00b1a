"""What a task may rely on when it goes on after a call: one read of replies lets many of them go on, one after the other."""

import asyncio
import contextvars
import gc
import json
import logging
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from loops import NEW_LOOP, RUN, SERVERS, entry, location, run
from servers import PATIENCE

HERE = Path(__file__).parent
KINDS = pytest.mark.parametrize("kind", list(RUN))
pytestmark = [pytest.mark.parametrize("name", list(SERVERS)), pytest.mark.pinyon_only]


@pytest.fixture
def server(name):
    with SERVERS[name]() as started:
        yield started


@pytest.fixture
def cache(name, server, configure):
    cache = configure({"default": entry(name, location(name, server))})["default"]
    cache.set_many({f"k{number}": [number] for number in range(20)})
    return cache


@KINDS
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_one_task_leaves_the_others_their_results(kind, interrupt, cache):
    async def one(number):
        value = await cache.aget(f"k{number}")
        if number == 3:
            raise interrupt
        return value

    async def start():
        return [asyncio.ensure_future(one(number)) for number in range(20)]

    loop = NEW_LOOP[kind]()
    tasks = loop.run_until_complete(start())
    with pytest.raises(interrupt):
        loop.run_until_complete(asyncio.wait(tasks))
    found = loop.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE))
    assert isinstance(found.pop(3), interrupt)
    assert found == [[number] for number in range(20) if number != 3]
    loop.close()


@KINDS
def test_each_task_goes_on_in_its_own_context(kind, cache):
    who = contextvars.ContextVar("who", default="nobody")

    async def one(number):
        who.set(number)
        for _ in range(5):
            await cache.aget(f"k{number}")
            assert who.get() == number
            assert asyncio.current_task().get_name() == str(number)

    async def use():
        await asyncio.gather(*(asyncio.create_task(one(number), name=str(number)) for number in range(20)))
        assert who.get() == "nobody"

    run(kind, use)


@KINDS
def test_tasks_that_ask_without_end_keep_the_loop_from_nothing(kind, cache):
    async def ask(number):
        while not over.is_set():
            assert await cache.aget(f"k{number}") == [number]

    async def use():
        tasks = [asyncio.ensure_future(ask(number)) for number in range(20)]
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        over.set()
        await asyncio.gather(*tasks)

    over = asyncio.Event()
    run(kind, use)


@KINDS
def test_a_cancelled_call_ends_with_the_message_of_the_cancellation(kind, cache):
    async def use():
        task = asyncio.ensure_future(cache.aget("k1"))
        await asyncio.sleep(0)
        assert "PendingOperation" in repr(task)
        assert task.cancel("not needed") is True
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        assert raised.value.args == ("not needed",)
        assert await cache.aget("k2") == [2]

    run(kind, use)


@KINDS
def test_a_call_can_be_shielded_and_bounded(kind, server, cache):
    async def use():
        assert await asyncio.wait_for(cache.aget("k1"), PATIENCE) == [1]
        server.pause()
        try:
            call = asyncio.ensure_future(cache.aget("k2"))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(call), 0.05)
            assert not call.done()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(cache.aget("k3"), 0.05)
        finally:
            server.resume()
        assert await call == [2]
        assert await cache.aget("k4") == [4]

    run(kind, use)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has eager tasks since 3.12")
def test_eager_tasks_wait_and_go_on(cache):
    async def use():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        for _ in range(3):
            found = await asyncio.gather(*(cache.aget(f"k{number}") for number in range(20)))
            assert found == [[number] for number in range(20)]

    # Not on uvloop, which gives the factory an argument that that of Python 3.13 does not take.
    run("asyncio", use)


def test_the_debug_mode_names_the_task_that_takes_long(cache, caplog):
    async def one():
        await cache.aget("k1")

    async def use():
        # Everything takes longer than nothing.
        asyncio.get_running_loop().slow_callback_duration = 0
        await asyncio.gather(*(asyncio.create_task(one(), name=f"slow-{number}") for number in range(20)))

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        run("asyncio", use, debug=True)
    reports = [record.getMessage() for record in caplog.records]
    for number in range(20):
        # When it begins, and when it goes on; not when others hear that it has ended.
        own = [
            report for report in reports if report.startswith("Executing <Task") and f"name='slow-{number}'" in report
        ]
        assert len(own) == 2, reports


@KINDS
def test_a_task_that_is_left_waiting_is_no_leak(kind, server, cache):
    """Loop, task, coroutine and the call refer to each other; with the connection, they go."""

    async def wait():
        await cache.aget("k1")

    async def start():
        await cache.aget("k1")
        server.pause()
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        return task

    loop = NEW_LOOP[kind]()
    task = loop.run_until_complete(start())
    loop.close()
    server.resume()
    run(kind, cache.aget, "k2")
    # Its coroutine was not awaited to the end, which asyncio reports to the handler of a loop that is still there.
    task._log_destroy_pending = False
    left = [weakref.ref(task), weakref.ref(loop)]
    del task, loop
    gc.collect()
    assert [reference() for reference in left] == [None, None]


def test_a_task_that_runs_the_loop_itself_leaves_the_others_going(name, server):
    caches = json.dumps({"default": entry(name, location(name, server))})
    command = [sys.executable, "nested_loop_process.py", caches]
    ended = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=PATIENCE * 4, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["20"]
