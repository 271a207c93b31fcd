"""One part of a table that is scored: from rows of the copy to a file of answers and their record."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.access.privacy.fields import key_text
from headrace.app.composition import App, open_app
from headrace.core.errors import InvalidInput
from headrace.core.record import Prediction
from headrace.core.settings import Settings
from headrace.data.frames import is_null, kind_of, nulls_of
from headrace.data.row_copies import RowCopy
from headrace.data.sources import write_parquet
from headrace.serving.batch import Answered, score_each
from headrace.serving.models import LoadedModel, LoadedModels
from headrace.serving.table_values import fitting_values
from headrace.store.compressing import compress
from headrace.store.disk import sync_file
from headrace.store.records import encode_prediction

ROWS_PER_PART = 10_000
ROW, SUBJECT, CONFIDENCE, REASON = "row", "subject", "confidence", "refused"
"""Columns of the output beside the kept ones and the model's outputs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is scored by what, fixed when it begins.

    Attributes:
        id: names the run in the audit log; answers have ids that follow from it and their row.
        source: as it was named; ``digest`` is that of its bytes, or of the snapshot.
        kept: columns of the source that the output keeps.
        key, time: columns of the source whose values are the answers' business keys and event times.
        recorded: whether answers enter the project's record.
        ends: of each segment of the record, where it ended when the run began.
    """

    id: str
    project: str
    release_id: str
    version: str
    principal: str
    source: str
    digest: str
    query: str | None
    kept: list[str]
    key: str | None
    time: str | None
    recorded: bool
    n_rows: int
    ends: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A part whose file is written: its number, its rows, how many were refused, and what to record by id."""

    part: int
    n_rows: int
    n_refused: int
    reasons: list[str]
    records: dict[str, bytes]


class _Group(NamedTuple):
    """Places among the answered rows, and the moment that their answers are about."""

    places: list[int]
    event_time: datetime


