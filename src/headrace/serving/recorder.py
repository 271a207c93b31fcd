"""Group commit: everybody who waits for durability shares one write."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import Future
from typing import NamedTuple

from headrace.core.errors import Unavailable
from headrace.core.ports import EventLog

_log = logging.getLogger(__name__)
MAX_WAITING = 10_000


class _Waiting(NamedTuple):
    stream: str
    payload: bytes
    done: asyncio.Future[None] | Future[None]


class Recorder:
    """Writes events so that they survive ``kill -9`` before anybody is told that they were written.

    One thread drains everything that waits into one append per stream. While it writes, the next
    group gathers; so the cost of a disk flush is shared by as many as arrive during one.

    Args:
        max_waiting: records that may wait; beyond it callers are refused at once.

    Example::

        await recorder.record("cars", encode_prediction(prediction))
    """

    def __init__(self, events: EventLog, *, max_waiting: int = MAX_WAITING) -> None:
        self._events = events
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._queue: list[_Waiting] = []
        self._kicked: set[asyncio.AbstractEventLoop] = set()
        self._logged: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failing = False

    async def record(self, project: str, payload: bytes, kind: str = "predictions") -> None:
        """Add ``payload`` to the stream ``<project>/<kind>``; returns once it is durable.

        Raises:
            Unavailable: it was not stored: the disk refused, too many wait, or the recorder is closed.
        """
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._add(_Waiting(f"{project}/{kind}", payload, done))
        if loop not in self._kicked:
            # The writer is woken once per turn of the loop, so that requests which arrived together
            # are written together.
            self._kicked.add(loop)
            loop.call_soon(self._kick, loop)
        await done

    def record_blocking(self, project: str, payload: bytes, kind: str = "predictions") -> None:
        """As :meth:`record`, for a thread; never call it on an event loop."""
        done: Future[None] = Future()
        self._add(_Waiting(f"{project}/{kind}", payload, done))
        self._wake()
        done.result()

    def logged(self) -> dict[str, int]:
        """Records made durable by this process, by stream."""
        return dict(self._logged)

    def healthy(self) -> bool:
        """Whether the last write succeeded and the next one will be accepted."""
        return not (self._closing or self._failing)

    def close(self) -> None:
        """Write what waits, then end; later records are refused."""
        with self._changed:
            self._closing = True
        self._wake()
        if self._thread is not None:
            self._thread.join()

    def _add(self, waiting: _Waiting) -> None:
        # Under the lock, so that nothing is added to a group that is already being written, nor
        # after the last group.
        with self._changed:
            if self._closing:
                raise Unavailable("The prediction log is closed: this server is shutting down. Try again.")
            if len(self._queue) >= self._max_waiting:
                raise Unavailable(
                    f"{self._max_waiting} answers wait to be stored and none more is accepted. "
                    "Try again later; a slow or failing disk is the usual cause."
                )
            self._queue.append(waiting)

    def _kick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._kicked.discard(loop)
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="headrace-recorder", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    if self._closing:
                        return
                    self._changed.wait()
                batch, self._queue = self._queue, []
            self._write(batch)

    def _write(self, batch: list[_Waiting]) -> None:
        streams: dict[str, list[_Waiting]] = {}
        for waiting in batch:
            streams.setdefault(waiting.stream, []).append(waiting)
        for stream, group in streams.items():
            refusal: str | None = None
            try:
                self._events.append(stream, [waiting.payload for waiting in group])
            except Exception as cause:  # noqa: BLE001
                # Boundary: whatever went wrong, everybody who waits must learn that nothing was stored.
                _log.exception("%d records of %s were not stored", len(group), stream)
                refusal = (
                    f"The answer could not be stored ({cause}), so it is not given. "
                    "Try again later; a full disk is the usual cause."
                )
            else:
                self._logged[stream] = self._logged.get(stream, 0) + len(group)
            self._failing = refusal is not None
            _tell(group, refusal)


def _tell(group: list[_Waiting], refusal: str | None) -> None:
    """Wake those who wait; one call per event loop, however many wait there."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiting in group:
        if isinstance(waiting.done, asyncio.Future):
            loops.setdefault(waiting.done.get_loop(), []).append(waiting.done)
        else:
            _resolve([waiting.done], refusal)
    for loop, futures in loops.items():
        # A loop that has been closed has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, futures, refusal)


def _resolve(futures: list[asyncio.Future[None]] | list[Future[None]], refusal: str | None) -> None:
    for future in futures:
        if future.done():
            continue
        if refusal is None:
            future.set_result(None)
        else:
            future.set_exception(Unavailable(refusal))
