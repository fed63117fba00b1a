"""Event loops of both kinds, and the caches of the tests that run on them.

Each test has a server of its own, so that what it counts there is its own doing.
"""

import asyncio
import time
from pathlib import Path

import uvloop
from backends import BACKENDS, LIMITS, error
from servers import PATIENCE, MemcachedServer, RedisServer, wait_until

SERVERS = {"redis": RedisServer, "memcached": MemcachedServer}
RUN = {"asyncio": asyncio.run, "uvloop": uvloop.run}
NEW_LOOP = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def entry(name, location, limit=PATIENCE * 4, **options):
    """An entry of CACHES; by default its limit is beyond all patience, so that no call is saved by it."""
    options = {**LIMITS[name](limit), **options}
    if name == "memcached":
        options.setdefault("retry_timeout", 0.05)
    return {"BACKEND": BACKENDS[name], "LOCATION": location, "OPTIONS": options}


def location(name, server):
    return server.url if name == "redis" else server.address


def run(kind, function, *args, patience=PATIENCE, **options):
    """What `await function(*args)` gives on a new loop; a call that hangs fails the test."""

    async def bounded():
        return await asyncio.wait_for(function(*args), patience)

    return RUN[kind](bounded(), **options)


def settled(server):
    """The number of connections of a server, once those that are being closed are gone."""
    counts = [server.connections()]
    while len(counts) < 5 or len(set(counts[-5:])) > 1:
        time.sleep(0.02)
        counts.append(server.connections())
    return counts[-1]


def deserted(server):
    """Wait until nobody is connected any more."""
    wait_until(lambda: server.connections() == 0, "the last connection to close")


def opened(server, since):
    """How many connections were opened since `server.accepted()` answered `since`."""
    return server.accepted() - since - 1


async def healthy(cache):
    """Wait until the cache answers again, after its retry time at the latest."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            await cache.aset("recovery", "yes")
            if await cache.aget("recovery") == "yes":
                return
        except error("CacheError"):
            pass
        assert time.monotonic() < deadline, "the cache does not recover"
        await asyncio.sleep(0.01)


def resident_bytes():
    """How much memory this process occupies."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS")
