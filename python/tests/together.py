"""Callers that meet: threads with a result, and waiting for what happens in another one. Nothing here depends on speed."""

import asyncio
import threading
import time

#: Seconds after which a test has failed.
LIMIT = 20


def waiting():
    """How many callers stand in the queues of all flights."""
    from pinyon.django import single_flight

    return sum(len(flight.waiters) for flight in list(single_flight._flights.values()))


def until(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


async def auntil(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.001)


class Thread(threading.Thread):
    """`Thread(function).result()`: what the function returns or raises."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function, self.answer, self.error = function, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.function()
        except BaseException as error:
            self.error = error

    def result(self):
        self.join(LIMIT)
        assert not self.is_alive(), "the thread hangs"
        if self.error is not None:
            raise self.error
        return self.answer


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, LIMIT))
