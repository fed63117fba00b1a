"""One caller makes what is missing, and the others who want it wait for it: between threads, and between asyncio tasks.

A flight belongs to a key while somebody makes its value: the leader. Who asks meanwhile waits in a queue. When the leader has
succeeded, all of them look again; when it has failed, the first of them leads. Sync and async callers have flights of their own: a
thread that waited for a task could stop the loop that the task needs.

Nobody waits for what waits for them. Each context knows the flights that it is in, tasks that a leader starts inherit them, and a
flight knows which others are waited for in it; a circle is found before it closes. What cannot be seen here, a lock of the
caller's or a pool of threads, ends with `PATIENCE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import threading
from collections import deque
from collections.abc import Hashable
from contextvars import ContextVar, Token
from typing import Any

from pinyon import _pinyon

#: Seconds after which a caller stops waiting and makes the value itself, and the next ones no longer wait for this leader.
PATIENCE = 30.0

#: How many flights have succeeded in this process. Read it before looking for a value: a `Turn` says whether that look is outdated.
landings = 0
#: The keys of the last of them.
_landed: deque[Hashable] = deque(maxlen=256)

# Reentrant, because a coroutine that the garbage collector closes ends its flight wherever the collector happened to run.
_lock = threading.RLock()
#: The flights in the air, by whether they are async, and key.
_flights: dict[tuple[bool, Hashable], Flight] = {}
#: The flights that the code of this context runs in, some of which may be over.
_inside: ContextVar[tuple[Flight, ...]] = ContextVar("pinyon_flights", default=())


class Flight:
    """A value that somebody makes at this moment."""

    __slots__ = ("over", "waiters", "waits_for", "where")

    def __init__(self, where: tuple[bool, Hashable]) -> None:
        self.where = where
        self.waiters: deque[_Waiter] = deque()
        #: The flights that code in this one waits for, each as often as it does.
        self.waits_for: list[Flight] = []
        self.over = False

    def leads_to(self, others: tuple[Flight, ...]) -> bool:
        """Return whether this flight is, or waits in the end for, one of the others."""
        seen: set[Flight] = set()
        ahead = [self]
        while ahead:
            flight = ahead.pop()
            if flight in others:
                return True
            if flight not in seen:
                seen.add(flight)
                ahead.extend(flight.waits_for)
        return False

    def end(self) -> None:
        """Leave the table, so that nobody joins any more."""
        self.over = True
        if _flights.get(self.where) is self:
            del _flights[self.where]


class _Waiter:
    """A caller in the queue of a flight."""

    __slots__ = ("flight", "inside", "leads", "released")

    def __init__(self, flight: Flight, inside: tuple[Flight, ...]) -> None:
        self.flight = flight
        self.inside = inside
        self.released = False
        #: Once released: whether it is to lead now, or to look again.
        self.leads = False

    def wake(self) -> None:
        """Go on. RuntimeError if there is nobody any more."""
        raise NotImplementedError

    def release(self, leads: bool) -> None:
        self.released = True
        self.leads = leads
        for outer in self.inside:
            outer.waits_for.remove(self.flight)


class _WaitingThread(_Waiter):
    __slots__ = ("event",)

    def __init__(self, flight: Flight, inside: tuple[Flight, ...]) -> None:
        super().__init__(flight, inside)
        self.event = threading.Event()

    def wake(self) -> None:
        self.event.set()


class _WaitingTask(_Waiter):
    __slots__ = ("future", "loop")

    def __init__(self, flight: Flight, inside: tuple[Flight, ...]) -> None:
        super().__init__(flight, inside)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def wake(self) -> None:
        if _running_loop() is self.loop:
            self.resume()
        else:
            self.loop.call_soon_threadsafe(self.resume)

    def resume(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Turn:
    """A caller's turn at making the value of a key; ``with`` between threads, ``async with`` between tasks.

    The block runs as the leader of the key's flight, after another leader's success, or, where waiting would never end, just so. It is
    told whether somebody else has made the value since ``since``: then look for it again, and make it if it is not there. A leader
    whose block raises, or is cancelled, is followed by the first who waits. ``key`` None: never wait.
    """

    __slots__ = ("_flight", "_key", "_since", "_token")

    def __init__(self, key: Hashable, since: int) -> None:
        self._key = key
        self._since = since
        self._flight: Flight | None = None
        self._token: Token[tuple[Flight, ...]] | None = None

    def __enter__(self) -> bool:
        waiter = self._begin(None if _running_loop() else _WaitingThread, False)
        if waiter is None:
            return self._was_made()
        try:
            waiter.event.wait(PATIENCE)
        except BaseException:
            _withdraw(waiter)
            raise
        return self._go_on(waiter)

    async def __aenter__(self) -> bool:
        waiter = self._begin(_WaitingTask, True)
        if waiter is None:
            return self._was_made()
        timer = waiter.loop.call_later(PATIENCE, waiter.resume)
        try:
            await waiter.future
        except BaseException:
            _withdraw(waiter)
            raise
        finally:
            timer.cancel()
        return self._go_on(waiter)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.leave(kind is None)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.leave(kind is None)

    def lead(self, asynchronous: bool) -> bool:
        """Lead the flight of the key if there is none and there has been none since; never wait. Return whether it leads."""
        self._begin(None, asynchronous)
        if self._flight is not None and self._was_made():
            self.leave(made=True)
        return self._flight is not None

    def leave(self, made: bool) -> None:
        """End a turn that was begun without ``with``. The second time does nothing."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        if self._token is not None:
            # Of another context, if the garbage collector or another thread ends the flight. What is over is ignored there.
            with contextlib.suppress(ValueError):
                _inside.reset(self._token)
        if made:
            _land(flight)
        else:
            _hand_over(flight)

    def _begin(self, kind: type[Any] | None, asynchronous: bool) -> Any:
        """Lead, or return a waiter of the kind that stands in the queue; None as well if it may not wait."""
        if self._key is None:
            return None
        inside = tuple(flight for flight in _inside.get() if not flight.over)
        where = (asynchronous, self._key)
        mine = Flight(where)
        with _lock:
            flight = _flights.setdefault(where, mine)
            if flight is mine:
                self._lead(mine, inside)
                return None
            if kind is None or flight.leads_to(inside):
                return None
            waiter = kind(flight, inside)
            flight.waiters.append(waiter)
            for outer in inside:
                outer.waits_for.append(flight)
            if flight.over:  # the garbage collector has just ended it
                _forget(waiter)
                return None
        return waiter

    def _lead(self, flight: Flight, inside: tuple[Flight, ...]) -> None:
        self._flight = flight
        self._token = _inside.set((*inside, flight))

    def _go_on(self, waiter: _Waiter) -> bool:
        with _lock:
            if waiter.leads:
                self._lead(waiter.flight, waiter.inside)
                return False
            if not waiter.released:
                _forget(waiter)
                waiter.flight.end()
                return False
        return True

    def _was_made(self) -> bool:
        """Whether the key has been made since the caller looked: then the caller looked too early."""
        if self._since == landings:
            return False
        with _lock:
            missed = landings - self._since
            return missed > len(_landed) or self._key in itertools.islice(reversed(_landed), missed)


