"""Whose turn it is: how many requests a model that takes its time answers at once, and how many may wait.

Rows that queued while the model was busy are asked together, where that is found to be quicker. A row that
finds the model idle is asked alone, at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from headrace.core.errors import Busy
from headrace.core.ports import Clock
from headrace.core.project import ServingSpec
from headrace.serving.inputs import Values, read_row
from headrace.serving.models import LoadedModel, LoadedModels
from headrace.serving.scoring import Scored, not_through, score_together

_Result = TypeVar("_Result")
_Row = Sequence[Any]
MOST_ROWS = 64
_QUICKER = 1.6
"""Twice as many rows are taken where they take less than so many times as long."""
_BATCHES_KNOWN = 256


class RowAnswer(NamedTuple):
    """The outputs of one row, in the model's order, and how long the model took for all that were asked."""

    outputs: Sequence[Any]
    infer_ms: float


class AskedTogether(Exception):
    """The model failed on several rows, and nobody knows yet on which: each is to be asked again."""


@dataclass(kw_only=True, eq=False)
class Waiting:
    """A row that waits for its turn.

    Attributes:
        done: told on the event loop what came of it; a :class:`Busy` when it waited too long.
        since_s: when it was put into the queue, by the event loop's clock.
    """

    values: _Row
    done: Callable[[RowAnswer | Exception], None]
    since_s: float = 0.0


@dataclass(kw_only=True)
class BatchSize:
    """How many rows are asked at once: more for as long as that is quicker, and one after a failure.

    Args:
        longest_s: no batch is made larger that might take longer.

    Example::

        size = BatchSize(longest_s=5.0)
        size.took(1, 0.003)
        size.n_rows  # 2
    """

    longest_s: float
    n_rows: int = 1
    _alone: int = 0
    _n_batches: int = 0
    _shortest_s: dict[int, float] = field(default_factory=dict)

    def took(self, n_rows: int, duration_s: float) -> None:
        """Learn from a batch that was answered. It is found out anew from time to time."""
        self._alone = max(0, self._alone - n_rows)
        if n_rows != self.n_rows or self._alone:
            return
        self._n_batches += 1
        if self._n_batches >= _BATCHES_KNOWN:
            self.n_rows, self._n_batches, self._shortest_s = 1, 0, {}
            return
        shortest = self._shortest_s
        shortest[n_rows] = min(duration_s, shortest.get(n_rows, duration_s))
        half = n_rows // 2
        if half in shortest and shortest[n_rows] > _QUICKER * shortest[half]:
            self.n_rows = half
        elif self._may_grow(n_rows):
            self.n_rows = 2 * n_rows

    def failed(self, n_waiting: int) -> None:
        """Ask so many rows one by one from here on: among them is the one that the model fails on."""
        self.n_rows, self._alone = 1, n_waiting

    def _may_grow(self, n_rows: int) -> bool:
        larger = self._shortest_s.get(2 * n_rows)
        return (
            2 * n_rows <= MOST_ROWS
            and 2 * self._shortest_s[n_rows] <= self.longest_s
            and (larger is None or larger <= _QUICKER * self._shortest_s[n_rows])
        )


