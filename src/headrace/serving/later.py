"""Requests that were accepted are answered when their turn comes, by the way that all requests go.

What was accepted is in the store before anybody is told so; the queue says whose turn it is. An item that
comes twice, because a process was killed or a broker was restarted, is answered once: who answers claims it,
and if it was recorded, its answer is in the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from headrace.access.privacy.fields import FieldRules
from headrace.core.errors import Conflict, HeadraceError, NotFound, Unavailable, UserError
from headrace.core.identity import Principal
from headrace.core.jobs import CallbackState, Job, JobState
from headrace.core.ports import Clock, EventLog, JobStore, Queue, Taken
from headrace.core.record import Prediction
from headrace.serving import mlflow_forms, oip, record_form, telling
from headrace.serving.callbacks import Callbacks
from headrace.serving.claims import CLAIM_S, Claims
from headrace.serving.handler import Handler
from headrace.store.compressing import decompress
from headrace.store.payloads import Payloads
from headrace.store.records import decode_prediction

_log = logging.getLogger(__name__)
MAX_TRIES = 5
_LEASE_S = 300.0
_IDLE_S = 0.2
_TOGETHER = 32
_FIRST_PAUSE_S = 2.0
_BATCH = 1000
_CALLBACK = "#callback"
"""Ends the items that stand for telling a caller, and not for answering."""
MOST_CALLS = 8
"""How often a receiver is called before it is given up: for about four minutes."""
_UNKNOWN = 5
"""How often an item is looked up that has no request: a broker may give it before the request is stored."""


Form = Literal["record", "tensors", "invocation"]


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked: the arguments of :meth:`Handler.predict`, and the protocol that it is answered in.

    Attributes:
        request_id: the caller's own id of it, which the answer names.
    """

    columns: dict[str, list[Any]]
    key: str | None = None
    keys: list[str] | None = None
    event_time: datetime | None = None
    version: str | None = None
    outputs: tuple[str, ...] = ()
    request_id: str | None = None
    form: Form = "record"