@functools.cache
def store_of(configuration: _pinyon.Configuration) -> tuple[str, ...]:
    """Return what identifies the store that holds the entries: aliases that share it share flights. Empty: nothing is stored."""
    return tuple(configuration.places)


def _land(flight: Flight) -> None:
    """Tell all who wait that the value was made."""
    global landings
    with _lock:
        flight.end()
        landings += 1
        _landed.append(flight.where[1])
        waiters = list(flight.waiters)
        flight.waiters.clear()
        for waiter in waiters:
            waiter.release(leads=False)
    for waiter in waiters:
        with contextlib.suppress(RuntimeError):  # its loop is closed
            waiter.wake()


def _hand_over(flight: Flight) -> None:
    """Let the next one lead; without one, the flight is over."""
    while True:
        with _lock:
            if not flight.waiters:
                flight.end()
                return
            waiter = flight.waiters.popleft()
            waiter.release(leads=True)
        try:
            waiter.wake()
            return
        except RuntimeError:
            continue  # its loop is closed


def _forget(waiter: _Waiter) -> None:
    """Take a waiter out of the queue, if it is still there."""
    if not waiter.released:
        waiter.release(leads=False)
        with contextlib.suppress(ValueError):
            waiter.flight.waiters.remove(waiter)


def _withdraw(waiter: _Waiter) -> None:
    """A waiter that was interrupted or cancelled goes; if it was just told to lead, the next one leads."""
    with _lock:
        if not waiter.leads:
            _forget(waiter)
            return
    _hand_over(waiter.flight)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _start_afresh() -> None:
    """After a fork: the threads and loops of the parent are not here."""
    global _lock
    _lock = threading.RLock()
    for flight in _flights.values():
        flight.over = True
        flight.waiters.clear()
        flight.waits_for.clear()
    _flights.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
