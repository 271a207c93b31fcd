"""What answers brought: by version, two versions side by side, and around a single answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.app.operations import find_release
from headrace.app.overviews.reading import project as readable
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ports import Columns
from headrace.core.record import FeedbackKind
from headrace.core.release import Measurement
from headrace.monitoring.feedback import linked_feedback
from headrace.monitoring.ingest import ingest, predictions_table
from headrace.monitoring.kpis import NAME, KpiDifference, compare_kpis, newest
from headrace.monitoring.windows import as_utc


def kpis(app: App, me: Principal, name: str, release_id: str | None = None) -> list[Measurement]:
    """KPIs by window, release (one or all) and, where declared so, action: as far as feedback has come."""
    project = readable(app, me, name).name
    found = app.store.evidence.measurements(project, name=NAME, release_id=release_id)
    return list(newest(found).values())


def kpi_differences(
    app: App, me: Principal, name: str, *, release: str | None = None, against: str | None = None
) -> list[KpiDifference]:
    """What a release brought beside another one, on what they answered in the same time.

    Args:
        release: its id or how that begins; None: the canary, or every arm of an A/B test but the live one.
        against: likewise; None: the live release.

    Raises:
        Denied: ``me`` may not read the project.
        NotFound: there is no such project or release.
        InvalidInput: nothing is named, and no other release answers now; or both are the same.
    """
    project = readable(app, me, name)
    route = app.store.rollouts.route(name)
    live = None if route is None else route.live
    reference = live if against is None else _release(app, me, name, against)
    if release is not None:
        chosen = [_release(app, me, name, release)]
    else:
        chosen = [] if route is None else [one for one in route.releases if one != live]
    if reference is None or not chosen:
        raise InvalidInput(
            f"No two releases of {name!r} answer now. Name the one, and the other one against it."
        )
    if reference in chosen:
        raise InvalidInput(f"Release {reference} is compared with itself. Name another one.")
    _ingest(app, name)

    def classes_of(release_id: str) -> Sequence[Any] | None:
        return app.scorers.baseline(release_id).classes

    return [
        found
        for one in chosen
        for found in compare_kpis(project, app.store.tables, classes_of, one, reference)
    ]


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event about an answered row; ``value`` is none where it says no more than that it happened.
    ``principal`` sent it, ``by`` is whose word it is where that is somebody else."""

    kind: FeedbackKind
    name: str
    value: float | str | None
    happened_at: datetime
    page: str | None
    text: str | None
    source: str | None
    principal: str
    by: str | None


@dataclass(frozen=True, kw_only=True)
class AnsweredRow:
    """One row of an answer, and all that happened around it, in that order: before it, and after it."""

    subject: str
    release_id: str
    answered_at: datetime
    prediction: float | str | None
    feedback: list[Told]


def around_answer(app: App, me: Principal, name: str, answer: str) -> list[AnsweredRow]:
    """What people did before and after an answer, what was decided on it, and what came of it.

    Args:
        answer: its id, or ``ID:ROW``.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: no such answer is in the record.
    """
    app.gatekeeper.require(me, "data.read", f"project:{name}")
    _ingest(app, name)
    prediction_id, _, row = answer.partition(":")
    table, tables = predictions_table(name), app.store.tables
    sql = "select subject, release_id, \"at\", out_predict from p where prediction_id = ? and arm <> 'shadow'"
    found = {} if tables.version(table) is None else tables.query(sql, {"p": (table, None)}, [prediction_id])
    events = linked_feedback(name, tables, prediction_id=prediction_id) if found else {}
    rows = []
    for index, subject in enumerate(found.get("subject", ())):
        if row in ("", str(subject).rpartition(":")[2]):
            mine = [i for i, of in enumerate(events.get("subject", ())) if of == subject]
            rows.append(
                AnsweredRow(
                    subject=str(subject),
                    release_id=str(found["release_id"][index]),
                    answered_at=as_utc(found["at"][index]),
                    prediction=_value(found["out_predict"][index], None),
                    feedback=[_told(events, i) for i in mine],
                )
            )
    if not rows:
        raise NotFound(
            f"There is no answer {answer[:80]!r} in the record of {name!r}. Expected the 'id' that came with "
            "it, or the 'subject' of a row."
        )
    return sorted(rows, key=lambda one: int(one.subject.rpartition(":")[2]))


def _told(events: Columns, index: int) -> Told:
    event = {column: values[index] for column, values in events.items()}
    return Told(
        kind=event["kind"],
        name=event["name"],
        value=_value(event["number"], event["word"]),
        happened_at=as_utc(event["happened_at"]),
        page=_text(event["page"]),
        text=_text(event["text"]),
        source=_text(event["source"]),
        principal=str(event["principal"]),
        by=_text(event["by"]),
    )


def _value(number: Any, word: Any) -> float | str | None:
    if isinstance(word, str) or isinstance(number, str):
        return str(word if isinstance(word, str) else number)
    return None if number is None or math.isnan(number) else float(number)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _release(app: App, me: Principal, project: str, text: str) -> str:
    release = find_release(app, me, text)
    if release.project != project:
        raise InvalidInput(f"Release {release.id} is one of {release.project!r}, not of {project!r}.")
    return release.id


def _ingest(app: App, name: str) -> None:
    numeric = numeric_inputs(app.store, app.store.projects.get(name))
    ingest(name, app.store.events, app.store.tables, numeric=numeric)