_asked = msgspec.json.Decoder(Question)


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A request that is answered later.

    Attributes:
        state: ``pending``, ``done`` or ``failed``.
        attempts: how often it was tried and could not be answered.
        answer: once it is done, as the request itself would have given it; ``error`` says why there is none,
            and ``kind`` what kind of error it is.
        callback: whether the address that the request named has been told: ``pending``, ``delivered`` or
            ``failed``; None while there is nothing to tell, or nobody.
    """

    id: str
    project: str
    state: JobState
    accepted_at: datetime
    attempts: int
    ended_at: datetime | None
    answer: dict[str, Any] | None
    error: str | None
    kind: str | None
    callback: CallbackState | None


def told(job: Job, payloads: Payloads) -> Accepted:
    """What the caller is told of a request."""
    answer = None
    if job.answer is not None:
        answer = msgspec.json.decode(payloads.open(job.project, place_of(job.id), job.answer))
    return Accepted(
        id=job.id,
        project=job.project,
        state=job.state,
        accepted_at=job.at,
        attempts=job.attempts,
        ended_at=job.ended_at,
        answer=answer,
        error=job.error,
        kind=job.kind,
        callback=job.callback_state,
    )


def place_of(job_id: str) -> str:
    """What a job's payloads are sealed for."""
    return f"prediction {job_id}"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Where requests and their answers are."""

    jobs: JobStore
    queue: Queue
    events: EventLog
    payloads: Payloads


class OtherWork(Protocol):
    """What else waits in the queue, item by item."""

    async def turn(self, taken: Taken) -> None:
        """Work on an item for a while, and give it back."""

    def leave(self) -> None:
        """The process ends: turns end as soon as they can."""


class Later:
    """Answers what waits in the queue.

    Args:
        resolve: name to an identity that may act at this moment.
        rules_of: project to what may be written down of an error.
        claim_s: for how long a request stays a killed process's own; the same for all that share a store.

    Example::

        await later.round()  # how many were taken
    """

    def __init__(
        self,
        kept: Kept,
        handler: Handler,
        callbacks: Callbacks,
        clock: Clock,
        *,
        resolve: Callable[[str], Principal],
        rules_of: Callable[[str], FieldRules],
        claim_s: float = CLAIM_S,
    ) -> None:
        self._kept = kept
        self._others: dict[str, OtherWork] = {}
        self._claims = Claims(kept.jobs, clock, lasts_s=claim_s)
        self._handler = handler
        self._callbacks = callbacks
        self._clock = clock
        self._resolve = resolve
        self._rules_of = rules_of

    def also(self, kind: str, work: OtherWork) -> None:
        """Let ``work`` have the items that begin with ``kind`` and a colon; call it before :meth:`run`."""
        self._others[kind] = work

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until ``stopping``; what is under way then is finished first.

        Each item has a place of its own: a slow model or receiver holds up none that comes after it.
        """
        under_way: set[asyncio.Task[None]] = set()
        while not stopping.is_set():
            taken: list[Taken] = []
            try:
                taken = await self._take(_TOGETHER - len(under_way))
            except Exception:  # noqa: BLE001
                # Boundary: a store or broker that does not answer now must not end the work for good.
                _log.exception("The queue of requests could not be looked at")
            for one in taken:
                task = asyncio.create_task(self._alone(one))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if len(under_way) == _TOGETHER:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            elif not taken:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _IDLE_S)
        for other in self._others.values():
            other.leave()
        await asyncio.gather(*under_way)

    async def round(self) -> int:
        """Answer some of those whose turn it is; returns how many items were taken."""
        taken = await self._take(_TOGETHER)
        await asyncio.gather(*(self._turn(one) for one in taken))
        return len(taken)

    async def _take(self, most: int) -> list[Taken]:
        return await asyncio.to_thread(self._kept.queue.take, most, _LEASE_S)

    async def _alone(self, taken: Taken) -> None:
        try:
            await self._turn(taken)
        except Exception:  # noqa: BLE001
            # Boundary: what could not be given back now comes again when its time is over.
            _log.exception("An item of the queue could not be worked on")

    async def _turn(self, taken: Taken) -> None:
        other = self._others.get(taken.item.partition(":")[0])
        if other is not None:
            await other.turn(taken)
            return
        try:
            job = await asyncio.to_thread(self._kept.jobs.get, taken.item.removesuffix(_CALLBACK))
        except NotFound:
            # Not stored yet; or erased meanwhile, or never acknowledged.
            if taken.attempt < _UNKNOWN:
                await asyncio.to_thread(self._kept.queue.again, taken, _pause_s(taken.attempt))
            else:
                await asyncio.to_thread(self._kept.queue.done, taken)
            return
        if taken.item.endswith(_CALLBACK):
            await self._tell(taken, job)
            return
        if job.state != "pending" or job.request is None:
            await asyncio.to_thread(self._end, taken, job, aside=False)
            return
        held = await self._claims.take(job)
        if held is None:
            await asyncio.to_thread(self._kept.queue.again, taken, self._claims.lasts_s)
            return
        ended_early = job.claim is not None or taken.attempt - 1 > job.attempts
        try:
            answer = await self._answer(job, ended_early=ended_early)
        except HeadraceError as error:
            await asyncio.to_thread(self._fail, taken, await held.end(), error)
        else:
            await asyncio.to_thread(self._finish, taken, await held.end(), answer)
        finally:
            await held.end()

    async def _tell(self, taken: Taken, job: Job) -> None:
        """Call the receiver once; what it does not take comes again."""
        if job.callback is None or job.callback_state != "pending":
            await asyncio.to_thread(self._kept.queue.done, taken)
            return
        held = await self._claims.take(job)
        if held is None:
            await asyncio.to_thread(self._kept.queue.again, taken, self._claims.lasts_s)
            return
        try:
            state = await self._call(taken, job)
        finally:
            job = await held.end()
        await asyncio.to_thread(self._change, job, callback_state=state)
        if state == "pending":
            await asyncio.to_thread(self._kept.queue.again, taken, _pause_s(taken.attempt))
        else:
            await asyncio.to_thread(self._kept.queue.done, taken)

    async def _call(self, taken: Taken, job: Job) -> CallbackState:
        """Whether the receiver has taken it; ``pending`` if it is to be called again."""
        url = self._kept.payloads.open(job.project, place_of(job.id), job.callback or "")
        body = msgspec.json.encode(told(replace(job, callback_state=None), self._kept.payloads))
        try:
            await self._callbacks.send(url, job.id, body)
        except HeadraceError as error:
            if isinstance(error, Unavailable) and taken.attempt < MOST_CALLS:
                return "pending"
            _log.warning("The receiver of %s was given up: %s", job.id, type(error).__name__)
            return "failed"
        return "delivered"

    async def _answer(self, job: Job, *, ended_early: bool) -> bytes:
        question = self._question(job)
        if ended_early and (found := await asyncio.to_thread(self._recorded, job)) is not None:
            return _written(question, found, self._handler.version(found.release_id))
        prediction = await self._handler.predict(
            job.project,
            question.columns,
            principal=await asyncio.to_thread(self._resolve, job.principal),
            key=question.key,
            keys=question.keys,
            event_time=question.event_time,
            version=question.version,
            outputs=question.outputs,
            request_id=job.id,
        )
        return _written(question, prediction, self._handler.version(prediction.release_id))

    def _question(self, job: Job) -> Question:
        text = self._kept.payloads.open(job.project, place_of(job.id), job.request or "")
        return _asked.decode(text)

    def _recorded(self, job: Job) -> Prediction | None:
        """The answer that a process recorded before it was killed."""
        stream, wanted = f"{job.project}/predictions", job.id.encode()
        for segment in reversed(self._kept.events.segments(stream)):
            offset = 0
            while offset < segment.size_bytes:
                records, offset = self._kept.events.read(stream, segment.name, offset, _BATCH)
                if not records:
                    break
                for record in records:
                    if wanted not in decompress(record).record:
                        continue
                    found = decode_prediction(record)
                    if found.request_id == job.id:
                        return found
        return None

    def _finish(self, taken: Taken, job: Job, answer: bytes) -> None:
        kept = self._kept.payloads.seal(job.project, place_of(job.id), answer.decode())
        self._change(job, state="done", answer=kept, request=None, **self._ended(job))
        self._end(taken, job, aside=False)

    def _fail(self, taken: Taken, job: Job, error: HeadraceError) -> None:
        """A request that is at fault ends; others are tried again, and set aside after some tries."""
        attempts = job.attempts + 1
        at_fault = isinstance(error, UserError)
        if not at_fault and attempts < MAX_TRIES:
            self._change(job, attempts=attempts)
            self._kept.queue.again(taken, _pause_s(attempts))
            return
        question = self._question(job)
        text = self._rules_of(job.project).text(telling.told(error), question.columns, question.keys)
        said = {"attempts": attempts, "error": text, "kind": type(error).__name__}
        self._change(job, state="failed", **said, **self._ended(job))
        self._end(taken, job, aside=not at_fault)

    def _ended(self, job: Job) -> dict[str, Any]:
        return {"ended_at": self._clock.now(), "callback_state": "pending" if job.callback else None}

    def _end(self, taken: Taken, job: Job, *, aside: bool) -> None:
        """Give the item back; before that, put the one by which the caller is told: neither is lost."""
        if job.callback is not None:
            self._kept.queue.put(job.workspace, f"{job.id}{_CALLBACK}")
        if aside:
            self._kept.queue.bury(taken)
        else:
            self._kept.queue.done(taken)

    def _change(self, job: Job, **changes: Any) -> None:
        # Another has claimed it, because this process stood still for long, or it was erased.
        with contextlib.suppress(Conflict, NotFound):
            self._kept.jobs.change(replace(job, claim=None, revision=job.revision + 1, **changes))


def _pause_s(attempt: int) -> float:
    """How long after its ``attempt``-th try an item comes again."""
    return _FIRST_PAUSE_S * float(2 ** (attempt - 1))


def _written(question: Question, prediction: Prediction, version: str) -> bytes:
    """The answer as the protocol in which it was asked for gives it, in JSON."""
    match question.form:
        case "tensors":
            own = replace(prediction, request_id=question.request_id)
            return oip.encode_infer(own, version, oip.InferCall({}, outputs=question.outputs)).body
        case "invocation":
            return mlflow_forms.encode_answer(prediction, version)
    return record_form.encode_answer(prediction, version)
