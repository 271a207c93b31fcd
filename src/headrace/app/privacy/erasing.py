"""Takes one subject out of everything that is kept of a project, in steps of a durable workflow.

Each step can be done again without another effect, and what a step needs to find its rows is removed last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from headrace.access.privacy.fields import KEY, key_text
from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.answers.later import erase_requests
from headrace.app.composition import App
from headrace.app.erasure_marks import MARKS, ErasureMarks
from headrace.app.llm.drafts import forget_drafts
from headrace.app.llm.handoffs import forget_handoffs
from headrace.app.llm.kept_files import erase_files
from headrace.app.llm.shadow_use import forget_uses
from headrace.core.data import Snapshot
from headrace.core.errors import Conflict, HeadraceError
from headrace.core.project import Project
from headrace.core.record import Feedback, Outcome, Prediction
from headrace.data.snapshots import load_snapshot, without_rows
from headrace.data.sources import read_file
from headrace.monitoring.ingest import (
    embeddings_table,
    explanations_table,
    feedback_table,
    ingest,
    moderations_table,
    outcomes_table,
    predictions_table,
    record_tables,
    shadows_table,
    spans_table,
)
from headrace.store.columns import quoted
from headrace.store.compressing import SMALLEST_LEVEL, compress
from headrace.store.records import (
    decode_explained,
    decode_feedback,
    decode_outcome,
    decode_prediction,
    decode_received,
    encode_prediction,
)
from headrace.training.pipeline import PROBE_ROWS

_PASSES = 5
_SAID: dict[str, Callable[[bytes], Outcome | Feedback]] = {
    "outcomes": decode_outcome,
    "feedback": decode_feedback,
}
"""Streams of what was said of answers, each of one table of its name."""


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A snapshot that held the subject: how many rows of it, and the model versions that learnt from them."""

    snapshot: str
    rows: int
    models: list[str]


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What was removed. A step that was killed and done again counts what was left for it.

    Attributes:
        subject: HMAC of the key; the key itself is kept nowhere.
        events: records of the event log that were removed or shortened.
        rows: rows of answers, outcomes and feedback that were removed, from all versions of their tables.
        archives: digests of raw originals that hold the subject.
        archives_removed: whether those were deleted too.
        not_searched: what could not be searched, and why.
    """

    id: str
    project: str
    subject: str
    events: int = 0
    rows: int = 0
    snapshots: list[Affected] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    archives_removed: bool = False
    not_searched: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is there of the subject: rows of answers, outcomes and feedback, and snapshots."""

    answers: int
    outcomes: int
    snapshots: list[Affected]
    feedback: int = 0


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Records of the event log and rows of tables that were removed."""

    events: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Archives:
    """Digests of raw originals that hold the subject, and what could not be searched."""

    digests: list[str]
    not_searched: list[str]


class Subject:
    """One subject of a project, and how it is taken out of what is kept.

    Args:
        key: the subject's business key, in clear.
    """

    def __init__(self, app: App, project: Project, key: str) -> None:
        self._app = app
        self._store = app.store
        self._clock = app.clock
        self._marks = ErasureMarks(app.settings.home / MARKS)
        self._project = project
        self._key = key
        # A column that is declared no more is one as long as what answers was approved with it.
        said = (project.data.key, *(terms.key for terms in app.access.charters.approved(project.name)))
        self._columns = tuple(dict.fromkeys(column for column in said if column is not None))
        self._names = frozenset({key, hash_of(app, project.name, key)})
        # Of the tables and of the streams that they are made of. Shadows first: a killed erasure finds the
        # rest through the answers.
        name = project.name
        self._answers = (
            shadows_table(name),
            embeddings_table(name),
            moderations_table(name),
            predictions_table(name),
        )

    def find(self) -> Found:
        """What is there now."""
        self._ingest()
        snapshots = [
            Affected(snapshot=snapshot.id, rows=int(held.sum()), models=self._models(snapshot))
            for snapshot in self._store.snapshots.list(self._project.name)
            if (held := self._held(snapshot)) is not None
        ]
        answers, outcomes, feedback = self._counts()
        return Found(answers=answers, outcomes=outcomes, feedback=feedback, snapshots=snapshots)

    def answers(self) -> Removed:
        """Take it out of the record. What was said of answers goes first: it is found through them.

        Raises:
            Conflict: answers about the subject keep arriving.
        """
        name = self._project.name
        self._marks.mark(name, self._clock.now())
        n_rows = 0
        events = erase_requests(self._store.jobs, name, self._names)
        events += forget_drafts(self._app, name, lambda one: one.user in self._names)
        events += forget_handoffs(self._app, name, lambda one: one.user in self._names)
        events += erase_files(self._app, name, self._names)
        events += forget_uses(
            self._app,
            lambda one: one.subject != "import" and one.who in self._names,
            workspace=self._store.projects.workspace(name),
        )
        for _ in range(_PASSES):
            self._ingest()
            rows = self._rows()
            condition, values = self._said_condition(rows)
            gone = self._names | rows
            for said, decode in _SAID.items():
                events += self._store.events.rewrite(f"{name}/{said}", partial(_without_said, decode, gone))
                n_rows += self._store.tables.remove(f"{name}/{said}", condition, values)
            answered = sorted({row.rpartition(":")[0] for row in rows})
            kept = explanations_table(name)
            events += self._store.events.rewrite(kept, partial(_without_explained, frozenset(answered)))
            n_rows += self._store.tables.remove(kept, f"prediction_id IN ({_marks(answered)})", answered)
            for answers in self._answers:
                events += self._store.events.rewrite(answers, self._without_answer)
                n_rows += self._store.tables.remove(answers, *self._answer_condition(answers))
            removed = self._traces()
            events, n_rows = events + removed.events, n_rows + removed.rows
            self._ingest()
            if not any(self._counts()):
                break
        else:
            raise Conflict(
                f"Answers about the subject keep arriving at {name!r}. Stop asking: the erasure is tried "
                "again within the hour, or when it is ordered again."
            )
        for table in record_tables(name):
            self._store.tables.forget(table)
        return Removed(events=events, rows=n_rows)

    def snapshots(self) -> list[Affected]:
        """A version without the subject for each snapshot that has it; then all others are forgotten."""
        done: list[Affected] = []
        for snapshot in self._store.snapshots.list(self._project.name):
            held = self._held(snapshot)
            if held is None:
                continue
            self._forget_probes(snapshot)
            self._store.snapshots.erase(without_rows(snapshot, ~held, self._store.tables))
            done.append(Affected(snapshot=snapshot.id, rows=int(held.sum()), models=self._models(snapshot)))
        left = self._store.snapshots.list(self._project.name)
        for table in {snapshot.table for snapshot in left}:
            self._store.tables.forget(table, [s.table_version for s in left if s.table == table])
        return done

    def _forget_probes(self, snapshot: Snapshot) -> None:
        """Rows that a search for disagreement kept are made from training rows, and so from the subject's."""
        for run in self._store.runs.list(self._project.name):
            if run.snapshot_id == snapshot.id and PROBE_ROWS in run.outputs:
                self._store.artifacts.remove(run.outputs[PROBE_ROWS].digest)

    def archives(self) -> Archives:
        """Raw originals that hold the subject."""
        digests: list[str] = []
        not_searched: list[str] = []
        kept = {s.raw.digest: s.raw for s in self._store.snapshots.list(self._project.name)}
        for digest, raw in kept.items():
            if not self._columns or not self._store.artifacts.has(digest):
                continue
            try:
                columns = read_file(self._store.artifacts.path(digest), raw.media_type)
            except HeadraceError as error:
                not_searched.append(f"archive {digest}: {error}")
                continue
            if self._mine(columns) is not None:
                digests.append(digest)
        if not self._columns:
            not_searched.append("snapshots and archives: the project names no data.key")
        return Archives(digests=digests, not_searched=not_searched)

    def _ingest(self) -> None:
        numeric = numeric_inputs(self._store, self._project)
        ingest(self._project.name, self._store.events, self._store.tables, numeric=numeric)

    def _held(self, snapshot: Snapshot) -> Any:
        """Which rows of a snapshot are the subject's, as a mask; None: none is."""
        if not set(self._columns) & snapshot.columns.keys():
            return None
        return self._mine(load_snapshot(snapshot, self._store.tables))

    def _mine(self, columns: dict[str, Any]) -> Any:
        """Which rows name the subject in a key column, as a mask of shape ``(n_rows,)``; None: none does."""
        found = [_matches(columns[name], self._key) for name in self._columns if name in columns]
        held = np.logical_or.reduce(found) if found else np.zeros(0, dtype=bool)
        return held if held.any() else None

    def _models(self, snapshot: Snapshot) -> list[str]:
        name = self._project.name
        runs = {run.id for run in self._store.runs.list(name) if run.snapshot_id == snapshot.id}
        return [f"{name}@{m.version}" for m in self._store.models.list(name) if m.run_id in runs]

    def _traces(self) -> Removed:
        """Whole traces: only one step says for whom it is, and the others hold what was said."""
        table = spans_table(self._project.name)
        if self._store.tables.version(table) is None:
            return Removed(events=0, rows=0)
        names = sorted(self._names)
        sql = f'SELECT DISTINCT trace_id FROM t WHERE "user" IN ({_marks(names)})'
        ids = sorted(self._store.tables.query(sql, {"t": (table, None)}, names)["trace_id"])
        events = self._store.events.rewrite(table, partial(_without_trace, frozenset(ids))) if ids else 0
        rows = self._store.tables.remove(table, f"trace_id IN ({_marks(ids)})", ids) if ids else 0
        return Removed(events=events, rows=rows)

    def _counts(self) -> tuple[int, int, int]:
        name, said = self._project.name, self._said_condition(self._rows())
        return (
            sum(self._count(table, *self._answer_condition(table)) for table in self._answers),
            self._count(outcomes_table(name), *said),
            self._count(feedback_table(name), *said),
        )

    def _count(self, table: str, condition: str, values: list[str]) -> int:
        if self._store.tables.version(table) is None:
            return 0
        sql = f"SELECT count(*) AS n FROM t WHERE {condition}"
        return int(self._store.tables.query(sql, {"t": (table, None)}, values)["n"][0])

    def _rows(self) -> frozenset[str]:
        """Row ids of the subject's answers, by which labels may have come."""
        table = predictions_table(self._project.name)
        if self._store.tables.version(table) is None:
            return frozenset()
        condition, values = self._answer_condition(table)
        found = self._store.tables.query(
            f"SELECT subject FROM t WHERE {condition}", {"t": (table, None)}, values
        )
        return frozenset(found["subject"])

    def _answer_condition(self, table: str) -> tuple[str, list[str]]:
        names = sorted(self._names)
        conditions, values = [f'"key" IN ({_marks(names)})'], list(names)
        if self._store.tables.version(table) is not None:
            known = self._store.tables.query("SELECT * FROM t LIMIT 0", {"t": (table, None)})
            for column in (f"in_{name}" for name in self._columns or (KEY,)):
                if column not in known:
                    continue
                # 7.0 and "7" name the same subject.
                text = rf"regexp_replace(CAST({quoted(column)} AS VARCHAR), '\.0$', '')"
                conditions.append(f"{text} IN ({_marks(names)})")
                values += names
        return " OR ".join(conditions), values

    def _said_condition(self, rows: frozenset[str]) -> tuple[str, list[str]]:
        values = sorted(self._names | rows)
        return f"subject IN ({_marks(values)})", values

    def _without_answer(self, record: bytes) -> bytes | None:
        prediction = decode_prediction(record)
        mine = {i for i, key in enumerate(prediction.keys or []) if key in self._names}
        for name in self._columns or (KEY,):
            column = prediction.columns.get(name, [])
            mine |= {i for i, value in enumerate(column) if key_text(value) in self._names}
        if not mine:
            return record
        if len(mine) == prediction.n_rows:
            return None
        return _no_longer_than(record, encode_prediction(_blanked(prediction, mine)))


