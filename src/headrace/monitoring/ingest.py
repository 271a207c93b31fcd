"""Moves acknowledged events into versioned tables, each exactly once, also after ``kill -9``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import msgspec
import numpy as np

from headrace.core.ports import Columns, EventLog, TableStore, Transaction
from headrace.core.record import Condition, Explained, Feedback, Outcome, Prediction, Refusal
from headrace.monitoring.spans import span_rows
from headrace.store.records import (
    decode_explained,
    decode_feedback,
    decode_outcome,
    decode_prediction,
    decode_received,
    decode_refusal,
)

BATCH = 20_000
_TEXTS = ("prediction_id", "subject", "release_id", "method", "scale", "of", "input", "among")
"""Columns of explanations that are text; the others are numbers, but for the time."""


def predictions_table(project: str) -> str:
    """Name of the table of a project's answers: one row per predicted row."""
    return f"{project}/predictions"


def shadows_table(project: str) -> str:
    """Name of the table of what shadow releases said, in the form of the answers, whose ids it has."""
    return f"{project}/shadows"


def embeddings_table(project: str) -> str:
    """Name of the table of texts that became vectors, in the form of the answers."""
    return f"{project}/embeddings"


def moderations_table(project: str) -> str:
    """Name of the table of texts that were judged, in the form of the answers."""
    return f"{project}/moderations"


def outcomes_table(project: str) -> str:
    """Name of the table of what turned out to be true."""
    return f"{project}/outcomes"


def feedback_table(project: str) -> str:
    """Name of the table of what people did around answers, and of what those earned."""
    return f"{project}/feedback"


def explanations_table(project: str) -> str:
    """Name of the table of explanations that are kept: one row per explained row of an answer and input."""
    return f"{project}/explanations"


def refusals_table(project: str) -> str:
    """Name of the table of requests that were refused for their columns: one row per record of a count."""
    return f"{project}/refusals"


def spans_table(project: str) -> str:
    """Name of the table of the steps of traces: one row per step that was received."""
    return f"{project}/spans"


def record_tables(project: str) -> tuple[str, ...]:
    """Names of all tables that are made of the event log; each has its stream's name."""
    return (
        predictions_table(project),
        shadows_table(project),
        embeddings_table(project),
        moderations_table(project),
        outcomes_table(project),
        feedback_table(project),
        explanations_table(project),
        refusals_table(project),
        spans_table(project),
    )


def ingest(project: str, events: EventLog, tables: TableStore, *, numeric: frozenset[str]) -> int:
    """Bring the tables up to date with the event log; returns how many rows were added.

    A segment's position is stored in the same commit as its rows, so a repeat adds nothing. A column keeps
    the kind that its table knows it by, also after a project has changed it: no record may block the rest.

    Args:
        numeric: input columns that hold numbers, also where a batch happens to hold only nulls.
    """
    return sum(ingest_table(table, events, tables, numeric=numeric) for table in record_tables(project))


def ingest_table(
    table: str, events: EventLog, tables: TableStore, *, numeric: frozenset[str] = frozenset()
) -> int:
    """The same for one of a project's tables."""
    added = 0
    for segment in events.segments(table):
        writer = f"{table}/{segment.name}"
        position = tables.position(table, writer)
        while position < segment.size_bytes:
            records, after = events.read(table, segment.name, position, BATCH)
            if not records:
                break
            columns = _rows_of(table.rpartition("/")[2], records, numeric)
            columns = _as_stored(columns, table, tables)
            tables.append(table, columns, transaction=Transaction(writer, after))
            added += len(columns["subject"])
            position = after
    return added


def _rows_of(kind: str, records: Sequence[bytes], numeric: frozenset[str]) -> Columns:
    if kind == "outcomes":
        return outcome_rows([decode_outcome(record) for record in records])
    if kind == "feedback":
        return feedback_rows([decode_feedback(record) for record in records])
    if kind == "explanations":
        return explanation_rows([decode_explained(record) for record in records])
    if kind == "refusals":
        return refusal_rows([decode_refusal(record) for record in records])
    if kind == "spans":
        return span_rows([decode_received(record) for record in records])
    return prediction_rows([decode_prediction(record) for record in records], numeric)


