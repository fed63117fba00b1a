"""Asks an HTTP/1.1 server on loopback over many connections that stay open, each with one request at a time.

    python -m bench.http_load PORT PATH --connections 300 --seconds 5

`{}` in PATH becomes the number of the connection. It prints JSON: requests, errors, seconds, and milliseconds of the median
and of the slowest hundredth. An error is an answer other than 200, and a connection that was lost; a new connection takes its
place.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import time
from typing import Any

HEAD_END = b"\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection. It asks again as soon as an answer is complete, until `end`."""

    def __init__(self, path: str, end: float, times: list[float]) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self.end = end
        self.times = times
        self.failed = False
        self.buffer = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, and have all that one has.
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        self.asked = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if HEAD_END in self.buffer and not self.buffer.startswith(b"HTTP/1.1 200 "):
            # How long such an answer is does not matter.
            self.transport.abort()
            return
        size = self.answer_size()
        if size is None or len(self.buffer) < size:
            return
        now = time.perf_counter()
        self.times.append(now - self.asked)
        self.buffer.clear()
        if now < self.end:
            self.ask()
        else:
            self.finish()

    def answer_size(self) -> int | None:
        """How long the answer is with its head; None while the head is not complete."""
        head_end = self.buffer.find(HEAD_END)
        if head_end < 0:
            return None
        for line in self.buffer[:head_end].lower().split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                return head_end + len(HEAD_END) + int(value)
        raise ValueError("an answer without Content-Length")

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.failed = True
            self.finish()

    def finish(self) -> None:
        self.done.set_result(None)
        self.transport.close()


async def load(port: int, path: str, connections: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    times: list[float] = []

    async def connect(number: int) -> Client:
        client = Client(path.replace("{}", str(number)), start + seconds, times)
        await loop.create_connection(lambda: client, "127.0.0.1", port)
        # The patience is for a server that hangs.
        await asyncio.wait([client.done], timeout=seconds + 30)
        return client

    async def one(number: int) -> int:
        """How many errors there were on this connection and those in its place."""
        errors = 0
        while True:
            client = await connect(number)
            if client.done.done() and not client.failed:
                return errors
            errors += 1
            if time.perf_counter() >= start + seconds:
                return errors

    errors = sum(await asyncio.gather(*(one(number) for number in range(connections))))
    elapsed = time.perf_counter() - start
    times.sort()
    return {
        "requests": len(times),
        "errors": errors,
        "seconds": elapsed,
        "median_ms": times[len(times) // 2] * 1000 if times else 0.0,
        "p99_ms": times[len(times) * 99 // 100] * 1000 if times else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    # The less the client takes of the machine, the more of the server is seen.
    run = __import__("uvloop").run if importlib.util.find_spec("uvloop") else asyncio.run
    print(json.dumps(run(load(options.port, options.path, options.connections, options.seconds))))


if __name__ == "__main__":
    main()
