"""The one way to an answer, whatever protocol asked: check, route, predict, record."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.privacy.fields import FieldRules
from headrace.core.errors import (
    Busy,
    Conflict,
    HeadraceError,
    InvalidInput,
    NotFound,
    Unanswered,
    Unavailable,
    UserError,
)
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.ports import Clock
from headrace.core.record import Failure, Noted, Prediction, Unrecorded
from headrace.core.release import Route
from headrace.serving.distributions import Distributions
from headrace.serving.explanations import Share
from headrace.serving.inputs import Matrix, Values, count_rows, named
from headrace.serving.models import LoadedModel, LoadedModels
from headrace.serving.recorder import BEST_EFFORT, NONE, STORED, Recorder
from headrace.serving.refusals import Refusals
from headrace.serving.routes import Choice, RouteTable
from headrace.serving.scoring import Scored, score
from headrace.serving.shadows import Shadows
from headrace.serving.statistics import Tally
from headrace.serving.trace_context import trace_id
from headrace.serving.turns import TurnsByModel, score_in_turn
from headrace.store.compressing import compress
from headrace.store.records import encode_failure, encode_prediction

_log = logging.getLogger(__name__)
INLINE_ROWS = 64
MAX_TEXT = 256
MAX_NAME = 63
_NOTHING: Values = {}


class Counts(NamedTuple):
    """Requests that a release answered, and valid ones that it could not answer."""

    answered: int
    failed: int


class Sender(NamedTuple):
    """Who asked, about which project."""

    project: str
    principal: str


class RowsTimed(NamedTuple):
    """How long single rows took that were answered together.

    Attributes:
        prepare_ms: reading them, one after the other.
        infer_ms: the model's part, which each of them waited for; ``took_ms``: all of it, likewise.
        queue_ms: waiting for the model's turn before it.
    """

    n_rows: int
    prepare_ms: float
    infer_ms: float
    took_ms: float
    queue_ms: float


class Indexed(NamedTuple):
    """One model of the index; ``reason`` says why it cannot answer."""

    project: str
    release_id: str
    version: str
    ready: bool
    reason: str


class _Asked(NamedTuple):
    id: str
    project: str
    choice: Choice
    principal: str
    at: datetime
    request_id: str | None
    started_s: float


class Handler:
    """Answers predictions. Knows no HTTP; adapters translate to it.

    Args:
        rules_of: project to what may be written down of its answers; the caller gets all of them.
        shadows: asks releases that are on trial without traffic; none is asked without it.
        distributions: counts what is asked and answered; nothing is counted without it.
        share: explains a share of the answers; none is without it.

    Example::

        await handler.predict("cars", {"mileage": [15735.0]}, principal=principal)
    """

    def __init__(
        self,
        routes: RouteTable,
        models: LoadedModels,
        recorder: Recorder,
        clock: Clock,
        gatekeeper: Gatekeeper,
        rules_of: Callable[[str], FieldRules],
        *,
        shadows: Shadows | None = None,
        distributions: Distributions | None = None,
        share: Share | None = None,
    ) -> None:
        self._routes = routes
        self._models = models
        self._recorder = recorder
        self._clock = clock
        self._gatekeeper = gatekeeper
        self._rules_of = rules_of
        self._shadows = shadows
        self._distributions = distributions
        self._share = share
        self._tallies: dict[str, Tally] = {}
        self._refused: dict[Sender, int] = {}
        self.refusals = Refusals(recorder, clock)
        self.turns = TurnsByModel(models, clock)

    async def predict(
        self,
        project: str,
        columns: Values | Matrix,
        *,
        principal: Principal,
        key: str | None = None,
        event_time: datetime | None = None,
        keys: Sequence[str] | None = None,
        request_id: str | None = None,
        version: str | None = None,
        outputs: Sequence[str] = (),
        explained: bool = False,
    ) -> Prediction:
        """Predict the rows in ``columns`` and return once the answer is durable in the log.

        Args:
            columns: input name to plain values, all of one length; or those values by their place.
            key: who or what asks: the same key meets the same release while a canary runs.
            event_time: when the thing predicted happens, timezone-aware. When not given: the latest
                moment that a forecast is asked for, else now.
            keys: business keys of the rows, by which labels may be joined.
            version: a model version or release id; without it the route chooses.
            outputs: outputs that the caller will ask the answer for; unknown ones are refused here.
            explained: whether the caller will have it explained, so that it belongs to no share.

        Raises:
            Denied: ``principal`` may not predict with this project.
            NotFound: nothing is live, or ``version`` is neither the live nor the canary's.
            InvalidInput: the rows are not what the model expects.
            Unavailable: the model cannot be loaded, or the answer cannot be stored and is to be refused then
                (``serving.on_record_failure``); an :class:`Unrecorded` one is returned otherwise.
            Unanswered: the model raised; the failure is recorded and counted.
        """
        resource = _resource(project)
        if not self._gatekeeper.allows(principal, "predict", resource):
            await self.require(principal, "predict", project)
        self._gatekeeper.used(principal, "predict", resource)
        check_texts(key, request_id, version, keys)
        asked = self._ask(project, key, version, principal, request_id)
        rules = self._rules_of(project)
        loaded, values, n_rows = self._models.find(asked.choice.release_id), _NOTHING, 0
        try:
            # What is usual is not awaited: each coroutine would cost as much as a check of a value.
            loaded = loaded or await self._load(asked.choice.release_id)
            values = await self._by_name(columns, asked, version) if isinstance(columns, Matrix) else columns
            n_rows = count_rows(loaded, values)
            _check_request(loaded, outputs, keys, n_rows)
            if n_rows <= INLINE_ROWS and loaded.model.inline:
                scored = score(loaded, values, n_rows, self._clock)
            else:
                scored = await self._in_turn(rules, loaded, values, n_rows)
        except (UserError, Busy) as error:
            self._note_refusal(error, project, principal, loaded, values)
            raise
        except Exception as error:
            # Boundary: a model is user code. Its failure is evidence about its release.
            text = rules.text(f"{type(error).__name__}: {error}", values, keys)
            raise await self._fail(asked, n_rows, error, text) from error
        scored_s = self._clock.monotonic_s()
        prediction = Prediction(
            id=asked.id,
            project=project,
            release_id=asked.choice.release_id,
            arm=asked.choice.arm,
            principal=principal.name,
            at=asked.at,
            event_time=event_time or scored.latest or asked.at,
            n_rows=n_rows,
            columns=scored.columns,
            outputs=scored.outputs,
            keys=None if keys is None else list(keys),
            request_id=request_id,
            prepare_ms=scored.prepare_ms,
            infer_ms=scored.infer_ms,
            unseen=scored.unseen,
            trace_id=trace_id(),
        )
        prediction = await self._record(rules, prediction)
        self._count(asked, n_rows, scored, scored_s)
        self._offer(asked, rules, prediction, values, explained=explained)
        return prediction

    def count_rows(
        self, principal: Principal, project: str, release_id: str, at: datetime, timed: RowsTimed
    ) -> None:
        """Count single rows that were answered together, each of which used the right to predict."""
        self._gatekeeper.used(principal, "predict", f"project:{project}", timed.n_rows)
        tally = self._tallies.setdefault(release_id, Tally())
        tally.last_at = at
        tally.answered += timed.n_rows
        tally.rows += timed.n_rows
        tally.time(timed.prepare_ms / timed.n_rows, timed.infer_ms, timed.n_rows)
        tally.queue_ms += timed.queue_ms * timed.n_rows
        tally.record_ms += max(timed.took_ms - timed.infer_ms - timed.queue_ms, 0.0) * timed.n_rows
        tally.answered_ms += timed.took_ms * timed.n_rows + timed.prepare_ms

    def recorded(self, prediction: Prediction) -> bytes:
        """How an answer of a moment ago is recorded, as its header says it."""
        return {Unrecorded: NONE, Noted: BEST_EFFORT}.get(type(prediction), STORED)

    async def require(self, principal: Principal, action: str, project: str) -> None:
        """As the gatekeeper's; a refusal, which writes to the audit log, does not block the event loop."""
        resource = _resource(project)
        if not self._gatekeeper.allows(principal, action, resource):
            await asyncio.to_thread(self._gatekeeper.require, principal, action, resource)

    async def describe(self, project: str, version: str | None = None) -> list[LoadedModel]:
        """The models that answer for ``project``: the live one, then the canary's, if any.

        Raises:
            NotFound: nothing is live, or ``version`` is neither's.
            Unavailable: a model cannot be loaded.
        """
        route = self._routes.get(project)
        loaded = [await asyncio.to_thread(self._models.get, name) for name in route.releases]
        if version is None:
            return loaded
        choice = self._named(route, version)
        return [one for one in loaded if one.release_id == choice.release_id]

    def index(self, principal: Principal) -> list[Indexed]:
        """The models that answer now, of the projects that ``principal`` may read."""
        found = []
        for route in self._routes.all():
            if self._gatekeeper.allows(principal, "project.read", _resource(route.project)):
                for release_id in route.releases:
                    ready = self._models.find(release_id) is not None
                    reason = self._models.why_broken(release_id) or "It is loaded when it is asked for."
                    version = self.version(release_id)
                    found.append(Indexed(route.project, release_id, version, ready, "" if ready else reason))
        return found

    async def reload(self, principal: Principal, project: str, *, changed: bool = False) -> None:
        """Load what the project's route names, also what could not be loaded a moment ago.

        Args:
            changed: it is to be loaded in another form than its release was packaged; that is refused.

        Raises:
            InvalidInput: it is.
            Denied: ``principal`` does not operate this project.
            NotFound: nothing is live.
            Unavailable: a model cannot be loaded.
        """
        await self.require(principal, "release.rollback", project)
        if changed:
            raise InvalidInput(
                "A model is loaded as its release was packaged; parameters cannot change it. Leave them out."
            )
        route = self._routes.get(project)
        for release_id in route.releases:
            self._models.forgive(release_id)
            await asyncio.to_thread(self._models.get, release_id)

    async def refuse_unload(self, principal: Principal, project: str) -> NoReturn:
        """Nobody unloads what a route names.

        Raises:
            Denied: ``principal`` does not operate this project.
            NotFound: nothing is live.
            Conflict: something is; the message says what ends that.
        """
        await self.require(principal, "release.rollback", project)
        live = self._routes.get(project).live
        raise Conflict(
            f"Release {live} of {project!r} is live, and routes decide what is loaded. Give the traffic to "
            f"the release before instead: headrace release rollback {project}."
        )

    def counts(self) -> dict[str, Counts]:
        """By release id: what this process answered and what failed since it started."""
        return {name: Counts(tally.answered, tally.failed) for name, tally in self._tallies.items()}

    def refused(self) -> dict[Sender, int]:
        """Requests that were not what the model expects since this process started, by who sent them."""
        return dict(self._refused)

    def tally(self, release_id: str) -> Tally:
        """Counts and durations of a release since this process started; all zero when nobody asked it."""
        return self._tallies.get(release_id) or Tally()

    def tallies(self) -> dict[str, Tally]:
        """The same of every release that was asked; a copy of the dictionary."""
        return dict(self._tallies)

    def logged(self) -> dict[str, int]:
        """By stream: records that this process made durable since it started."""
        return self._recorder.logged()

    def version(self, release_id: str) -> str:
        """The model version that a release carries; the release id if it is not in memory any more."""
        loaded = self._models.find(release_id)
        return release_id if loaded is None else loaded.version

    def ready(self) -> bool:
        """Whether routes are known and whoever asks is answered: what they are told can be stored, or every
        project that answers has it that answers are given without record then."""
        if self._routes.age_s() is None or self._recorder.is_closed():
            return False
        return self._recorder.is_worth_asking() or all(
            self._rules_of(route.project).project.serving.on_record_failure == "serve"
            for route in self._routes.all()
        )

    def _ask(
        self, project: str, key: str | None, version: str | None, principal: Principal, request_id: str | None
    ) -> _Asked:
        """Give a request its id, its release and its moment."""
        now = self._clock.now()
        prediction_id = new_id(now)
        choice = self._choose(project, key or prediction_id, version)
        started_s = self._clock.monotonic_s()
        return _Asked(prediction_id, project, choice, principal.name, now, request_id, started_s)

    async def _in_turn(self, rules: FieldRules, loaded: LoadedModel, values: Values, n_rows: int) -> Scored:
        """Off the event loop; a model that takes its time keeps nobody waiting but those who ask it."""
        if loaded.model.inline:
            return await asyncio.to_thread(score, loaded, values, n_rows, self._clock)
        turns = self.turns.of(loaded, rules.project.serving)
        if n_rows == 1 and loaded.model.task != "forecasting":
            return await score_in_turn(loaded, values, turns, self._clock)
        return await turns.take(score, loaded, values, n_rows, self._clock)

    async def _load(self, release_id: str) -> LoadedModel:
        return await asyncio.to_thread(self._models.get, release_id)

    async def _record(self, rules: FieldRules, prediction: Prediction) -> Prediction:
        payload = await self._encoded(rules, prediction)
        try:
            if rules.project.serving.durability == "best_effort" and self._recorder.keeps_up():
                self._recorder.note(prediction.project, [payload])
                return Noted(**_fields(prediction))
            await self._recorder.record(prediction.project, payload)
        except Unavailable:
            if rules.project.serving.on_record_failure == "refuse":
                raise
            self._recorder.forgo(prediction.project)
            return Unrecorded(**_fields(prediction))
        return prediction

    async def _encoded(self, rules: FieldRules, prediction: Prediction) -> bytes:
        payload = encode_prediction(rules.prediction(prediction))
        above_bytes = rules.project.serving.compress_above_bytes
        if len(payload) <= above_bytes:
            return payload
        return await asyncio.to_thread(compress, payload, above_bytes=above_bytes)

    async def _by_name(self, matrix: Matrix, asked: _Asked, version: str | None) -> Values:
        """By the names of the model that metadata describes: the version asked for, else the live one."""
        described = asked.choice.release_id if version else self._routes.get(asked.project).live
        return named(matrix, (self._models.find(described) or await self._load(described)).inputs)

    def _note_refusal(
        self,
        error: HeadraceError,
        project: str,
        principal: Principal,
        loaded: LoadedModel | None,
        values: Values,
    ) -> None:
        if isinstance(error, InvalidInput):
            sender = Sender(project, principal.name)
            self._refused[sender] = self._refused.get(sender, 0) + 1
            if loaded is not None and values:
                self.refusals.note(project, principal.name, loaded, values)

    def _count(self, asked: _Asked, n_rows: int, scored: Scored, scored_s: float) -> None:
        ended_s = self._clock.monotonic_s()
        tally = self._tally(asked)
        tally.answered += 1
        tally.rows += n_rows
        tally.queue_ms += max((scored_s - asked.started_s) * 1000 - scored.prepare_ms - scored.infer_ms, 0.0)
        tally.time(scored.prepare_ms, scored.infer_ms)
        tally.record_ms += (ended_s - scored_s) * 1000
        tally.answered_ms += (ended_s - asked.started_s) * 1000
        if self._distributions is not None:
            self._distributions.note(asked.choice.release_id, scored.columns, scored.outputs, n_rows)

    def _offer(
        self, asked: _Asked, rules: FieldRules, answered: Prediction, values: Values, *, explained: bool
    ) -> None:
        """To those who do something with answers that were given."""
        if asked.choice.shadow is not None and self._shadows is not None:
            self._shadows.offer(asked.choice.shadow, answered, values)
        if self._share is not None and not explained and self._share.draws(rules.project):
            self._share.offer(answered)

    def _tally(self, asked: _Asked) -> Tally:
        tally = self._tallies.get(asked.choice.release_id)
        if tally is None:
            tally = self._tallies[asked.choice.release_id] = Tally()
        tally.last_at = asked.at
        return tally

    def _choose(self, project: str, key: str, version: str | None) -> Choice:
        route = self._routes.get(project)
        return self._routes.choose(route, key) if version is None else self._named(route, version)

    def _named(self, route: Route, version: str) -> Choice:
        """The arm that ``version`` names: by release id, the version of a model in memory, or its name in a
        split."""
        known = []
        for arm, release_id in route.arms:
            loaded = self._models.find(release_id)
            if version in (release_id, loaded and loaded.version) or (route.split and version == arm):
                return Choice(release_id, arm)
            known.append(loaded.version if loaded else release_id)
        raise NotFound(
            f"Version {version!r} of {route.project!r} does not answer now. "
            f"Versions that do: {', '.join(known)}."
        )

    async def _fail(self, asked: _Asked, n_rows: int, error: Exception, text: str) -> Exception:
        """Count and record a failure, in words that may be written down; returns what the caller is told."""
        release_id = asked.choice.release_id
        failure = Failure(
            id=asked.id,
            project=asked.project,
            release_id=release_id,
            arm=asked.choice.arm,
            principal=asked.principal,
            at=asked.at,
            n_rows=n_rows,
            error=text[:1000],
            request_id=asked.request_id,
        )
        tally = self._tally(asked)
        tally.failed += 1
        tally.raised(error)
        tally.failed_ms += (self._clock.monotonic_s() - asked.started_s) * 1000
        # Where it broke, but not with which values: those are only in the error's own text.
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.error("Release %s failed on %s: %s\n%s", release_id, failure.id, failure.error, where)
        await self._recorder.record(failure.project, encode_failure(failure), "failures")
        if isinstance(error, Unavailable):
            return Unavailable(str(error))
        return Unanswered(
            f"The model of release {release_id} could not answer ({type(error).__name__}). "
            f"The request was not at fault; it is recorded as failure {failure.id}."
        )


