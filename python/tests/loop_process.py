"""The process of test_async_loops.test_a_thousand_runs_leave_nothing_behind: one event loop after the other.

    python -X dev -W error loop_process.py KIND RUNS CACHES

It prints what is left after the runs as JSON, and waits for a line before it ends.
"""

import asyncio
import gc
import json
import os
import sys
import weakref

import django
import uvloop
from django.conf import settings

KIND, RUNS, CACHES = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
#: How many runs may still fill what is filled once.
WARM_UP = RUNS // 5

settings.configure(CACHES=CACHES, SECRET_KEY="not a secret: for tests")
django.setup()

from django.core.cache import cache  # noqa: E402
from loops import resident_bytes  # noqa: E402


async def use(number):
    loop = asyncio.get_running_loop()
    # A busy machine shall not make -X dev complain of a slow callback.
    loop.slow_callback_duration = 60
    await cache.aset("number", [number])
    assert await asyncio.gather(*(cache.aget("number") for _ in range(3))) == [[number]] * 3
    loops.add(loop)


def measure():
    gc.collect()
    return {"objects": len(gc.get_objects()), "memory": resident_bytes()}


start = {"asyncio": asyncio.run, "uvloop": uvloop.run}[KIND]
loops, open_files = weakref.WeakSet(), set()
for number in range(RUNS):
    start(use(number))
    open_files.add(len(os.listdir("/proc/self/fd")))
    if number + 1 == WARM_UP:
        before = measure()
after = measure()
report = {
    "open_files": sorted(open_files),
    "objects": after["objects"] - before["objects"],
    "memory": after["memory"] - before["memory"],
    "loops": len(loops),
}
print(json.dumps(report), flush=True)
sys.stdin.readline()