def hash_of(app: App, project: str, key: str) -> str:
    """What stands for a subject where its key may not."""
    return str(app.access.privacy.rules(project).hashed(key))


def _blanked(prediction: Prediction, rows: set[int]) -> Prediction:
    """Without the content of these rows; the others keep their numbers, by which labels find them."""

    def without(values: list[Any]) -> list[Any]:
        return [None if i in rows else value for i, value in enumerate(values)]

    return replace(
        prediction,
        columns={name: without(values) for name, values in prediction.columns.items()},
        outputs={name: without(values) for name, values in prediction.outputs.items()},
        keys=prediction.keys and ["" if i in rows else key for i, key in enumerate(prediction.keys)],
        request_id=None,
    )


def _no_longer_than(record: bytes, blanked: bytes) -> bytes | None:
    """``blanked`` in at most as many bytes. Where compression leaves no room, the record goes as a whole: the
    tables have the other rows of the answer."""
    if len(blanked) > len(record):
        blanked = compress(blanked, above_bytes=0, level=SMALLEST_LEVEL)
    return blanked if len(blanked) <= len(record) else None


def _without_said(
    decode: Callable[[bytes], Outcome | Feedback], gone: frozenset[str], record: bytes
) -> bytes | None:
    return None if decode(record).subject in gone else record


def _without_explained(answers: frozenset[str], record: bytes) -> bytes | None:
    """Nothing of an answer that has a row of the subject: whoever asks for the others has them computed."""
    return None if decode_explained(record).id in answers else record


def _matches(values: Any, key: str) -> Any:
    """Which values name the subject, as a mask of shape ``(n_rows,)``; 7.0 and "7" are the same."""
    return np.array([key_text(value) == key for value in values.tolist()], dtype=bool)


def _marks(values: list[str]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _without_trace(gone: frozenset[str], record: bytes) -> bytes | None:
    return None if decode_received(record).span.trace_id in gone else record
