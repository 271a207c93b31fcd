"""A small HTTP server whose answers a test decides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

Answer = Callable[[int], Awaitable[int]]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A small server: ``answer`` is told the number of the request and says the status."""
    started: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
    count = iter(range(1_000_000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
            status = await answer(next(count))
            writer.write(b"HTTP/1.1 %d Said\r\ncontent-length: 2\r\n\r\n{}" % status)

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(quietly, "127.0.0.1", 0)
        stop = asyncio.Event()
        stops.append(stop)
        started.set_result((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
        await stop.wait()
        server.close()

    stops: list[asyncio.Event] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    loop, port = started.result(10)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        loop.call_soon_threadsafe(stops[0].set)
        thread.join(10)
