"""Answers of a model elsewhere as they are given: checked, by the privacy rules, into the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.app.composition import App
from headrace.app.elsewhere.attaching import PROBABILITY, attached
from headrace.checks.columns import LARGEST
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.record import Prediction
from headrace.monitoring.ingest import predictions_table
from headrace.store.records import encode_prediction
from headrace.training.training_set import input_columns

Value = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class ForeignAnswer:
    """One row that was answered elsewhere.

    Attributes:
        id: by which it is named here; the same id is the same answer.
        columns: input to value.
        probability: of the last of two classes.
    """

    id: str
    at: datetime
    columns: Mapping[str, Value]
    prediction: bool | int | float | str
    probability: float | None = None
    key: str | None = None
    event_time: datetime | None = None


def record_answers(
    app: App, me: Principal, project: str, version: str, answers: Sequence[ForeignAnswer]
) -> list[str]:
    """Record answers of the attached ``version``; durable when it returns their ids, by which labels come.

    Raises:
        Denied: ``me`` may not send predictions of the project.
        NotFound: no such version is attached.
        InvalidInput: an answer lacks an input, or a value is no number where one is needed; none is recorded.
    """
    app.gatekeeper.require(me, "predict", f"project:{project}")
    release = attached(app, project, version)
    declared = app.store.projects.get(project)
    rules = app.access.privacy.rules(project)
    now = app.clock.now()
    made = [_prediction(declared, release.id, me.name, answer, n, now) for n, answer in enumerate(answers)]
    app.store.events.append(
        predictions_table(project), [encode_prediction(rules.prediction(one)) for one in made]
    )
    return [one.id for one in made]


def _prediction(
    project: Project, release_id: str, principal: str, answer: ForeignAnswer, n: int, now: datetime
) -> Prediction:
    inputs = input_columns(project)
    missing = [column.name for column in inputs if column.name not in answer.columns]
    if missing:
        raise InvalidInput(
            f"answers[{n}].columns has no {missing[0]!r}. Expected: {', '.join(c.name for c in inputs)}."
        )
    numeric = {column.name for column in inputs if column.role == "numeric"}
    outputs: dict[str, list[Any]] = {"predict": [answer.prediction]}
    if project.task != "classification":
        outputs["predict"] = [_number(answer.prediction, f"answers[{n}].prediction")]
    if answer.probability is not None:
        outputs[PROBABILITY] = [_number(answer.probability, f"answers[{n}].probability")]
    return Prediction(
        id=derived_id("answer", release_id, answer.id),
        project=project.name,
        release_id=release_id,
        arm="live",
        principal=principal,
        at=min(answer.at, now),  # how long it is kept, and which windows are over, follows from this
        event_time=answer.event_time or answer.at,
        n_rows=1,
        columns={
            column.name: [
                _value(answer.columns[column.name], column.name in numeric, f"answers[{n}].{column.name}")
            ]
            for column in inputs
        },
        outputs=outputs,
        keys=None if answer.key is None else [answer.key],
    )


def _value(value: Value, numeric: bool, what: str) -> Value:
    if value is None or not numeric or isinstance(value, bool):
        return value
    return _number(value, what)


def _number(value: Value, what: str) -> float:
    if isinstance(value, str) or value is None or not abs(value) <= LARGEST:
        raise InvalidInput(f"{what} is no finite number, where one is declared.")
    return float(value)