def _fields(prediction: Prediction) -> dict[str, Any]:
    return {one.name: getattr(prediction, one.name) for one in fields(prediction)}


def _resource(project: str) -> str:
    """What the policy is asked about. No project has a longer name, so none is looked up or remembered."""
    if len(project) > MAX_NAME:
        raise NotFound(
            f"There is no project {project[:MAX_NAME]!r}...; a name has at most {MAX_NAME} characters."
        )
    return f"project:{project}"


def check_texts(
    key: str | None, request_id: str | None, version: str | None, keys: Sequence[str] | None
) -> None:
    """Identifiers go into the log as they are, so they are kept short.

    Raises:
        InvalidInput: one is longer than ``MAX_TEXT``.
    """
    for what, text in (("key", key), ("id", request_id), ("version", version)):
        if text is not None and len(text) > MAX_TEXT:
            raise InvalidInput(f"{what!r} has {len(text)} characters. Expected at most {MAX_TEXT}.")
    for index, text in enumerate(keys or ()):
        if len(text) > MAX_TEXT:
            raise InvalidInput(
                f"'keys' entry {index} has {len(text)} characters. Expected at most {MAX_TEXT}."
            )


def _check_request(
    loaded: LoadedModel, outputs: Sequence[str], keys: Sequence[str] | None, n_rows: int
) -> None:
    for name in outputs:
        if name not in loaded.outputs:
            known = ", ".join(loaded.outputs)
            raise InvalidInput(f"The model has no output {name!r}. Expected one of {known}.")
    if keys is not None and len(keys) != n_rows:
        raise InvalidInput(f"'keys' has {len(keys)} entries. Expected one for each of {n_rows} rows.")
