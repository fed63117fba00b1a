"""The end of an event loop, waiting for room on its connections, a future without a loop: what Rust needs Python for."""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

from pinyon import _pinyon


def keep(loop: Any, state: _pinyon.LoopState) -> AsyncGenerator[None, None] | None:
    """Have ``state`` closed when ``loop`` ends its asynchronous generators, as ``asyncio.run`` does before it closes it.

    Returns what has to be kept alive until then. It refers to neither of the two: a loop that is closed or dropped without
    that must not be held by us.
    """
    if getattr(loop, "_asyncgens_shutdown_called", False):
        return None
    generator = _close_at_the_end(weakref.ref(state))
    hooks = sys.get_asyncgen_hooks()
    # The hooks of the loop would be kept by the generator, and the loop by them.
    sys.set_asyncgen_hooks(None, None)
    try:
        generator.__anext__().send(None)
    except StopIteration:
        pass
    finally:
        sys.set_asyncgen_hooks(*hooks)
    if hooks.firstiter is not None:
        hooks.firstiter(generator)
    return generator


async def _close_at_the_end(reference: weakref.ref[_pinyon.LoopState]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        state = reference()
        if state is not None:
            state.close()


async def after(
    room: Awaitable[bool], ignored: Any, start: Callable[..., Awaitable[Any]], cache: Any, arguments: Any
) -> Any:
    """Wait until there is room on the connections of ``cache``, then start an operation and wait for it.

    Without room in time, if the settings ignore that, the result is ``ignored``.
    """
    try:
        if not await room:
            return ignored
        started = start(cache, *arguments, True)
    finally:
        # The next one in the queue, also if this one was cancelled, or its value cannot be pickled.
        _pinyon.invite(cache)
    return await started


class _NoLoop:
    """What a future that has a result asks its loop for."""

    def get_debug(self) -> bool:
        return False


def resolved() -> asyncio.Future[None]:
    """Return a future that has a result, and no loop that it would keep."""
    future: asyncio.Future[None] = asyncio.Future(loop=cast(Any, _NoLoop()))
    future.set_result(None)
    return future
