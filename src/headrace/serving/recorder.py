"""Group commit: everybody who waits for durability shares one write, and what need not wait goes with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from headrace.core.errors import Unavailable
from headrace.core.ports import Clock, EventLog

_log = logging.getLogger(__name__)
MAX_WAITING = 10_000
WINDOW_S = 1.0
"""Best effort: the most that can be lost, in time. What waits longer means that the disk does not keep up."""
STORED, BEST_EFFORT, NONE = b"stored", b"best-effort; window=%g" % WINDOW_S, b"none"
"""How an answer is recorded, as its header says it; the window is in seconds."""
RETRY_S = 5.0
"""A disk that failed is worth another try after so long, or a server without traffic would never get any."""
_TELL_AGAIN_S = 60.0
_TOGETHER_S, _MOST_TOGETHER_S = 0.1, WINDOW_S / 2
"""Best effort: for how long the answers of a stream gather at least and at most, before they are written."""
_APART_S = 0.005
"""Best effort: streams are written one at a time, so far apart, and never in one burst: each write takes the
processor and the interpreter from those who answer. With many streams each gathers for longer."""

Done = Callable[[str | None], None]
"""Called on the event loop once a group is durable (None), or was not stored (why)."""


class _Waiting(NamedTuple):
    """Records of one stream; ``loop`` runs ``done``, which is told how it went, also where nobody waits."""

    stream: str
    payloads: Sequence[bytes]
    since_s: float
    done: Done | None = None
    loop: asyncio.AbstractEventLoop | None = None
    is_awaited: bool = True


class Recorder:
    """Writes events so that they survive ``kill -9``.

    One thread drains the streams that somebody waits for, all that they hold into one append each. While it
    writes, the next group gathers; so the cost of a disk flush is shared by as many as arrive during one.
    Streams that nobody waits for take turns.

    Args:
        max_waiting: records that may wait; beyond it callers are refused at once.
        on_lost: told of each stream with answers that were given and could not be stored, and how many.
        on_forgone: told of each project whose answers are given without record, once a minute at most.

    Example::

        await recorder.record("cars", encode_prediction(prediction))  # returns once it is durable
        recorder.note("cars", [encode_prediction(prediction)])  # returns at once
    """

    def __init__(
        self,
        events: EventLog,
        clock: Clock,
        *,
        max_waiting: int = MAX_WAITING,
        on_lost: Callable[[str, int], None] = lambda _stream, _n_records: None,
        on_forgone: Callable[[str], None] = lambda _project: None,
    ) -> None:
        self._events = events
        self._clock = clock
        self._max_waiting = max_waiting
        self._on_lost = on_lost
        self._on_forgone = on_forgone
        self._changed = threading.Condition()
        self._pending: dict[str, list[_Waiting]] = {}
        self._urgent: dict[str, None] = {}
        self._n_waiting = 0
        self._writing_since_s: float | None = None
        self._kicked: set[asyncio.AbstractEventLoop] = set()
        self._logged: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._forgone: dict[str, int] = {}
        self._told_s: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failing = False
        self._failed_s = 0.0

    async def record(
        self,
        project: str,
        payload: bytes,
        kind: str = "predictions",
        *,
        beside: tuple[str, bytes] | None = None,
    ) -> None:
        """Add ``payload`` to the stream ``<project>/<kind>``; returns once it is durable.

        Args:
            beside: kind and payload of a record that is forwarded with it: the writer is woken once for both.

        Raises:
            Unavailable: it was not stored: the disk refused, too many wait, or the recorder is closed.
        """
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(refusal: str | None) -> None:
            if not waits.done():
                waits.set_result(None) if refusal is None else waits.set_exception(Unavailable(refusal))

        self.submit(project, [payload], done, kind=kind)
        if beside is not None:
            kind, payload = beside
            self.forward(project, payload, kind)
        await waits

    def submit(
        self, project: str, payloads: Sequence[bytes], done: Done, *, kind: str = "predictions"
    ) -> None:
        """As :meth:`record`, for several records at once: ``done`` is called when they are durable, or not.

        Raises:
            Unavailable: too many wait, or the recorder is closed.
        """
        loop = asyncio.get_running_loop()
        self._add(_Waiting(f"{project}/{kind}", payloads, self._clock.monotonic_s(), done, loop))
        # The writer is woken once per turn of the loop, so that requests which arrived together are
        # written together.
        if loop not in self._kicked:
            self._kicked.add(loop)
            loop.call_soon(self._kick, loop)

    def note(self, project: str, payloads: Sequence[bytes]) -> None:
        """Add answers that are given before they are stored: at most ``WINDOW_S`` of them can be lost.

        Raises:
            Unavailable: the disk refuses or does not keep up, too many wait, or the recorder is closed.
        """
        if not self.keeps_up():
            raise Unavailable(
                "The prediction log does not keep up, and answers must not be lost. Try again later; a full "
                "or slow disk is the usual cause."
            )
        since_s = self._clock.monotonic_s()
        if self._add(_Waiting(f"{project}/predictions", payloads, since_s, is_awaited=False)):
            self._wake()

    def forward(self, project: str, payload: bytes, kind: str) -> None:
        """Add a record that nobody waits for, from any thread: at most ``WINDOW_S`` of them can be lost.

        One that cannot be stored is dropped, and the log says so.
        """
        stream = f"{project}/{kind}"
        dropped = partial(_tell_dropped, stream)
        try:
            since_s = self._clock.monotonic_s()
            if self._add(_Waiting(stream, [payload], since_s, dropped, is_awaited=False)):
                self._wake()
        except Unavailable as error:
            dropped(str(error))

    def record_blocking(self, project: str, payload: bytes, kind: str = "predictions") -> None:
        """As :meth:`record`, for a thread; never call it on an event loop."""
        waits: Future[None] = Future()

        def done(refusal: str | None) -> None:
            waits.set_result(None) if refusal is None else waits.set_exception(Unavailable(refusal))

        self._add(_Waiting(f"{project}/{kind}", [payload], self._clock.monotonic_s(), done))
        self._wake()
        waits.result()

    def logged(self) -> dict[str, int]:
        """Records made durable by this process, by stream."""
        return dict(self._logged)

    def waiting(self) -> int:
        """Records that wait to be written."""
        return self._n_waiting

    def lost(self) -> dict[str, int]:
        """Answers of this process that were given and could not be stored, by stream."""
        return dict(self._lost)

    def forgo(self, project: str) -> None:
        """An answer is given without record, because the project has it so; who watches is told beside it."""
        self._forgone[project] = self._forgone.get(project, 0) + 1
        now_s = self._clock.monotonic_s()
        if now_s - self._told_s.get(project, -_TELL_AGAIN_S) >= _TELL_AGAIN_S:
            self._told_s[project] = now_s
            _log.error("Answers of %s are given without record: they cannot be stored", project)
            threading.Thread(target=self._tell_forgone, args=(project,), daemon=True).start()

    def forgone(self) -> dict[str, int]:
        """Answers that this process has given without record, by project."""
        return dict(self._forgone)

    def healthy(self) -> bool:
        """Whether the last write succeeded and the next one will be accepted."""
        return not (self._closing or self._failing)

    def keeps_up(self) -> bool:
        """Whether answers may be noted: nothing has waited to be written for longer than ``WINDOW_S``."""
        if not self.healthy():
            return False
        with self._changed:
            oldest = next(iter(self._pending.values()), None)
            since_s = [] if oldest is None else [oldest[0].since_s]
            if self._writing_since_s is not None:
                since_s.append(self._writing_since_s)
        return not since_s or self._clock.monotonic_s() - min(since_s) <= WINDOW_S

    def is_closed(self) -> bool:
        """Whether nothing is recorded here any more."""
        return self._closing

    def is_worth_asking(self) -> bool:
        """Whether the next write is likely to succeed, or none has been tried for ``RETRY_S``."""
        return not (self._failing and self._clock.monotonic_s() - self._failed_s < RETRY_S)

    def close(self) -> None:
        """Write what waits, then end; later records are refused."""
        with self._changed:
            self._closing = True
        self._wake()
        if self._thread is not None:
            self._thread.join()

    def _add(self, waiting: _Waiting) -> bool:
        """Whether the writer has to be woken for what nobody waits for."""
        # Under the lock, so that nothing is added to a group that is already being written, nor
        # after the last group.
        with self._changed:
            if self._closing:
                raise Unavailable("The prediction log is closed: this server is shutting down. Try again.")
            if self._n_waiting + len(waiting.payloads) > self._max_waiting:
                raise Unavailable(
                    f"{self._max_waiting} answers wait to be stored and none more is accepted. "
                    "Try again later; a slow or failing disk is the usual cause."
                )
            was_idle, was_crowded = not self._pending, self._is_crowded()
            self._pending.setdefault(waiting.stream, []).append(waiting)
            self._n_waiting += len(waiting.payloads)
            if waiting.is_awaited:
                self._urgent[waiting.stream] = None
            return was_idle or (self._is_crowded() and not was_crowded)

    def _is_crowded(self) -> bool:
        return self._n_waiting > self._max_waiting // 2

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
                while not self._pending:
                    if self._closing:
                        return
                    self._changed.wait()
                if not self._must_write():
                    self._changed.wait_for(self._must_write, self._pause_s())
                streams = self._take()
                self._writing_since_s = min(group[0].since_s for group in streams.values())
            self._write(streams)
            self._writing_since_s = None

    def _must_write(self) -> bool:
        return bool(self._urgent) or self._closing or self._is_crowded()

    def _pause_s(self) -> float:
        """Each stream that nobody waits for has its turn once in so long, one after the other."""
        n_streams = len(self._pending)
        return min(max(_TOGETHER_S, n_streams * _APART_S), _MOST_TOGETHER_S) / n_streams

    def _take(self) -> dict[str, list[_Waiting]]:
        """All that the streams hold that somebody waits for, or else the one that has waited longest."""
        names = list(self._urgent) or [next(iter(self._pending))]
        self._urgent = {}
        streams = {name: self._pending.pop(name) for name in names}
        self._n_waiting -= sum(len(one.payloads) for group in streams.values() for one in group)
        return streams

    def _write(self, streams: dict[str, list[_Waiting]]) -> None:
        for stream, group in streams.items():
            payloads = [payload for waiting in group for payload in waiting.payloads]
            refusal: str | None = None
            try:
                self._events.append(stream, payloads)
            except Exception as cause:  # noqa: BLE001
                # Boundary: whatever went wrong, everybody who waits must learn that nothing was stored.
                _log.exception("%d records of %s were not stored", len(payloads), stream)
                refusal = (
                    f"The answer could not be stored ({cause}), so it is not given. "
                    "Try again later; a full disk is the usual cause."
                )
                self._lose(stream, group)
            else:
                self._logged[stream] = self._logged.get(stream, 0) + len(payloads)
            if refusal is not None:
                self._failed_s = self._clock.monotonic_s()
            self._failing = refusal is not None
            _tell(group, refusal)

    def _tell_forgone(self, project: str) -> None:
        try:
            self._on_forgone(project)
        except Exception:  # noqa: BLE001
            # Boundary: as for lost ones. It is tried again while answers go on being given without record.
            _log.exception("Nobody could be told that answers of %s are given without record", project)

    def _lose(self, stream: str, group: list[_Waiting]) -> None:
        """Answers that were given already are gone: never without saying so."""
        n_lost = sum(len(waiting.payloads) for waiting in group if waiting.done is None)
        if n_lost:
            self._lost[stream] = self._lost.get(stream, 0) + n_lost
            try:
                self._on_lost(stream, n_lost)
            except Exception:  # noqa: BLE001
                # Boundary: it is somebody else's work, and the store may be what fails.
                _log.exception("Nobody could be told of %d lost answers of %s", n_lost, stream)


def _tell_dropped(stream: str, refusal: str | None) -> None:
    if refusal is not None:
        _log.warning("A record of %s was dropped: %s", stream, refusal)


def _tell(group: list[_Waiting], refusal: str | None) -> None:
    """Wake those who wait; one call per event loop, however many wait there."""
    loops: dict[asyncio.AbstractEventLoop, list[Done]] = {}
    for waiting in group:
        if waiting.done is None:
            continue
        if waiting.loop is None:
            waiting.done(refusal)
        else:
            loops.setdefault(waiting.loop, []).append(waiting.done)
    for loop, dones in loops.items():
        # A loop that has been closed has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_call, dones, refusal)


def _call(dones: list[Done], refusal: str | None) -> None:
    for done in dones:
        try:
            done(refusal)
        except Exception:  # noqa: BLE001
            # Boundary: those who wait share no more than a write; what fails for one is told to the others.
            _log.exception("An answer that was stored, or refused, could not be passed on")
