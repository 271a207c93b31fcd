"""Rows that arrived together are scored together: what one turn of the event loop brings, and never a timer.

A row that comes alone is scored alone, at once. So batching helps where there is traffic and costs nothing
where there is none. Rows of a model that takes its time wait for its turn, and what they came to is written
down and sent together as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from headrace.access.privacy.fields import FieldRules
from headrace.core.errors import Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import new_ids
from headrace.core.ports import Clock
from headrace.core.release import Route
from headrace.serving.distributions import Distributions
from headrace.serving.explanations import Share
from headrace.serving.handler import Handler, RowsTimed
from headrace.serving.heads import Form
from headrace.serving.models import LoadedModel, LoadedModels
from headrace.serving.one_row import OneRow
from headrace.serving.recorder import BEST_EFFORT, STORED, Recorder
from headrace.serving.routes import Choice, RouteTable
from headrace.serving.scoring import score_together
from headrace.serving.turns import RowAnswer, Waiting
from headrace.store.compressing import compress
from headrace.store.records import Common, decode_prediction, encode_common, encode_prediction, encode_row

_log = logging.getLogger(__name__)
_ROWS_AT_ONCE = 64
_MAX_LANES = 1_000


class Asked(msgspec.Struct, gc=False):
    """One row that waits for its answer.

    Attributes:
        trace_id: the trace that it is asked within, if there is one.
        answer: given the body and how it is recorded, once the project's durability allows it.
        give_up: called instead of it when anything is in the way: the ordinary way answers, or says why not.
    """

    values: Sequence[Any]
    form: Form
    trace_id: str | None
    prepare_ms: float
    answer: Callable[[bytes, bytes], None]
    give_up: Callable[[], None]


class _Scored(NamedTuple):
    """One row's answer; ``started_s``: when it began to wait for its turn, if it did, else to be scored."""

    asked: Asked
    outputs: Sequence[Any]
    infer_ms: float
    started_s: float


class Lane:
    """What is the same for all rows of one principal to one release: prepared once."""

    def __init__(self, one: OneRow, choice: Choice, project: str, principal: Principal) -> None:
        loaded = one.loaded
        self.one = one
        self.choice = choice
        self.project = project
        self.principal = principal
        names = tuple(name for name, _ in loaded.kinds)
        self.outputs = tuple(loaded.model.outputs)
        common = Common(project, choice.release_id, choice.arm, principal.name, names, self.outputs)
        self.common = encode_common(common)
        self.asked: list[Asked] = []
        self.scored: list[_Scored] = []