class Turns:
    """The turns of one model, in threads of its own: one that hangs keeps no thread from another.

    Args:
        spec: ``concurrency`` requests are answered at once, and ``queue`` wait, for ``timeout_s`` at most.

    Example::

        turns = Turns(loaded, project.serving, clock)
        scored = await turns.take(score, loaded, values)
        answer = await turns.take_row(row)
    """

    def __init__(self, loaded: LoadedModel, spec: ServingSpec, clock: Clock) -> None:
        self.loaded = loaded
        self.spec = spec
        self._clock = clock
        name = f"headrace-{loaded.release_id[:8]}"
        self._threads = ThreadPoolExecutor(spec.concurrency, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._taken = 0
        self._rows: deque[Waiting] = deque()
        self._is_called = False
        self._timed_in: asyncio.AbstractEventLoop | None = None
        self._size = BatchSize(longest_s=spec.timeout_s / 2)

    async def take(self, call: Callable[..., _Result], *given: object) -> _Result:
        """What ``call`` returns, called with ``given`` in a thread when its turn has come.

        Raises:
            Busy: too many wait already, or the others took too long.
        """
        with self._lock:
            if self._taken >= self.spec.concurrency + self.spec.queue:
                raise self._too_many()
            self._taken += 1
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        def turn() -> _Result:
            loop.call_soon_threadsafe(begun.set)
            return call(*given)

        result = self._threads.submit(turn)
        # Once the thread is free again, which may be long after whoever asked has left.
        result.add_done_callback(self._give_back)
        try:
            async with asyncio.timeout(self.spec.timeout_s):
                await begun.wait()
        except TimeoutError:
            if result.cancel():
                raise self._too_slow() from None
        except asyncio.CancelledError:
            result.cancel()
            raise
        return await asyncio.wrap_future(result)

    async def take_row(self, values: _Row) -> RowAnswer:
        """The answer to one row, asked together with others that wait.

        Raises:
            Busy: as :meth:`take`.
            Exception: whatever the model raises.
        """
        while True:
            try:
                return await self._wait(values)
            except AskedTogether:
                continue

    def join(self, rows: Sequence[Waiting]) -> Sequence[Waiting]:
        """Let rows wait for their turn; called on the event loop, where ``done`` of each is called too.

        Returns:
            those that may not wait, because too many do already.
        """
        loop = asyncio.get_running_loop()
        for row in rows:
            row.since_s = loop.time()
        with self._lock:
            n_free = max(self.spec.concurrency + self.spec.queue - self._taken, 0)
            taken, refused = rows[:n_free], rows[n_free:]
            self._taken += len(taken)
            self._rows.extend(taken)
            is_called, self._is_called = self._is_called, True
        if not is_called:
            self._threads.submit(self._ask, loop)
        if self._timed_in is not loop:
            self._timed_in = loop
            loop.call_later(self.spec.timeout_s, self._expire, loop)
        return refused

    async def _wait(self, values: _Row) -> RowAnswer:
        answered: asyncio.Future[RowAnswer] = asyncio.get_running_loop().create_future()

        def done(found: RowAnswer | Exception) -> None:
            if answered.done():
                return
            if isinstance(found, Exception):
                answered.set_exception(found)
            else:
                answered.set_result(found)

        row = Waiting(values=values, done=done)
        if self.join([row]):
            raise self._too_many()
        try:
            return await answered
        except asyncio.CancelledError:
            self._leave(row)
            raise

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask the rows that wait longest; in a thread."""
        with self._lock:
            rows = [self._rows.popleft() for _ in range(min(len(self._rows), self._size.n_rows))]
            self._is_called = bool(self._rows)
        if self._is_called:
            self._threads.submit(self._ask, loop)
        if not rows:
            return
        started_s = self._clock.monotonic_s()
        found: Sequence[RowAnswer | Exception]
        try:
            outputs = score_together(self.loaded, [row.values for row in rows])
            took_s = self._clock.monotonic_s() - started_s
            found = [RowAnswer(one, took_s * 1000) for one in outputs]
        except (Exception, SystemExit) as error:  # noqa: BLE001
            # Boundary: a model is user code, and whoever waits has to hear of it.
            told = not_through(error) if isinstance(error, StopIteration | SystemExit) else error
            found = [told if len(rows) == 1 else AskedTogether() for _ in rows]
        with self._lock:
            if any(isinstance(one, AskedTogether) for one in found):
                self._size.failed(len(rows) + len(self._rows))
            elif isinstance(found[0], RowAnswer):
                self._size.took(len(rows), took_s)
        self._give_back_rows(len(rows))
        loop.call_soon_threadsafe(_tell, rows, found)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send away those who have waited too long, and look again when the next of them would have."""
        until_s = loop.time() - self.spec.timeout_s
        late: list[Waiting] = []
        with self._lock:
            while self._rows and self._rows[0].since_s <= until_s:
                late.append(self._rows.popleft())
            left_s = self._rows[0].since_s - until_s if self._rows else None
        if left_s is None:
            self._timed_in = None
        else:
            loop.call_later(left_s, self._expire, loop)
        if late:
            self._give_back_rows(len(late))
            _tell(late, [self._too_slow()] * len(late))

    def _leave(self, row: Waiting) -> None:
        with self._lock:
            if row not in self._rows:
                return
            self._rows.remove(row)
        self._give_back_rows(1)

    def _too_many(self) -> Busy:
        return Busy(
            f"{self.spec.queue} requests wait for release {self.loaded.release_id} already. Try again "
            "later; serving.concurrency and serving.queue say how many are answered, and may wait."
        )

    def _too_slow(self) -> Busy:
        return Busy(
            f"Release {self.loaded.release_id} answered others for {self.spec.timeout_s:g} s. "
            "Try again later."
        )

    def _give_back(self, _result: Future[_Result]) -> None:
        self._give_back_rows(1)

    def _give_back_rows(self, n_rows: int) -> None:
        with self._lock:
            self._taken -= n_rows


class TurnsByModel:
    """The turns of each model that takes its time, the same for all who ask it."""

    def __init__(self, models: LoadedModels, clock: Clock) -> None:
        self._models = models
        self._clock = clock
        self._known: dict[str, Turns] = {}

    def of(self, loaded: LoadedModel, spec: ServingSpec) -> Turns:
        """Its turns, by what its project says now; those of models that are gone are forgotten."""
        turns = self._known.get(loaded.release_id)
        if turns is None or turns.spec != spec or turns.loaded is not loaded:
            self._known = {name: one for name, one in self._known.items() if self._models.find(name)}
            turns = self._known[loaded.release_id] = Turns(loaded, spec, self._clock)
        return turns


def _tell(rows: Sequence[Waiting], found: Sequence[RowAnswer | Exception]) -> None:
    for row, one in zip(rows, found, strict=True):
        row.done(one)


async def score_in_turn(loaded: LoadedModel, values: Values, turns: Turns, clock: Clock) -> Scored:
    """As :func:`headrace.serving.scoring.score` of one row, which is read at once and then waits.

    Raises:
        InvalidInput: a value is not what the model expects.
        Busy, Exception: as :meth:`Turns.take_row`.
    """
    started_s = clock.monotonic_s()
    row = read_row(loaded, values)
    prepare_ms = (clock.monotonic_s() - started_s) * 1000
    outputs, infer_ms = await turns.take_row(row.values)
    return Scored(
        row.columns,
        {name: [value] for name, value in zip(loaded.model.outputs, outputs, strict=True)},
        loaded.unseen_in_row(row.values) if loaded.known else None,
        None,
        prepare_ms,
        infer_ms,
    )
