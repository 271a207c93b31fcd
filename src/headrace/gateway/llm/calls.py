"""A call on its way, and how it ends: paid, and on record, also where its caller is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol, TypeVar

from headrace.access.privacy.fields import FieldRules
from headrace.access.privacy.redacting import secrets
from headrace.core.errors import HeadraceError, InvalidInput, Unauthenticated
from headrace.core.ports import Clock
from headrace.core.record import Failure, Prediction
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.hygiene import clean
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.llm.chat import NOTHING, UNREAD, Answered, Filled
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.guard_counts import GuardCounts
from headrace.gateway.llm.guarding import Guarded
from headrace.gateway.llm.loaded import Loaded
from headrace.gateway.llm.permits import Stopped
from headrace.gateway.llm.pins import hit_of
from headrace.gateway.llm.spending import NOT_PAID, Charge, Settled, Spending
from headrace.gateway.llm.steps import Parent, step_of
from headrace.gateway.prompts import Prompt
from headrace.store.records import Received, encode_failure, encode_prediction, encode_received

BLOCKED, BROKEN_OFF = "blocked", "broken off"
"""How an answer may have ended beside what the provider says."""
ENDED = (Unauthenticated, Stopped)
"""What people decide while an answer is being given: its caller may not ask any more, or nobody may."""
SENT = Filled(fields={})
"""What was asked is on its way, and not needed any more; or has yet to be made."""
_SHORT = 100_000
_T = TypeVar("_T")
_SECRETS = Pipeline([PersonalData((secrets,))])


class Records(Protocol):
    """The durable record."""

    async def record(
        self,
        project: str,
        payload: bytes,
        kind: str = "predictions",
        *,
        beside: tuple[str, bytes] | None = None,
    ) -> None:
        """Returns once it is durable, whatever is ``beside``. Raises Unavailable: it was not stored."""


class Asked(Protocol):
    """What is asked: all in which one kind of call differs from another.

    Attributes:
        path: of it at a provider, below the address.
        operation: what OpenTelemetry calls it.
        records: the stream of the record in which its answers are.
    """

    path: ClassVar[str]
    operation: ClassVar[str]
    records: ClassVar[str]

    @property
    def model(self) -> str:
        """The project that is asked."""

    @property
    def user(self) -> str | None:
        """Whose request it is, as the caller says."""

    @property
    def n_bytes(self) -> int:
        """How long it is."""

    @property
    def question(self) -> str:
        """What is recorded as asked."""

    def targets(self, loaded: Loaded) -> tuple[Target, ...]:
        """Whom a release lets answer it, in order."""

    def filled(self, prompt: Prompt, guarded: Guarded) -> Filled:
        """What the release makes of it, once guards have looked at it."""

    def read(self, body: bytes) -> Answered:
        """What a provider's whole answer says. Raises InvalidInput: it is none."""

    def checked(self, guarded: Guarded, body: bytes) -> bytes:
        """The answer as its caller may have it. Raises Blocked: they may not."""


@dataclass(kw_only=True)
class Call:
    """One call on its way.

    Attributes:
        id: under which it is recorded.
        arm: the part in which its release was asked.
        parent: the caller's step in a trace, if it named one.
        targets: whom to ask, in order.
        cached: whether an answer of before was given again; None where the project keeps none.
        filled: what its model is told; ``charge``: what is held back for it; ``target``: who answers;
            ``lost``: who was asked as well, and stopped.
        is_draft: its answer waits for a person.
        at_work: who works on it now; of a call that is given up, who did; ``in_vain``: who took too long, or
            broke off.
    """

    id: str
    asked: Asked
    principal: str
    arm: str
    loaded: Loaded
    guarded: Guarded
    rules: FieldRules
    at: datetime
    started_s: float
    parent: Parent | None = None
    targets: tuple[Target, ...] = ()
    filled: Filled = SENT
    charge: Charge | None = None
    target: Target | None = None
    lost: tuple[Target, ...] = ()
    is_draft: bool = False
    cached: bool | None = None
    at_work: list[Target] = field(default_factory=list)
    in_vain: list[Target] = field(default_factory=list)


