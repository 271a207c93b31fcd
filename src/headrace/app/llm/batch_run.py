"""Answers batches that wait in the queue: each line by the way of every other call, some at a time.

What was answered is durable before it is counted. Answers lie in parts, one for each time that somebody
worked on the batch; killed anywhere, whoever goes on reads which lines are in them and asks the rest. When
all are, the parts become the files that the caller gets. A line that was under way when its process was
killed is asked again: it may be paid twice, and is in the output once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple

from headrace.app.composition import App
from headrace.app.llm.batch_files import Parts, Results, validate
from headrace.app.llm.batches import KIND
from headrace.app.llm.kept_files import forget_outputs
from headrace.core.errors import Conflict, HeadraceError, NotFound
from headrace.core.ids import new_id
from headrace.core.jobs import Claim
from headrace.core.ports import Taken
from headrace.gateway.llm.batches import CANCELLED, EXPIRED, Line, answered, is_transient, numbered, read_line
from headrace.store.line_files import lines_of
from headrace.store.llm_batches import BatchState, LineError, LlmBatch
from headrace.store.processes import MachineProcesses, is_gone, mark_of

_ENDS: dict[BatchState, tuple[BatchState, str]] = {
    "cancelling": ("cancelled", CANCELLED),
    "in_progress": ("expired", EXPIRED),
}
"""How a batch ends that is not through, and why lines of it were not answered."""
CLAIM_S = 30.0
AT_ONCE = 8
"""Lines of one batch that wait for their answers at the same time."""
MOST_BATCHES = 4
"""That one process answers at the same time."""
SLICE_S = 240.0
"""After so long a batch lets others have a turn; less than an item of the queue is lent for."""
_TRIES = 5
_FIRST_PAUSE_S = 1.0
_LOOK_S = 1.0
_BUSY_S = 2.0
_UNKNOWN = 5
_MACHINE = MachineProcesses()


class LineAnswer(NamedTuple):
    """What a request was answered: status and body as over HTTP, and the answer's id, if it has one."""

    status: int
    body: bytes
    answer_id: str


Ask = Callable[[str, str, bytes], Awaitable[LineAnswer]]
"""Asks in somebody's name at an address; what it raises is a defect, every refusal is an answer."""


class _Lost(Exception):
    """Another works on the batch now, or it is gone."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast batches are answered.

    Attributes:
        claim_s: for how long a killed process's batch stays its own, unless it was on this machine; the same
            for all that share a store.
    """

    claim_s: float = CLAIM_S
    at_once: int = AT_ONCE
    most: int = MOST_BATCHES
    slice_s: float = SLICE_S


USUAL = Pace()