class PartScorer:
    """Scores parts of one plan in this process."""

    def __init__(self, app: App, plan: Plan, rows: Path, folder: Path) -> None:
        self._app = app
        self._plan = plan
        self._folder = folder
        self._rows = RowCopy(rows)
        self._loaded = LoadedModels(app.scorers.of_release, app.clock).get(plan.release_id)
        self._rules = app.access.privacy.rules(plan.project)

    def check(self) -> None:
        """Whether the rows have what the model expects and what is to be kept.

        Raises:
            InvalidInput: a column is missing.
        """
        has = ", ".join(self._rows.names)[:500]
        for item in self._loaded.inputs:
            if item.required and item.name not in self._rows.names:
                raise InvalidInput(
                    f"The rows have no column {item.name!r}, which the model of {self._plan.project!r} "
                    f"expects (has: {has}). Name it so in the table, or by --query."
                )
        outputs = {ROW, SUBJECT, REASON, *self._loaded.outputs}
        for name in self._plan.kept:
            if name not in self._rows.names:
                raise InvalidInput(f"The rows have no column {name!r} to keep (has: {has}).")
            if name in outputs:
                raise InvalidInput(f"Column {name!r} cannot be kept: the output has one of that name itself.")

    def score(self, part: int, most_refused: int) -> Done:
        """Write the part's file; the same rows always give the same answers, under the same ids.

        Raises:
            InvalidInput: more than ``most_refused`` rows are refused.
        """
        start = part * ROWS_PER_PART
        rows = self._rows.read(start, ROWS_PER_PART)
        values = {
            name: fitting_values(name, rows[name], kind) for name, kind in self._loaded.kinds if name in rows
        }
        n_rows = len(next(iter(rows.values())))
        keys = self._keys(rows)
        try:
            answered = score_each(self._loaded, values, n_rows, self._app.clock, most_refused=most_refused)
        except InvalidInput as error:
            raise InvalidInput(self._rules.text(str(error), values, keys)) from error
        for place, reason in answered.refused.items():
            row = {name: column[place : place + 1] for name, column in values.items()}
            answered.refused[place] = self._rules.text(reason, row, keys and keys[place : place + 1])
        now = self._app.clock.now()
        groups = list(self._groups(answered, rows, now))
        predictions = [self._prediction(start, answered, group, keys, now) for group in groups]
        path = self._folder / part_name(part)
        written = path.with_suffix(".new")
        write_parquet(self._columns(start, rows, answered, zip(groups, predictions, strict=True)), written)
        sync_file(written)
        return Done(
            part=part,
            n_rows=n_rows,
            n_refused=len(answered.refused),
            reasons=list(answered.refused.values())[:3],
            records={one.id: self._record(one) for one in predictions},
        )

    def _record(self, prediction: Prediction) -> bytes:
        above_bytes = self._rules.project.serving.compress_above_bytes
        return compress(encode_prediction(self._rules.prediction(prediction)), above_bytes=above_bytes)

    def close(self) -> None:
        """Release the copy."""
        self._rows.close()

    def _keys(self, rows: dict[str, Any]) -> list[str] | None:
        if self._plan.key is None:
            return None
        return ["" if is_null(value) else key_text(value) for value in rows[self._plan.key].tolist()]

    def _groups(self, answered: Answered, rows: dict[str, Any], now: datetime) -> Iterator[_Group]:
        """The answered rows of each hour together, as an application that asks once an hour sends them."""
        if self._plan.time is None or kind_of(rows[self._plan.time]) != "time":
            if answered.rows:
                yield _Group(list(range(len(answered.rows))), now)
            return
        hours = rows[self._plan.time][answered.rows].astype("datetime64[h]")
        for hour in dict.fromkeys(hours.tolist()):  # in the order of their first rows; NaT comes as None
            of_hour = np.isnat(hours) if hour is None else hours == np.datetime64(hour, "h")
            moment = now if hour is None else hour.replace(tzinfo=UTC)
            yield _Group(np.flatnonzero(of_hour).tolist(), moment)

    def _prediction(
        self, start: int, answered: Answered, group: _Group, keys: list[str] | None, now: datetime
    ) -> Prediction:
        places = group.places
        share = len(places) / len(answered.rows)
        return Prediction(
            id=_numbered(self._plan.id, start + answered.rows[places[0]]),
            project=self._plan.project,
            release_id=self._plan.release_id,
            arm="live",
            principal=self._plan.principal,
            at=now,
            event_time=group.event_time,
            n_rows=len(places),
            columns={name: [column[p] for p in places] for name, column in answered.columns.items()},
            outputs={name: [column[p] for p in places] for name, column in answered.outputs.items()},
            keys=None if keys is None else [keys[answered.rows[p]] for p in places],
            request_id=f"batch:{self._plan.id}",
            prepare_ms=answered.prepare_ms * share,
            infer_ms=answered.infer_ms * share,
            unseen=sorted(answered.unseen) or None,
        )

    def _columns(
        self,
        start: int,
        rows: dict[str, Any],
        answered: Answered,
        given: Iterable[tuple[_Group, Prediction]],
    ) -> dict[str, Any]:
        n_rows = len(answered.rows) + len(answered.refused)
        columns: dict[str, Any] = {ROW: np.arange(start, start + n_rows, dtype=np.int64)}
        columns |= {name: rows[name] for name in self._plan.kept}
        for name in self._loaded.outputs:
            columns |= _empty(self._loaded, name, n_rows)
        columns |= {SUBJECT: nulls_of("text", n_rows), REASON: nulls_of("text", n_rows)}
        for group, prediction in given:
            at = [answered.rows[place] for place in group.places]
            columns[SUBJECT][at] = [f"{prediction.id}:{number}" for number in range(len(at))]
            for name, values in prediction.answers.items():
                for part, column in _parts(name, values):
                    columns[part][at] = column
        for place, reason in answered.refused.items():
            columns[REASON][place] = reason
        return columns


def part_name(part: int) -> str:
    """The file of a finished part."""
    return f"{part:06d}.parquet"


def _empty(loaded: LoadedModel, name: str, n_rows: int) -> dict[str, Any]:
    """Empty columns for one output."""
    classes = loaded.model.classes
    if name == "probability" and classes is not None and len(classes) > 2:
        return {f"{name}_{place}": nulls_of("number", n_rows) for place in range(len(classes))}
    labelled = name == loaded.outputs[0] and classes is not None and isinstance(classes[0], str)
    return {name: nulls_of("text" if labelled else "number", n_rows)}


def _parts(name: str, values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    if values and isinstance(values[0], list):
        for place in range(len(values[0])):
            yield f"{name}_{place}", [value[place] for value in values]
    else:
        yield name, values


def _numbered(run_id: str, row: int) -> str:
    """An id for the answers from ``row`` on: that of the run, its last 48 bits counted up."""
    return f"{run_id[:-12]}{(int(run_id[-12:], 16) + row) % (1 << 48):012x}"


_here: list[PartScorer] = []
"""What this process scores with, once it has begun."""


def begin_process(settings: Settings, plan: Plan, rows: Path, folder: Path) -> None:
    """Make this process score parts; it ends with the one that started it, however that ends."""
    # All that is kept is on disk by then; libraries that are taken down would only complain about each other.
    atexit.register(os._exit, 0)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    begin_scoring(settings, plan, rows, folder)


def begin_scoring(settings: Settings, plan: Plan, rows: Path, folder: Path) -> None:
    """Let this process, whoever ends it, score parts."""
    _here.append(PartScorer(open_app(settings), plan, rows, folder))


def score_in_process(part: int, most_refused: int) -> Done:
    """As :meth:`PartScorer.score`, in a process that has begun."""
    return _here[-1].score(part, most_refused)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
