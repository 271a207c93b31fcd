"""Explanations beside the record: those that callers ask for, and of a share of the traffic.

An explanation says something of the values that it explains. So it is kept only where the record has the
inputs as they came, and goes to the collector of traces only where the data is about nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from random import random
from secrets import token_hex
from typing import Any, NamedTuple

from headrace.access.privacy.fields import FieldRules
from headrace.app.answers.explanations import MAX_ROWS, Explainers
from headrace.core.errors import HeadraceError
from headrace.core.ports import Clock, EventLog
from headrace.core.project import Project
from headrace.core.record import (
    Contributions,
    Explained,
    Explanation,
    Prediction,
    Span,
    SpanEvent,
    Unrecorded,
)
from headrace.monitoring.ingest import explanations_table
from headrace.serving.trace_context import NOTED, Spans
from headrace.serving.until_erased import Late, append_until_erased
from headrace.store.records import encode_explained

_log = logging.getLogger(__name__)
_MOST_AT_ONCE = 4
"""Answers of the share that wait for the thread of explanations; more are passed over, so that whoever asks
for an explanation does not wait for those that nobody asked for."""
_MOST_INPUTS = 32
"""Contributions in one event of a span, the largest first."""
_NAMES = "headrace.explanation"


class Counted(NamedTuple):
    """Explanations of a project by what became of them.

    ``kept`` are durable beside the record; ``withheld``: an input is not recorded as it came, the answer has
    too many rows, or is not on record; ``skipped``: too many of the share waited; ``failed``: the release
    cannot be explained, or the disk refused.
    """

    project: str
    outcome: str


class _Place(NamedTuple):
    """Where in the traces an explanation belongs."""

    trace_id: str
    parent_id: str | None


class KeptExplanations:
    """Explains answers and keeps what it says. Used on an event loop; closed before the event log is.

    Args:
        rules_of: project to what may be written down of its answers.
        erased_s: project to when an erasure last began in it, in seconds since 1970.
        spans: takes each explanation as a span; none is made without it.

    Example::

        why = await explanations.of(prediction)  # durable beside the record when it returns
        explanations.offer(prediction)  # returns at once
    """

    def __init__(
        self,
        explainers: Explainers,
        events: EventLog,
        clock: Clock,
        rules_of: Callable[[str], FieldRules],
        *,
        erased_s: Callable[[str], float],
        spans: Spans | None = None,
    ) -> None:
        self._explainers = explainers
        self._events = events
        self._clock = clock
        self._rules_of = rules_of
        self._erased_s = erased_s
        self._spans = spans
        self._counts: Counter[Counted] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def of(self, prediction: Prediction) -> Explanation:
        """The explanation of an answer that has just been given.

        Raises:
            InvalidInput: its release cannot be explained, or it has too many rows.
            Unavailable: too many explanations are being computed.
        """
        return await self._explainers.apart(self._explain, prediction, _place(prediction))

    def require_few(self, n_rows: int) -> None:
        """Raises InvalidInput where more rows are to be explained than one request may ask for."""
        self._explainers.require_few(n_rows)

    def draws(self, project: Project) -> bool:
        """Whether an answer of the project belongs to the share that is explained."""
        share = project.serving.explain_share
        return share > 0.0 and random() < share

    def offer(self, prediction: Prediction) -> None:
        """Explain an answer once there is time, if it can be kept; nobody waits for it."""
        if prediction.n_rows > MAX_ROWS or not self._may_keep(prediction):
            self._count(prediction, "withheld")
        elif len(self._tasks) >= _MOST_AT_ONCE:
            self._count(prediction, "skipped")
        else:
            task = asyncio.get_running_loop().create_task(self._later(prediction))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def counts(self) -> dict[Counted, int]:
        """What became of explanations since this process started."""
        return dict(self._counts)

    def close(self) -> None:
        """Finish the one under way; what waits is not explained."""
        self._explainers.close()

    async def _later(self, prediction: Prediction) -> None:
        try:
            await self.of(prediction)
        except HeadraceError as error:
            self._count(prediction, "failed")
            _log.info("Answer %s of release %s: %s", prediction.id, prediction.release_id, error)
        except Exception:  # noqa: BLE001
            # Boundary: a model is user code, and nobody waits for this.
            self._count(prediction, "failed")
            _log.exception("Answer %s of release %s is not explained", prediction.id, prediction.release_id)

    def _explain(self, prediction: Prediction, place: _Place | None) -> Explanation:
        """On the thread of explanations."""
        started_at = self._clock.now()
        found = self._explainers.explain(prediction.release_id, prediction.columns)
        self._keep(prediction, found)
        if self._spans is not None and place is not None:
            personal = self._rules_of(prediction.project).project.privacy.personal
            self._spans.emit([_span(prediction, found, place, started_at, self._clock.now(), bare=personal)])
        return found

    def _keep(self, prediction: Prediction, found: Explanation) -> None:
        if not self._may_keep(prediction):
            self._count(prediction, "withheld")
            return
        explained = Explained(
            id=prediction.id,
            project=prediction.project,
            release_id=prediction.release_id,
            at=prediction.at,
            explanation=found,
        )
        late = Late(prediction.at.timestamp(), encode_explained(explained))
        try:
            append_until_erased(self._events, explanations_table(prediction.project), [late], self._erased_s)
        except Exception:  # noqa: BLE001
            # Boundary: the answer is on record, and its explanation is given all the same.
            _log.exception("The explanation of answer %s was not stored", prediction.id)
            self._count(prediction, "failed")
        else:
            self._count(prediction, "kept")

    def _may_keep(self, prediction: Prediction) -> bool:
        """Whether the record has the inputs as they came."""
        recorded = self._rules_of(prediction.project).prediction(prediction)
        return not isinstance(prediction, Unrecorded) and recorded.columns == prediction.columns

    def _count(self, prediction: Prediction, outcome: str) -> None:
        self._counts[Counted(prediction.project, outcome)] += 1


def _place(prediction: Prediction) -> _Place | None:
    """In the request's trace, if that is followed; a trace of its own where the request has none. Whoever
    wants its trace not to be kept gets none."""
    noted = NOTED.get()
    if noted is not None:
        return _Place(noted.trace_id, noted.span_id)
    return _Place(token_hex(16), None) if prediction.trace_id is None else None


def _span(
    prediction: Prediction,
    found: Explanation,
    place: _Place,
    started_at: datetime,
    ended_at: datetime,
    *,
    bare: bool,
) -> Span:
    """One event for each row; none where it would say something of a person."""
    events = (
        ()
        if bare
        else tuple(
            SpanEvent(name="explanation", at=ended_at, attributes=_of_row(f"{prediction.id}:{index}", row))
            for index, row in enumerate(found.rows)
        )
    )
    return Span(
        trace_id=place.trace_id,
        span_id=token_hex(8),
        parent_id=place.parent_id,
        name=f"explain {prediction.project}",
        started_at=started_at,
        ended_at=ended_at,
        attributes={
            "headrace.project": prediction.project,
            "headrace.release": prediction.release_id,
            "headrace.prediction": prediction.id,
            "headrace.rows": prediction.n_rows,
            f"{_NAMES}.method": found.method,
            f"{_NAMES}.scale": found.scale,
            f"{_NAMES}.background_rows": found.background_rows,
        },
        events=events,
    )


def _of_row(subject: str, row: Contributions) -> dict[str, Any]:
    ordered = sorted(row.contributions.items(), key=lambda one: -abs(one[1]))
    attributes: dict[str, Any] = {
        "headrace.subject": subject,
        f"{_NAMES}.base": row.base,
        f"{_NAMES}.value": row.value,
        **{f"{_NAMES}.contribution.{name}": value for name, value in ordered[:_MOST_INPUTS]},
    }
    if len(ordered) > _MOST_INPUTS:
        attributes[f"{_NAMES}.others"] = sum(value for _, value in ordered[_MOST_INPUTS:])
    if row.of is not None:
        attributes[f"{_NAMES}.of"] = row.of
    if row.confidence is not None:
        attributes[f"{_NAMES}.confidence"] = row.confidence
    if row.fidelity is not None:
        attributes[f"{_NAMES}.fidelity"] = row.fidelity
    if row.path is not None:
        attributes[f"{_NAMES}.path"] = [condition.text for condition in row.path]
    return attributes