class BatchWork:
    """Works on batches when the queue gives their turns.

    Args:
        sleep: waits between two tries of a line.
    """

    def __init__(
        self,
        app: App,
        ask: Ask,
        *,
        pace: Pace = USUAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._ask = ask
        self._pace = pace
        self._sleep = sleep
        self._n_running = 0
        self._stopping = False

    def leave(self) -> None:
        """Begin no line any more; turns end when what is under way has been answered."""
        self._stopping = True

    async def turn(self, taken: Taken) -> None:
        """Answer some of the batch that an item stands for, and give the item back."""
        queue, batches = self._app.queue, self._app.store.llm_batches
        batch = await asyncio.to_thread(batches.find, taken.item.removeprefix(f"{KIND}:"))
        if batch is None and taken.attempt < _UNKNOWN:  # a broker may give it before it is stored
            await asyncio.to_thread(queue.again, taken, _BUSY_S)
        elif batch is None or batch.is_over:
            await asyncio.to_thread(queue.done, taken)
        elif self._stopping or self._n_running >= self._pace.most:
            await asyncio.to_thread(queue.again, taken, _BUSY_S)
        elif self._is_claimed(batch):
            await asyncio.to_thread(queue.again, taken, self._pace.claim_s)
        else:
            self._n_running += 1
            try:
                is_over = await self._work(batch)
            except (_Lost, Conflict):
                is_over = False
            finally:
                self._n_running -= 1
            give = queue.done if is_over else lambda one: queue.again(one, 0.0)
            await asyncio.to_thread(give, taken)

    async def _work(self, batch: LlmBatch) -> bool:
        run = _Run(self._app, batch, self._pace, self._one)
        try:
            return await run.work(lambda: self._stopping)
        except NotFound as error:  # its file was deleted, or a person in it erased
            await run.fail([LineError(code="file_not_found", message=str(error))])
            return True
        finally:
            await run.release()

    async def _one(self, batch: LlmBatch, number: int, line: Line) -> bytes:
        """The result of one line."""
        for n_failed in count(1):
            said = await self._ask(batch.owner, batch.endpoint, line.body)
            if n_failed == _TRIES or not is_transient(said.status, said.body):
                break
            await self._sleep(_FIRST_PAUSE_S * 2.0 ** (n_failed - 1))
        return answered(batch.id, number, line, said.status, said.body, said.answer_id)

    def _is_claimed(self, batch: LlmBatch) -> bool:
        """A claim from before the clock was put back is none, nor is that of a process which is gone."""
        claim, now = batch.claim, self._app.clock.now()
        if claim is None or not now < claim.until <= now + timedelta(seconds=self._pace.claim_s):
            return False
        return not is_gone(claim.by.partition("@")[2], _MACHINE)


class _Run:
    """One turn of one batch."""

    def __init__(
        self,
        app: App,
        batch: LlmBatch,
        pace: Pace,
        one: Callable[[LlmBatch, int, Line], Awaitable[bytes]],
    ) -> None:
        self._app = app
        self._batch = batch
        self._me = f"{new_id(app.clock.now())}@{mark_of(_MACHINE)}"
        self._pace = pace
        self._one = one
        self._parts = Parts(app.line_files, batch)
        self._saved_s = 0.0

    async def work(self, is_stopping: Callable[[], bool]) -> bool:
        """Whether the batch is over."""
        await self._save()
        if self._batch.state == "validating":
            found = await asyncio.to_thread(validate, self._app, self._batch)
            if found.errors:
                await self.fail(found.errors)
                return True
            await self._save(state="in_progress", n_total=found.n_lines)
        results = await asyncio.to_thread(self._parts.results)
        if self._goes_on():
            ends_s = self._app.clock.monotonic_s() + self._pace.slice_s
            is_through = await self._go_on(
                results, lambda: is_stopping() or self._app.clock.monotonic_s() >= ends_s
            )
            if is_through:
                await self._save(state="finalizing")
            elif self._goes_on() and not self._is_late:
                return False
        await self._finish()
        return True

    async def fail(self, errors: list[LineError]) -> None:
        """It cannot be asked."""
        await self._save(state="failed", errors=tuple(errors))
        await asyncio.to_thread(self._parts.remove)

    async def release(self) -> None:
        """Let others have it."""
        await asyncio.to_thread(self._parts.close)
        claim = self._batch.claim
        if claim is not None and claim.by == self._me:
            with contextlib.suppress(_Lost, HeadraceError):
                await self._save(release=True)

    def _goes_on(self) -> bool:
        return self._batch.state == "in_progress"

    @property
    def _is_late(self) -> bool:
        return self._app.clock.now() >= self._batch.expires_at

    async def _go_on(self, results: Results, is_enough: Callable[[], bool]) -> bool:
        """Ask what is left; whether that was all."""
        left = self._left(results)
        under_way: set[asyncio.Task[bytes]] = set()
        broken: list[BaseException] = []
        is_through = False
        try:
            while True:
                is_over = bool(broken) or is_enough() or self._is_late or not self._goes_on()
                while not (is_over or is_through) and len(under_way) < self._pace.at_once:
                    found = await asyncio.to_thread(next, left, None)
                    if found is None:
                        is_through = True
                        break
                    under_way.add(asyncio.ensure_future(self._one(self._batch, *found)))
                if broken and not under_way:
                    raise broken[0]
                if not under_way or self._batch.state == "cancelling" or self._is_late:
                    return is_through and not under_way
                done, under_way = await asyncio.wait(
                    under_way, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
                )
                said = [(task, task.exception()) for task in done]
                # Its siblings are paid for: they are kept before a defect ends the turn.
                await self._keep([task.result() for task, error in said if error is None], results)
                broken += [error for _, error in said if error is not None]
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _left(self, results: Results) -> Iterator[tuple[int, Line]]:
        batch = self._batch
        blocks = self._app.line_files.blocks(batch.subject, batch.input_file)
        for number, line in numbered(lines_of(blocks)):
            read = read_line(line, batch.endpoint, batch.subject)
            if read.custom_id not in results.ids:
                yield number, read

    async def _keep(self, lines: list[bytes], results: Results) -> None:
        """Durable first, counted then; and look whether the batch is still ours."""
        if lines:
            await asyncio.to_thread(self._parts.write, lines)
            for line in lines:
                results.add(line)
        standing = await asyncio.to_thread(self._app.store.llm_batches.find, self._batch.id)
        is_due = self._app.clock.monotonic_s() - self._saved_s >= min(_LOOK_S, self._pace.claim_s / 3)
        if is_due or standing is None or standing.revision != self._batch.revision:
            await self._save(n_completed=results.n_answered, n_failed=results.n_refused)

    async def _finish(self) -> None:
        """Make the files of what was answered, then say so."""
        await self._save()
        if await asyncio.to_thread(self._is_gone):
            raise NotFound(f"File {self._batch.input_file} was deleted, and with it all that was made of it.")
        final, why = _ENDS.get(self._batch.state, ("completed", ""))
        if not self._batch.n_total:
            why = ""  # it was cancelled before anybody had looked through its lines
        made = await asyncio.to_thread(self._parts.finish, self._app, why)
        await self._save(
            state=final,
            output_file=made.output_file,
            error_file=made.error_file,
            n_completed=made.n_answered,
            n_failed=made.n_refused,
        )
        await asyncio.to_thread(self._parts.remove)
        if await asyncio.to_thread(self._is_gone):  # meanwhile, by who could not see the files yet
            await asyncio.to_thread(forget_outputs, self._app, self._batch)
        detail = {"batch": self._batch.id, "state": final, "answered": made.n_answered, "of": made.n_total}
        project = f"project:{self._batch.subject}"
        await asyncio.to_thread(
            self._app.store.audit.append, self._batch.owner, "llm.batch.end", project, detail
        )

    def _is_gone(self) -> bool:
        """Whether its requests were deleted, or a person in them erased."""
        file = self._app.store.llm_files.find(self._batch.input_file)
        return file is None or file.state != "kept"

    async def _save(self, *, release: bool = False, **changes: Any) -> None:
        """Write down how far it is and that it is ours; a wish to cancel it stays.

        Raises:
            _Lost: another has it.
        """
        await asyncio.to_thread(self._change, release, changes)

    def _change(self, release: bool, changes: dict[str, Any]) -> None:
        store, now = self._app.store.llm_batches, self._app.clock.now()
        claim = None if release else Claim(by=self._me, until=now + timedelta(seconds=self._pace.claim_s))
        while True:
            batch = self._batch
            state = changes.get("state", batch.state)
            if batch.state == "cancelling" and state in ("in_progress", "finalizing"):
                state = "cancelling"
            since = batch.since if state in batch.since else {**batch.since, state: now}
            made = replace(
                batch, **(changes | {"state": state}), since=since, claim=claim, revision=batch.revision + 1
            )
            try:
                self._batch = store.change(made)
            except Conflict:
                self._batch = self._standing(batch)
            except NotFound as error:
                raise _Lost from error
            else:
                self._saved_s = self._app.clock.monotonic_s()
                return

    def _standing(self, before: LlmBatch) -> LlmBatch:
        """What another has made of it: a wish to cancel it is no claim."""
        standing = self._app.store.llm_batches.find(before.id)
        claim = None if standing is None else standing.claim
        if standing is None or standing.is_over:
            raise _Lost
        if claim is not None and claim.by != self._me and claim != before.claim:
            raise _Lost
        return standing