class MicroBatches:
    """Takes rows from connections of one event loop, and answers them at the end of its turn.

    Args:
        rules_of: project to what may be written down of its answers, and how durably.
        distributions: counts what is asked and answered; nothing is counted without it.
        share: explains a share of the answers; none is without it.
        observe: told the project, how long its answers took in seconds, and how many they were.

    Example::

        lane = batches.lane(head.project, principal)
        batches.add(lane, asked)
    """

    def __init__(
        self,
        handler: Handler,
        routes: RouteTable,
        models: LoadedModels,
        recorder: Recorder,
        clock: Clock,
        *,
        rules_of: Callable[[str], FieldRules],
        distributions: Distributions | None = None,
        share: Share | None = None,
        observe: Callable[[str, float, int], None] = lambda _project, _duration_s, _n_requests: None,
    ) -> None:
        self._handler = handler
        self._routes = routes
        self._models = models
        self._recorder = recorder
        self._clock = clock
        self._rules_of = rules_of
        self._distributions = distributions
        self._share = share
        self._observe = observe
        self._lanes: dict[tuple[str, str, str, str], Lane | None] = {}
        self._rows: dict[tuple[str, str, str], OneRow] = {}
        self._waiting: list[Lane] = []

    def is_fixed(self, project: str) -> bool:
        """Whether all rows of the project go the same way, as long as the routes are of this edition."""
        route = self._routes.get(project)
        return route.canary is None and route.split is None

    @property
    def edition(self) -> object:
        """Another object whenever rows may have to go another way."""
        return self._routes.edition

    def lane(self, project: str, principal: Principal) -> Lane | None:
        """Where a row of ``principal`` goes; None: this project is for the ordinary way.

        Raises:
            NotFound: nothing of the project is live.
        """
        route = self._routes.get(project)
        choice = self._choice(route)
        key = (project, choice.release_id, choice.arm, principal.name)
        lane = self._lanes.get(key)
        loaded = self._models.find(choice.release_id)
        if loaded is None or choice.shadow is not None:
            return None
        if lane is None or lane.one.loaded is not loaded:
            if not OneRow.can(loaded):
                return None
            if len(self._lanes) >= _MAX_LANES:
                self._lanes = {}
            lane = self._lanes[key] = Lane(self._one(project, choice, loaded), choice, project, principal)
        return lane

    def add(self, lane: Lane, asked: Asked) -> None:
        """Let a row wait for the end of this turn of the loop."""
        if not lane.asked:
            if not self._waiting:
                asyncio.get_running_loop().call_soon(self._flush)
            self._waiting.append(lane)
        lane.asked.append(asked)

    def _choice(self, route: Route) -> Choice:
        """As the ordinary way chooses for whoever names no key: each request is drawn anew."""
        if route.split is None and (route.canary is None or route.canary_weight <= 0.0):
            return self._routes.choose(route, "")
        return self._routes.choose(route, new_ids(self._clock.now(), 1)[0])

    def _one(self, project: str, choice: Choice, loaded: LoadedModel) -> OneRow:
        key = (project, choice.release_id, choice.arm)
        one = self._rows.get(key)
        if one is None or one.loaded is not loaded:
            if len(self._rows) >= _MAX_LANES:
                self._rows = {}
            one = self._rows[key] = OneRow(project, loaded, choice.arm)
        return one

    def _flush(self) -> None:
        lanes, self._waiting = self._waiting, []
        for lane in lanes:
            asked, lane.asked = lane.asked, []
            if lane.one.loaded.model.inline:
                for start in range(0, len(asked), _ROWS_AT_ONCE):
                    self._score(lane, asked[start : start + _ROWS_AT_ONCE])
            else:
                self._queue(lane, asked)

    def _is_drawn(self, rules: FieldRules) -> bool:
        return self._share is not None and self._share.draws(rules.project)

    def _score(self, lane: Lane, asked: list[Asked]) -> None:
        started_s = self._clock.monotonic_s()
        try:
            rows = [lane.one.complete(one.values) for one in asked]
            outputs = score_together(lane.one.loaded, rows)
        except (Exception, SystemExit):  # noqa: BLE001
            # Boundary: a model is user code. Each row is asked again alone, where its failure is recorded.
            _log.debug("A batch of release %s failed", lane.choice.release_id, exc_info=True)
            _give_up(asked)
            return
        infer_ms = (self._clock.monotonic_s() - started_s) * 1000
        self._answer(lane, [_Scored(*one, infer_ms, started_s) for one in zip(asked, outputs, strict=True)])

    def _queue(self, lane: Lane, asked: list[Asked]) -> None:
        """Let rows wait for the model's turn; those for whom there is no place are told so elsewhere."""
        loaded, started_s = lane.one.loaded, self._clock.monotonic_s()
        turns = self._handler.turns.of(loaded, self._rules_of(lane.project).project.serving)
        rows = [
            Waiting(values=lane.one.complete(one.values), done=partial(self._scored, lane, one, started_s))
            for one in asked
        ]
        _give_up(asked[len(rows) - len(turns.join(rows)) :])

    def _scored(self, lane: Lane, asked: Asked, started_s: float, found: RowAnswer | Exception) -> None:
        """Keep an answer until all that came with it are here."""
        if isinstance(found, Exception):
            asked.give_up()
            return
        if not lane.scored:
            asyncio.get_running_loop().call_soon(self._answer_scored, lane)
        lane.scored.append(_Scored(asked, *found, started_s))

    def _answer_scored(self, lane: Lane) -> None:
        scored, lane.scored = lane.scored, []
        self._answer(lane, scored)

    def _answer(self, lane: Lane, scored: list[_Scored]) -> None:
        now, answered_s = self._clock.now(), self._clock.monotonic_s()
        ids = new_ids(now, len(scored))
        asked = [one.asked for one in scored]
        try:
            bodies = [
                lane.one.write(one.asked.form, prediction_id, one.outputs, one.asked.prepare_ms, one.infer_ms)
                for one, prediction_id in zip(scored, ids, strict=True)
            ]
        except Exception:  # noqa: BLE001
            # Boundary: a model is user code, and may have given what has no form. As above.
            _log.debug("An answer of release %s has no form", lane.choice.release_id, exc_info=True)
            _give_up(asked)
            return
        rules = self._rules_of(lane.project)
        at_us = round(now.timestamp() * 1e6)
        payloads = [
            encode_row(
                lane.common,
                prediction_id,
                at_us,
                one.asked.values,
                one.outputs,
                prepare_ms=one.asked.prepare_ms,
                infer_ms=one.infer_ms,
                trace_id=one.asked.trace_id,
            )
            for one, prediction_id in zip(scored, ids, strict=True)
        ]
        drawn = [decode_prediction(payload) for payload in payloads if self._is_drawn(rules)]
        payloads = _kept(rules, payloads)

        def send(recorded: bytes) -> None:
            for one, body in zip(asked, bodies, strict=True):
                one.answer(body, recorded)
            timed = _timed(scored, answered_s, self._clock.monotonic_s())
            self._handler.count_rows(lane.principal, lane.project, lane.choice.release_id, now, timed)
            self._observe(lane.project, timed.took_ms / 1000, timed.n_rows)
            if self._distributions is not None:
                rows = [one.values for one in asked]
                self._distributions.note_rows(
                    lane.choice.release_id, rows, [one.outputs[0] for one in scored]
                )
            if self._share is not None:
                for prediction in drawn:
                    self._share.offer(prediction)

        def done(refusal: str | None) -> None:
            send(STORED) if refusal is None else _give_up(asked)

        try:
            if rules.project.serving.durability == "best_effort" and self._recorder.keeps_up():
                self._recorder.note(lane.project, payloads)
                send(BEST_EFFORT)
            else:
                self._recorder.submit(lane.project, payloads, done)
        except Unavailable:
            _give_up(asked)


def _give_up(asked: list[Asked]) -> None:
    for one in asked:
        one.give_up()


def _kept(rules: FieldRules, payloads: list[bytes]) -> list[bytes]:
    """The records as they may be written down, and large ones in compressed form."""
    if not rules.keeps_all:
        payloads = [encode_prediction(rules.prediction(decode_prediction(payload))) for payload in payloads]
    above_bytes = rules.project.serving.compress_above_bytes
    if max(map(len, payloads)) > above_bytes:
        payloads = [compress(payload, above_bytes=above_bytes) for payload in payloads]
    return payloads


def _timed(scored: list[_Scored], answered_s: float, ended_s: float) -> RowsTimed:
    """Durations of rows that are sent together, on average where each waited for its own."""
    n_rows = len(scored)
    started_s = sum(one.started_s for one in scored) / n_rows
    infer_ms = sum(one.infer_ms for one in scored) / n_rows
    return RowsTimed(
        n_rows,
        sum(one.asked.prepare_ms for one in scored),
        infer_ms,
        (ended_s - started_s) * 1000,
        max((answered_s - started_s) * 1000 - infer_ms, 0.0),
    )
