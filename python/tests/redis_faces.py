"""A cache by its methods and by their async twins, and results as text that tells types apart."""

import asyncio
import inspect

import pytest


class OnALoop:
    """A cache whose every method is its async twin, run to its end."""

    def __init__(self, cache, loop):
        self.cache, self.loop = cache, loop

    def __getattr__(self, name):
        method = getattr(self.cache, f"a{name}")

        def call(*args, **kwargs):
            if inspect.isasyncgenfunction(method):
                return self.loop.run_until_complete(collect(method(*args, **kwargs)))
            assert inspect.iscoroutinefunction(method)
            return self.loop.run_until_complete(method(*args, **kwargs))

        return call


async def collect(items):
    return [item async for item in items]


@pytest.fixture(params=["sync", "async"])
def face(request):
    """`face(cache)`: the cache by its methods, or by their async twins."""
    if request.param == "sync":
        yield lambda cache: cache
        return
    loop = asyncio.new_event_loop()
    yield lambda cache: OnALoop(cache, loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def show(result):
    """With types, and sets in one order."""
    if isinstance(result, set):
        return f"{{{', '.join(sorted(map(show, result)))}}}"
    if isinstance(result, tuple | list):
        return f"{type(result).__name__}({', '.join(map(show, result))})"
    return f"{type(result).__name__} {result!r}"