class Endings:
    """Pays and records calls.

    Args:
        question_of: under which name a project records what was asked.

    Attributes:
        guards: what guards found in calls that have ended.
    """

    def __init__(
        self,
        spending: Spending,
        records: Records,
        clock: Clock,
        question_of: Callable[[FieldRules], str],
    ) -> None:
        self._spending = spending
        self._records = records
        self._clock = clock
        self._question_of = question_of
        self.guards = GuardCounts()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def answered(self, call: Call, answered: Answered, first_s: float | None = None) -> None:
        """It was answered; returns once that is durable.

        Args:
            first_s: when the first piece came; the answer came whole unless given.
        """
        settled = self._settle(call, answered)
        await self._ended(settled, self._answered(call, answered, settled, first_s))

    async def failed(self, call: Call, why: BaseException | str, used: Answered | None = None) -> None:
        """It was not. No failure of the release are a caller who is gone, or frozen meanwhile, and calls that
        were stopped: where somebody worked on it, it is an answer that was broken off.

        Args:
            used: what was said, and has to be paid, all the same.
        """
        has_gone = isinstance(why, (asyncio.CancelledError, *ENDED))
        if has_gone and call.target is None and call.at_work:
            call.target, *lost = call.at_work
            call.lost = tuple(lost)
        if has_gone and call.target is not None:
            await self.answered(call, (used or UNREAD)._replace(text="", finish=BROKEN_OFF))
            return
        settled = self._settle(call, used)
        if not has_gone:
            await self._ended(settled, self._failed(call, why, settled))

    async def to_the_end(self, ending: Coroutine[Any, Any, _T]) -> _T:
        """Do all of it, also where whoever waits for it goes meanwhile."""
        task = asyncio.ensure_future(ending)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for the calls that are being recorded on this event loop."""
        loop = asyncio.get_running_loop()
        mine = [task for task in self._under_way if task.get_loop() is loop]
        if mine:
            await asyncio.gather(*mine, return_exceptions=True)

    def _settle(self, call: Call, answered: Answered | None) -> Settled:
        """Pay, once."""
        charge, call.charge = call.charge, None
        call.lost, call.in_vain = (*call.lost, *call.in_vain), []
        return NOT_PAID if charge is None else self._spending.settle(charge, call.target, answered, call.lost)

    async def _ended(self, settled: Settled, record: Coroutine[Any, Any, None]) -> None:
        """Whoever asked may go: a record is with its writer before anything is waited for."""
        if settled.waits is None:
            await record
        else:
            await self.to_the_end(self._paid(settled.waits, record))

    async def _paid(self, wait: Callable[[], None], record: Coroutine[Any, Any, None]) -> None:
        try:
            await asyncio.to_thread(wait)
        finally:
            await record

    async def _answered(
        self, call: Call, answered: Answered, settled: Settled, first_s: float | None
    ) -> None:
        answered = _as_settled(answered, settled)
        call.guarded.advised()
        blocked = answered.finish == BLOCKED
        known = call.loaded.answering if call.asked.records == "predictions" else frozenset()
        if known and answered.model and answered.model not in known:
            call.guarded.hits.append(hit_of("model"))
        self.guards.add(call.asked.model, call.guarded.hits, blocked=blocked)
        took_ms = self._took_ms(call)
        outputs: dict[str, list[Any]] = {
            "predict": [as_written(call.rules, _as_given(call, answered.text))],
            "model": [answered.model],
            "finish": [answered.finish],
            "input_tokens": [answered.usage.input],
            "output_tokens": [answered.usage.output],
            "cost": [settled.cost],
            "first_ms": [took_ms if first_s is None else round((first_s - call.started_s) * 1000, 3)],
            "guards": ["; ".join(call.guarded.said)],
        }
        if answered.tools and not blocked:
            outputs["tools"] = [as_written(call.rules, ", ".join(answered.tools))]
        if call.cached is not None:
            outputs["cached"] = [call.cached]
        if settled.estimated is not None:
            outputs["estimated"] = [True]
        if call.lost:
            outputs["lost"] = ["; ".join(map(str, call.lost))]
        prediction = Prediction(
            id=call.id,
            project=call.asked.model,
            release_id=call.loaded.release_id,
            arm=call.arm,
            principal=call.principal,
            at=call.at,
            event_time=call.at,
            n_rows=1,
            columns={self._question_of(call.rules): [unsecret(call.asked.question)]},
            outputs=outputs,
            keys=None if (user := _named(call)) is None else [user],
            infer_ms=took_ms,
            trace_id=None if call.parent is None else call.parent.trace_id,
        )
        await self._records.record(
            call.asked.model,
            encode_prediction(call.rules.prediction(prediction)),
            call.asked.records,
            beside=self._trace(call, answered, took_ms, BLOCKED if blocked else None),
        )

    def _took_ms(self, call: Call) -> float:
        return round((self._clock.monotonic_s() - call.started_s) * 1000, 3)

    def _trace(
        self, call: Call, answered: Answered, took_ms: float, error: str | None = None
    ) -> tuple[str, bytes]:
        """The call as a step of a trace, for the record."""
        user = _named(call)
        span = step_of(
            call.id,
            answered,
            operation=call.asked.operation,
            project=call.asked.model,
            release_id=call.loaded.release_id,
            target=call.target,
            parent=call.parent,
            user=None if user is None else _kept(call.rules, user),
            guards=call.guarded.said,
            started_at=call.at,
            ended_at=call.at + timedelta(milliseconds=took_ms),
            error=error,
        )
        return "spans", encode_received(Received(call.at, call.principal, span))

    async def _failed(self, call: Call, why: BaseException | str, settled: Settled) -> None:
        said = str(why) if isinstance(why, str | HeadraceError) else type(why).__name__
        failure = Failure(
            id=call.id,
            project=call.asked.model,
            release_id=call.loaded.release_id,
            arm=call.arm,
            principal=call.principal,
            at=call.at,
            n_rows=1,
            error=call.rules.remark(said)[:1000],
        )
        kind = why if isinstance(why, str) else type(why).__name__
        trace = self._trace(call, _as_settled(NOTHING, settled), self._took_ms(call), kind)
        await self._records.record(failure.project, encode_failure(failure), "failures", beside=trace)


def _as_settled(answered: Answered, settled: Settled) -> Answered:
    """With the tokens that it is taken to have used, where its provider has not said them."""
    if settled.estimated is None:
        return answered
    return answered._replace(usage=settled.estimated, is_counted=False)


def _named(call: Call) -> str | None:
    """Whose request it is, for the record: a secret in the place of a name is kept as its hash."""
    user = call.asked.user
    if user is None or not secrets(user) or _kept(call.rules, user) != user:
        return user  # the rules hash or drop it themselves
    return str(call.rules.hashed(user))


def _kept(rules: FieldRules, user: str) -> str | None:
    """A user as business keys are kept; None where they are not."""
    try:
        return rules.subject(user)
    except InvalidInput:
        return None


def _as_given(call: Call, text: str) -> str:
    """The answer with whatever was masked in it of people: what its caller did not get, no record holds."""
    if not any(hit.layer == "output" and hit.action == "mask" for hit in call.guarded.hits):
        return text
    people = [guard for guard in call.loaded.pipeline.guards if isinstance(guard, PersonalData)]
    return Pipeline(people).check(text, Context(layer="output")).text


def as_written(rules: FieldRules, text: str) -> str:
    """What somebody says as it may be written down: without secrets, and what else privacy takes out."""
    said = unsecret(text)
    return rules.remark(said) if rules.project.privacy.personal else said


def unsecret(text: str) -> str:
    """Whoever a text is about, no secret in it is written down."""
    if len(text) <= _SHORT and not secrets(text):  # as nearly always
        return clean(text)
    return _SECRETS.check(text, Context(layer="output")).text
