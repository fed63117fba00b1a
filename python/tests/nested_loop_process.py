"""The process of test_async_waking.test_a_task_that_runs_the_loop_itself_leaves_the_others_going.

    python nested_loop_process.py CACHES

nest_asyncio, which notebooks use, lets a task run its own loop. It replaces parts of asyncio for the whole process. Twenty
calls are made at once, and the first task to go on waits, inside of the loop, for all others; then again with the replies
one by one.
"""

import asyncio
import json
import sys

import django
import nest_asyncio
from django.conf import settings

settings.configure(CACHES=json.loads(sys.argv[1]), SECRET_KEY="not a secret: for tests")
django.setup()
nest_asyncio.apply()

from django.core.cache import cache  # noqa: E402


async def one(number):
    value = await cache.aget(f"k{number}")
    assert value == [number]
    went_on.append(number)
    if len(went_on) == 1:
        loop = asyncio.get_running_loop()
        others = [task for task in tasks if task is not asyncio.current_task()]
        loop.run_until_complete(asyncio.wait_for(asyncio.gather(*others), 10))
        assert len(went_on) == len(tasks)


async def staggered(number):
    # The request leaves in a write of its own, so that the reply comes in a read of its own.
    for _ in range(number):
        await asyncio.sleep(0)
    await one(number)


async def use():
    await cache.aset_many({f"k{number}": [number] for number in range(20)})
    for call in (one, staggered):
        tasks[:] = [asyncio.ensure_future(call(number)) for number in range(20)]
        went_on.clear()
        await asyncio.gather(*tasks)


tasks, went_on = [], []
asyncio.run(use())
print(len(went_on))
