"""From request values to outputs: the model's part of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from headrace.core.errors import ModelFailed
from headrace.core.ports import Clock, Columns
from headrace.serving.answers import check_row, check_rows
from headrace.serving.inputs import Values, read_columns, read_row
from headrace.serving.models import LoadedModel

_ALONE = 4
"""Up to so many rows are scored faster one by one by a model that takes microseconds: a table of them has to
be made first."""


class Scored(NamedTuple):
    """What a model made of a request, in plain values as they are logged.

    Attributes:
        columns: the model's inputs, with ``None`` for every gap; times in ISO 8601.
        outputs: output name to one value per row.
        unseen: inputs with a category that training never saw; none is the usual case.
        latest: the latest moment that a forecast was asked for; none for other tasks.
    """

    columns: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    unseen: list[str] | None
    latest: datetime | None
    prepare_ms: float
    infer_ms: float


def score(loaded: LoadedModel, values: Values, n_rows: int, clock: Clock) -> Scored:
    """Read ``n_rows`` rows and predict them.

    Raises:
        InvalidInput: a value is not what the model expects.
        ModelFailed: what the model gave is no answer.
        Exception: whatever the model raises.
    """
    try:
        if n_rows == 1 and loaded.model.task != "forecasting":
            return _score_row(loaded, values, clock)
        return _score_rows(loaded, values, n_rows, clock)
    except (StopIteration, SystemExit) as error:
        raise not_through(error) from error


def not_through(error: BaseException) -> ModelFailed:
    """Instead of what must not be passed on: a :class:`StopIteration` never arrives through a future, so
    whoever waits would wait for ever, and a :class:`SystemExit` would end the server."""
    return ModelFailed(f"the model raised {type(error).__name__}: {error}")


def score_together(loaded: LoadedModel, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The outputs of rows that were read one by one, each in the model's order; of two probabilities, the
    last class's.

    Args:
        rows: values in the order of the model's inputs; a missing number is NaN, any other gap None.

    Raises:
        ModelFailed: what the model gave is no answer.
        Exception: whatever the model raises.
    """
    model = loaded.model
    names, labels = model.outputs, model.classes is not None
    if len(rows) <= (_ALONE if model.inline else 1):
        return [_outputs(loaded, row) for row in rows]
    table = model.score(_columns(loaded, rows))
    check_rows(table, names, len(rows), labels=labels)
    outputs = [[_of_last(value) for value in np.asarray(table[name]).tolist()] for name in names]
    return list(zip(*outputs, strict=True))


def _outputs(loaded: LoadedModel, row: Sequence[Any]) -> Sequence[Any]:
    answer = loaded.model.score_row(row)
    check_row(answer, loaded.model.outputs, labels=loaded.model.classes is not None)
    return [_of_last(answer[name]) for name in loaded.model.outputs]


def _columns(loaded: LoadedModel, rows: Sequence[Sequence[Any]]) -> Columns:
    columns = {}
    for (name, kind), values in zip(loaded.kinds, zip(*rows, strict=True), strict=True):
        if kind == "number":
            columns[name] = np.array(values, dtype=np.float64)
        elif kind == "boolean" and None not in values:
            columns[name] = np.array(values, dtype=np.bool_)
        else:
            columns[name] = column = np.empty(len(values), dtype=object)
            column[:] = values
    return columns


def _score_row(loaded: LoadedModel, values: Values, clock: Clock) -> Scored:
    started_s = clock.monotonic_s()
    row = read_row(loaded, values)
    prepared_s = clock.monotonic_s()
    answer = loaded.model.score_row(row.values)
    ended_s = clock.monotonic_s()
    check_row(answer, loaded.model.outputs, labels=loaded.model.classes is not None)
    return Scored(
        row.columns,
        {name: [_of_last(value)] for name, value in answer.items()},
        loaded.unseen_in_row(row.values) if loaded.known else None,
        None,
        (prepared_s - started_s) * 1000,
        (ended_s - prepared_s) * 1000,
    )


def _score_rows(loaded: LoadedModel, values: Values, n_rows: int, clock: Clock) -> Scored:
    model = loaded.model
    started_s = clock.monotonic_s()
    columns = model.complete(read_columns(loaded, values, n_rows))
    prepared_s = clock.monotonic_s()
    answer = model.score(columns)
    ended_s = clock.monotonic_s()
    check_rows(answer, model.outputs, n_rows, labels=model.classes is not None)
    return Scored(
        {name: [_plain(value) for value in column.tolist()] for name, column in columns.items()},
        _rows(answer),
        loaded.unseen(columns),
        _latest(columns) if model.task == "forecasting" else None,
        (prepared_s - started_s) * 1000,
        (ended_s - prepared_s) * 1000,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    return None if isinstance(value, float) and isnan(value) else value


def _latest(columns: Columns) -> datetime | None:
    moments = [column.max() for column in columns.values() if column.dtype.kind == "M"]
    return max(moments).item().replace(tzinfo=UTC) if moments else None


def _of_last(value: Any) -> Any:
    """Of two probabilities one says it all: that of the last class."""
    return value[1] if isinstance(value, list) and len(value) == 2 else value


def _rows(answer: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: [_of_last(value) for value in np.asarray(array).tolist()] for name, array in answer.items()}