def prediction_rows(predictions: Sequence[Prediction], numeric: frozenset[str]) -> Columns:
    """Answers as columns, one row per predicted row; inputs as ``in_*``, outputs as ``out_*``."""
    n_rows = [p.n_rows for p in predictions]
    row = np.concatenate([np.arange(n, dtype=np.int64) for n in n_rows]) if predictions else np.zeros(0)
    ids = _repeat([p.id for p in predictions], n_rows)
    columns: dict[str, Any] = {
        "prediction_id": ids,
        "row": row,
        "subject": np.array([f"{i}:{r}" for i, r in zip(ids, row, strict=True)], dtype=object),
        "key": np.array(
            [k for p in predictions for k in (p.keys if p.keys is not None else repeat(None, p.n_rows))],
            dtype=object,
        ),
        "release_id": _repeat([p.release_id for p in predictions], n_rows),
        "arm": _repeat([p.arm for p in predictions], n_rows),
        "principal": _repeat([p.principal for p in predictions], n_rows),
        "event_time": np.repeat(_times([p.event_time for p in predictions]), n_rows),
        "at": np.repeat(_times([p.at for p in predictions]), n_rows),
        "prepare_ms": np.repeat(np.array([p.prepare_ms for p in predictions]), n_rows),
        "infer_ms": np.repeat(np.array([p.infer_ms for p in predictions]), n_rows),
    }
    for name in sorted({name for p in predictions for name in p.columns}):
        values = [v for p in predictions for v in p.columns.get(name, [None] * p.n_rows)]
        columns[f"in_{name}"] = _column(values, name in numeric)
    for name in sorted({name for p in predictions for name in p.outputs}):
        values = [v for p in predictions for v in p.outputs.get(name, [None] * p.n_rows)]
        parts = {
            f"out_{name}_{index}": [v[index] if _is_list(v) and index < len(v) else None for v in values]
            for index in range(max((len(v) for v in values if _is_list(v)), default=0))
        }
        columns |= {part: _column(split, numeric=True) for part, split in parts.items()}
        whole = [None if _is_list(v) else v for v in values]
        if not parts or any(v is not None for v in whole):
            columns[f"out_{name}"] = _column(whole, numeric=not any(isinstance(v, str) for v in whole))
    return columns


def outcome_rows(outcomes: Sequence[Outcome]) -> Columns:
    """Outcomes as columns; a number stands in ``value_number``, anything else in ``value_text``."""
    return {
        **_said(outcomes, ("id", "kind", "subject", "principal")),
        "observed_at": _times([o.observed_at for o in outcomes]),
    }


def feedback_rows(events: Sequence[Feedback]) -> Columns:
    """Feedback as columns, in the form of :func:`outcome_rows`."""
    texts = ("id", "kind", "subject", "name", "principal", "page", "text", "source", "by")
    return {**_said(events, texts), "happened_at": _times([event.happened_at for event in events])}


def _said(records: Sequence[Outcome] | Sequence[Feedback], texts: Sequence[str]) -> Columns:
    numbers = [None if r.value is None or isinstance(r.value, str) else float(r.value) for r in records]
    return {
        **{name: np.array([getattr(r, name) for r in records], dtype=object) for name in texts},
        "value_number": _column(numbers, numeric=True),
        "value_text": np.array(
            [r.value if isinstance(r.value, str) else None for r in records], dtype=object
        ),
        "at": _times([r.at for r in records]),
    }


