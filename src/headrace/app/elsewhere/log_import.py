"""What a model elsewhere has answered, from its log into the record: checked, by the privacy rules, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headrace.app.composition import App
from headrace.app.elsewhere.attaching import attached, predictions_of
from headrace.app.operations import outcomes_of
from headrace.checks.columns import LARGEST
from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.record import Prediction
from headrace.core.release import Release
from headrace.data.frames import is_null
from headrace.data.sources import read_file
from headrace.monitoring.ingest import outcomes_table, predictions_table
from headrace.monitoring.windows import as_utc
from headrace.store.records import decode_prediction, encode_outcome, encode_prediction
from headrace.training.training_set import input_columns

_AT_ONCE = 5_000
_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True)
class LogImport:
    """What came of a log: rows that are new in the record, rows that were there, and labels sent."""

    project: str
    release: str
    rows: int
    known: int
    labels: int


def import_log(
    app: App,
    me: Principal,
    project: str,
    path: Path,
    *,
    version: str,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> LogImport:
    """Record each row of ``path`` as an answer of the attached ``version``, with its label where it has one.

    Args:
        path: CSV, Parquet, or one JSON object a line: the inputs, ``prediction``, and, where the project
            names them, its time, key and target.

    Raises:
        Denied: ``me`` may not send predictions, or labels, of the project.
        NotFound: there is no such file, or no such version is attached.
        InvalidInput: a column is missing or holds the wrong thing; nothing is recorded then.
    """
    for action in ("predict", "label.write"):
        app.gatekeeper.require(me, action, f"project:{project}")
    release = attached(app, project, version)
    declared = app.store.projects.get(project)
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Give a CSV, Parquet or JSON Lines file.")
    digest = digest_bytes(path.read_bytes())
    table = read_log(path)
    rows = list(enumerate(_answers(app, me, declared, release, table, digest)))
    there = _there(app, project, {answer.id for _, answer in rows})
    new = [(row, answer) for row, answer in rows if answer.id not in there]
    truth = table.get(declared.data.target)
    # Looked at before anything is recorded, so that a log with a fault leaves nothing behind.
    labels = [] if truth is None else outcomes_of(app, me, project, _labels(declared, truth, rows))
    rules = app.access.privacy.rules(project)
    for start in range(0, len(new), _AT_ONCE):
        answers = [encode_prediction(rules.prediction(one)) for _, one in new[start : start + _AT_ONCE]]
        app.store.events.append(predictions_table(project), answers)
        on_progress((start + len(answers)) / len(new))
    for start in range(0, len(labels), _AT_ONCE):
        part = labels[start : start + _AT_ONCE]
        app.store.events.append(outcomes_table(project), [encode_outcome(one) for one in part])
    detail = {"release": release.id, "log": digest, "rows": len(new), "labels": len(labels)}
    app.store.audit.append(me.name, "log.import", f"project:{project}", detail)
    return LogImport(
        project=project, release=release.id, rows=len(new), known=len(rows) - len(new), labels=len(labels)
    )


def read_log(path: Path) -> dict[str, Any]:
    """Columns of a log; lines of JSON may lack what others have.

    Raises:
        InvalidInput: a line is no JSON object, or there is none.
    """
    if path.suffix not in _LINES:
        return dict(read_file(path))
    lines = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            lines.append(msgspec.json.decode(line, type=dict[str, bool | int | float | str | None]))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"Line {number} of {path.name} is no JSON object of plain values ({error}). Mend it."
            ) from error
    if not lines:
        raise InvalidInput(f"{path.name} has no line. Expected one JSON object for each answer.")
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: _column([line.get(name) for line in lines]) for name in names}


def _column(values: list[Any]) -> Any:
    if all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= LARGEST for v in values):
        return np.array(values, dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _answers(
    app: App, me: Principal, project: Project, release: Release, table: Mapping[str, Any], digest: str
) -> Iterator[Prediction]:
    """One answer for each row; its id follows from the log and the row's place, so a repeat is known."""
    inputs = input_columns(project)
    missing = [column.name for column in inputs if column.name not in table]
    if missing:
        raise InvalidInput(f"The log has no column {missing[0]!r} (has: {', '.join(list(table)[:20])}).")
    outputs = predictions_of(table, project)
    numeric = {column.name for column in inputs if column.role == "numeric"}
    columns = {c.name: [_plain(v, c.name in numeric, c.name) for v in table[c.name]] for c in inputs}
    said = {name: [_plain(v, False, name) for v in values] for name, values in outputs.items()}
    keys = table.get(project.data.key or "")
    moments = _moments(project, table, len(said["predict"]), app.clock.now())
    now = app.clock.now()
    for row, moment in enumerate(moments):
        yield Prediction(
            id=derived_id("import", release.id, digest, str(row)),
            project=project.name,
            release_id=release.id,
            arm="live",
            principal=me.name,
            at=now,
            event_time=moment,
            n_rows=1,
            columns={name: [values[row]] for name, values in columns.items()},
            outputs={name: [values[row]] for name, values in said.items()},
            keys=None if keys is None else [str(keys[row])],
        )


def _moments(project: Project, table: Mapping[str, Any], n_rows: int, now: datetime) -> list[datetime]:
    name = project.data.time
    if name is None or name not in table:
        if name is not None:
            raise InvalidInput(f"The log has no column {name!r}, which headrace.yaml names as the time.")
        return [now] * n_rows
    return [_moment(value, name, row) for row, value in enumerate(np.asarray(table[name]))]


def _moment(value: Any, name: str, row: int) -> datetime:
    try:
        if isinstance(value, np.datetime64):
            return as_utc(value)
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"Row {row + 1} of the log has no time in {name!r}. Expected ISO 8601, such as 2026-01-31T08:00Z."
        ) from error


def _plain(value: Any, numeric: bool, name: str) -> Any:
    if is_null(value):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    if numeric and (isinstance(value, str) or not abs(value) <= LARGEST):
        raise InvalidInput(
            f"Column {name!r} of the log holds something that is no number, where one is declared."
        )
    return float(value) if numeric and not isinstance(value, bool) else value


def _there(app: App, project: str, wanted: set[str]) -> set[str]:
    """Which of these answers are in the record: an import that was killed goes on where it stopped."""
    stream, events, found = predictions_table(project), app.store.events, set[str]()
    for segment in events.segments(stream):
        position = 0
        while position < segment.size_bytes:
            records, after = events.read(stream, segment.name, position, _AT_ONCE)
            if not records:
                break
            found |= {one.id for one in map(decode_prediction, records)} & wanted
            position = after
    return found


def _labels(project: Project, truth: Any, rows: Sequence[tuple[int, Prediction]]) -> list[dict[str, Any]]:
    """What turned out to be true, known from the moment that the answer is about."""
    return [
        {"subject": f"{answer.id}:0", "value": value, "observed_at": answer.event_time}
        for row, answer in rows
        if (value := _plain(truth[row], False, project.data.target)) is not None
    ]