def explanation_rows(explained: Sequence[Explained]) -> Columns:
    """Explanations as columns, one row for each input of each explained row, in the model's order of inputs.

    ``of`` and ``among`` are JSON; ``asked`` says whether the trees asked about the input on the row's way.
    """
    columns: dict[str, list[Any]] = defaultdict(list)
    for one in explained:
        why = one.explanation
        for index, row in enumerate(why.rows):
            path = {condition.input: condition for condition in row.path or ()}
            for place, (name, value) in enumerate(row.contributions.items()):
                cells = {
                    "prediction_id": one.id,
                    "row": index,
                    "subject": f"{one.id}:{index}",
                    "release_id": one.release_id,
                    "method": why.method,
                    "scale": why.scale,
                    "of": None if row.of is None else _to_json(row.of),
                    "input": name,
                    "at": one.at,
                    "background_rows": why.background_rows,
                    "base": row.base,
                    "value": row.value,
                    "confidence": row.confidence,
                    "fidelity": row.fidelity,
                    "has_path": row.path is not None,
                    "place": place,
                    "contribution": value,
                    "standard_error": None if row.standard_errors is None else row.standard_errors[name],
                } | _asked(path.get(name))
                for column, cell in cells.items():
                    columns[column].append(cell)
    times = _times(columns.pop("at"))
    texts = {name: np.array(columns[name], dtype=object) for name in _TEXTS}
    numbers = {name: _column(values, numeric=True) for name, values in columns.items() if name not in _TEXTS}
    return {**texts, "at": times, **numbers}


def refusal_rows(refusals: Sequence[Refusal]) -> Columns:
    """Counts of refused requests as columns; ``missing``, ``unknown`` and ``mistyped`` are JSON."""
    return {
        "subject": np.array([one.id for one in refusals], dtype=object),
        "release_id": np.array([one.release_id for one in refusals], dtype=object),
        "principal": np.array([one.principal for one in refusals], dtype=object),
        "since": _times([one.since for one in refusals]),
        "at": _times([one.at for one in refusals]),
        "n": np.array([one.n for one in refusals], dtype=np.int64),
        "missing": np.array([_to_json(one.missing) for one in refusals], dtype=object),
        "unknown": np.array([_to_json(one.unknown) for one in refusals], dtype=object),
        "mistyped": np.array([_to_json(one.mistyped) for one in refusals], dtype=object),
    }


def _asked(condition: Condition | None) -> dict[str, Any]:
    if condition is None:
        return {"asked": False, "above": None, "at_most": None, "among": None, "missing": False}
    return {
        "asked": True,
        "above": condition.above,
        "at_most": condition.at_most,
        "among": None if condition.among is None else _to_json(condition.among),
        "missing": condition.missing,
    }


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _repeat(values: list[str], n_rows: list[int]) -> Any:
    return np.repeat(np.array(values, dtype=object), n_rows)


def _times(values: list[datetime]) -> Any:
    return np.array([np.datetime64(v.replace(tzinfo=None), "us") for v in values], dtype="datetime64[us]")


def _column(values: list[Any], numeric: bool) -> Any:
    """Numbers and booleans as float64, anything else as text; ``numeric`` decides where all are null."""
    known = {type(v) for v in values if v is not None}
    if (numeric or known) and not any(issubclass(kind, str) for kind in known):
        return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    return np.array([as_category(v) for v in values], dtype=object)


def _as_stored(columns: Columns, table: str, tables: TableStore) -> Columns:
    """``columns`` in the kinds of the table; text that is no number becomes a null number."""
    if tables.version(table) is None:
        return columns
    stored = tables.query("select * from t limit 0", {"t": (table, None)})
    fitting: dict[str, Any] = {}
    for name, values in columns.items():
        kind, wanted = values.dtype.kind, stored[name].dtype.kind if name in stored else values.dtype.kind
        if kind == "O" and wanted == "f":
            values = as_numbers(values)  # noqa: PLW2901 - the column in its other kind
        elif kind == "f" and wanted == "O":
            values = np.array([as_category(None if np.isnan(v) else v) for v in values], dtype=object)  # noqa: PLW2901
        fitting[name] = values
    return fitting


def as_numbers(values: Any) -> Any:
    """Text as float64, shape ``(n_rows,)``; NaN where it is no number."""
    if np.asarray(values).dtype.kind == "f":
        return values
    return np.array([_number(v) for v in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float("nan") if value is None else float(value)
    except ValueError:
        return float("nan")


def as_category(value: Any) -> str | None:
    """The name of a category: whole numbers and booleans without a decimal point, as elsewhere."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


def quoted(column: str) -> str:
    """A column's name as SQL has it."""
    return '"' + column.replace('"', '""') + '"'


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
