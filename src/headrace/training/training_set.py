"""What all variants of a build learn from: which rows, how encoded, and what must never be tested on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import LARGEST
from headrace.checks.metrics import labels_of
from headrace.checks.tasks import UNSUPERVISED, known_classes
from headrace.core.canonical import canonical_json
from headrace.core.data import Artifact, Snapshot
from headrace.core.errors import InvalidInput
from headrace.core.ports import ArtifactStore, Columns
from headrace.core.project import Column, DataSpec, Project
from headrace.data.encoding import Encoding
from headrace.data.features import feature_sets
from headrace.data.frames import nulls, row_hashes, take
from headrace.data.history import History, feature_columns
from headrace.data.snapshots import load_snapshot
from headrace.data.splits import split
from headrace.store import Store
from headrace.store.documents import from_plain
from headrace.training.archives import pack_arrays, unpack_arrays
from headrace.training.features import FeatureStore, FeatureVersion
from headrace.training.package import Label

MEDIA_TYPE = "application/vnd.headrace.training-set+json"
ARRAYS = "application/vnd.headrace.arrays+npz"
ENCODING = "application/vnd.headrace.encoding+json"
_MOST_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """Named inputs computed from a snapshot in one way, for training and serving alike."""

    name: str
    columns: tuple[str, ...]
    encoding: Artifact


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """One division of one snapshot, the same for every variant.

    Attributes:
        view: the inputs and the artefact of their fitted encoding.
        split: arrays ``train`` and ``test`` of row positions in the snapshot, int64.
        row_hashes: array ``hashes`` of the training rows over ``hashed_columns``, uint64.
        classes: classification only: labels among the training rows, sorted, ``data.positive`` last.
        blocked_segments: values of the data gate's segment column that were not trained on.
        trained_until: newest time among the training rows; None without a time column.
        features: of each set that the inputs come from, the version that the feature store has kept; none in
            a training set from before there was one.
    """

    project: str
    snapshot_id: str
    snapshot_digest: str
    view: FeatureView
    split: Artifact
    row_hashes: Artifact
    hashed_columns: tuple[str, ...]
    classes: tuple[Label, ...]
    n_train: int
    n_test: int
    blocked_segments: tuple[str, ...] = ()
    trained_until: datetime | None = None
    features: tuple[FeatureVersion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A training set's rows in memory: prepared columns of the whole snapshot, and positions in it."""

    columns: dict[str, Any]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    encoding: Encoding
    target: str

    def test_columns(self) -> dict[str, Any]:
        """The test rows, in the order of the stored predictions."""
        return take(self.columns, self.test)

    def truth(self) -> NDArray[Any]:
        """The target of the test rows, ``(n_test,)``; None in each where the table has no such column."""
        if self.target not in self.columns:
            return np.full(len(self.test), None, dtype=object)
        values: NDArray[Any] = self.columns[self.target][self.test]
        return values

    def groups(self, project: Project) -> NDArray[Any] | None:
        """The entity of each test row, ``(n_test,)``; None where the project names no key."""
        if project.data.key is None:
            return None
        values: NDArray[Any] = self.columns[project.data.key][self.test]
        return values


def prepare_table(columns: Columns, project: Project) -> dict[str, Any]:
    """Add what the model computes itself: for forecasting lags and the calendar, else nothing.

    Rows without a time get no values.

    Raises:
        InvalidInput: the time or target column is missing, or a column has a computed one's name.
    """
    if project.task != "forecasting":
        return dict(columns)
    history, times = history_of(columns, project), columns[_time(project)]
    known = ~nulls(times)
    features = {}
    for name, values in history.features(
        times[known], project.data.lags_days, project.data.horizon_days
    ).items():
        features[name] = np.full(len(times), np.nan)
        features[name][known] = values
    clash = sorted(set(features) & set(columns))
    if clash:
        raise InvalidInput(
            f"The table has a column {clash[0]!r}, a name that forecasting computes. Rename the column."
        )
    return {**columns, **features}


def history_of(columns: Columns, project: Project) -> History:
    """The known values of a forecasting project's target, from a snapshot's columns."""
    for name in (_time(project), project.data.target):
        if name not in columns:
            raise InvalidInput(f"The table has no column {name!r} (has: {', '.join(list(columns)[:20])}).")
    known = ~nulls(columns[project.data.target]) & ~nulls(columns[_time(project)])
    return History(columns[_time(project)][known], columns[project.data.target][known])


def input_columns(project: Project) -> list[Column]:
    """The model's inputs with their roles: those declared, and for forecasting the computed ones.

    A computed column can be declared too, for instance as ``ignored``.
    """
    declared = {column.name: column for column in project.data.columns}
    computed = feature_columns(project.data.lags_days) if project.task == "forecasting" else ()
    listed = [*project.data.columns, *(column for column in computed if column.name not in declared)]
    return [column for column in listed if column.role != "ignored"]


@dataclass(frozen=True, kw_only=True)
class Continued:
    """What a model that has learnt further brings along.

    Attributes:
        test: hashes of the rows that it has not learnt, by the columns that the charter names.
        encoding, classes: as it was trained with.
    """

    test: NDArray[Any]
    encoding: Encoding
    classes: tuple[Label, ...]


def declared_hashes(columns: Columns, project: Project) -> NDArray[Any]:
    """A hash of each row's declared columns, ``(n_rows,)``."""
    return row_hashes(columns, tuple(sorted(name for name in columns if name in _declared(project))))


def make_training_set(
    store: Store,
    project: Project,
    snapshot: Snapshot,
    *,
    blocked_segments: Sequence[str] = (),
    continued: Continued | None = None,
) -> Artifact:
    """Divide a snapshot, fit the encoding on the training rows, and keep both, and what features were read.

    Rows without a target, or without a time where one is declared, are in neither part. Rows of a
    blocked segment are not trained on, but stay among the test rows: production will ask about them.
    The same arguments give the same artefact.

    Raises:
        InvalidInput: a declared column is missing, or a part has no rows.
    """
    raw = load_snapshot(snapshot, store.tables)
    _check_declared(raw, project)
    columns = prepare_table(raw, project)
    usable = np.flatnonzero(_usable(raw, project))
    if len(usable) < 2:
        learnt = project.task not in UNSUPERVISED
        needed = f"a {project.data.target!r} and a time" if learnt else "a time"
        raise InvalidInput(
            f"{len(usable)} of {snapshot.n_rows} rows have {needed}. "
            "Expected at least 2, one to learn from and one to test on."
        )
    train, test = _divided(raw, usable, project, continued)
    train = train[~_blocked(raw, project, blocked_segments)[train]]
    if not len(train):
        raise InvalidInput(
            f"Every training row is in a blocked segment ({', '.join(blocked_segments)}). "
            "Bring more data, or lower gates.data.min_rows_per_segment in headrace.yaml."
        )
    encoding, classes = _fitted(take(columns, train), project, continued)
    hashed = tuple(sorted(name for name in raw if name in _declared(project)))
    view = FeatureView(
        name=f"{project.name}/inputs",
        columns=encoding.columns,
        encoding=store.artifacts.put(canonical_json(encoding.to_dict()), ENCODING),
    )
    until = _newest(columns, project, train)
    features = FeatureStore(store.artifacts).materialise(
        feature_sets(project, input_columns(project)), take(columns, train), snapshot, until=until
    )
    made = TrainingSet(
        project=project.name,
        snapshot_id=snapshot.id,
        snapshot_digest=snapshot.digest,
        view=view,
        split=store.artifacts.put(pack_arrays({"train": train, "test": test}), ARRAYS),
        row_hashes=store.artifacts.put(pack_arrays({"hashes": row_hashes(take(raw, train), hashed)}), ARRAYS),
        hashed_columns=hashed,
        classes=classes,
        n_train=len(train),
        n_test=len(test),
        blocked_segments=tuple(blocked_segments),
        trained_until=until,
        features=features,
    )
    return store.artifacts.put(canonical_json(made), MEDIA_TYPE)


def _divided(
    raw: Columns, usable: NDArray[np.int64], project: Project, continued: Continued | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of training and test rows."""
    if continued is None:
        parts = split(take(raw, usable), project.split, project.data.time)
        return usable[parts.train], usable[parts.test]
    held = np.isin(declared_hashes(take(raw, usable), project), continued.test)
    return usable[~held], usable[held]


def _fitted(
    train: Columns, project: Project, continued: Continued | None
) -> tuple[Encoding, tuple[Label, ...]]:
    """What the training rows say of the inputs and the classes, unless a model has learnt them before."""
    if continued is not None:
        return continued.encoding, continued.classes
    classes: tuple[Label, ...] = known_classes(project)
    if project.task == "classification":
        classes = _classes(train[project.data.target], project.data)
    return Encoding.fit(train, input_columns(project)), classes


def load_training_set(artifacts: ArtifactStore, digest: str) -> TrainingSet:
    """Read what :func:`make_training_set` kept."""
    return from_plain(TrainingSet, json.loads(artifacts.get(digest)))


def load_rows(store: Store, project: Project, made: TrainingSet) -> Rows:
    """The rows of a training set, from its snapshot.

    Raises:
        InternalError: the stored rows no longer match the snapshot's digest.
    """
    columns = load_snapshot(store.snapshots.get(made.snapshot_id), store.tables)
    parts = unpack_arrays(store.artifacts.get(made.split.digest), "The split")
    return Rows(
        columns=prepare_table(columns, project),
        train=parts["train"],
        test=parts["test"],
        encoding=Encoding.from_dict(json.loads(store.artifacts.get(made.view.encoding.digest))),
        target=project.data.target,
    )


def trained_on(artifacts: ArtifactStore, made: TrainingSet, columns: Columns) -> NDArray[np.bool_]:
    """Which rows of a raw table this training set trained on, ``(n_rows,)``.

    Raises:
        InvalidInput: the table lacks a column by which rows are recognised.
    """
    missing = [name for name in made.hashed_columns if name not in columns]
    if missing:
        raise InvalidInput(
            f"The table has no column {missing[0]!r}, by which the rows that {made.project!r} was trained on "
            "are recognised. A comparison needs a table with the same columns."
        )
    hashes = unpack_arrays(artifacts.get(made.row_hashes.digest), "The row hashes")["hashes"]
    return np.isin(row_hashes(columns, made.hashed_columns), hashes)


def codes_of(target: NDArray[Any], classes: Sequence[Label]) -> NDArray[np.int64]:
    """Positions of the labels in ``classes``, ``(n_rows,)``; -1 for a label that is none of them."""
    position = {label: index for index, label in enumerate(labels_of(list(classes)))}
    return np.array([position.get(label, -1) for label in labels_of(target)], dtype=np.int64)


def _usable(columns: Columns, project: Project) -> NDArray[np.bool_]:
    """Rows that have a target, where one is learnt, and, where there is a time column, a time."""
    usable = np.ones(len(next(iter(columns.values()))), dtype=bool)
    if project.task not in UNSUPERVISED:
        usable = ~nulls(columns[project.data.target])
    if project.task in ("regression", "forecasting") and columns[project.data.target].dtype.kind == "f":
        usable &= np.abs(columns[project.data.target]) <= LARGEST  # models see float32
    if project.data.time is not None:
        usable &= ~nulls(columns[project.data.time])
    return usable


def _time(project: Project) -> str:
    if project.data.time is None:
        raise InvalidInput("Forecasting needs a time column. Set data.time in headrace.yaml.")
    return project.data.time


def _declared(project: Project) -> set[str]:
    data = project.data
    return {column.name for column in data.columns} | {data.target, data.time or "", data.key or ""}


def _check_declared(columns: Columns, project: Project) -> None:
    target = [] if project.task in UNSUPERVISED else [project.data.target]
    wanted = [*target, *([project.data.time] if project.data.time else [])]
    for name in wanted:
        if name not in columns:
            close = get_close_matches(name, list(columns), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InvalidInput(
                f"The table has no column {name!r} (has: {', '.join(list(columns)[:20])}).{hint}"
            )


def _blocked(columns: Columns, project: Project, segments: Sequence[str]) -> NDArray[np.bool_]:
    name = project.gates.data.segment
    n_rows = len(next(iter(columns.values())))
    if name is None or not segments:
        return np.zeros(n_rows, dtype=bool)
    blocked = set(labels_of(list(segments)))
    return np.array([label in blocked or str(label) in blocked for label in labels_of(columns[name])])


def _classes(target: NDArray[Any], spec: DataSpec) -> tuple[Label, ...]:
    counts = Counter(label for label in labels_of(target) if label is not None)
    found = set(counts)
    if len(found) > _MOST_CLASSES:
        raise InvalidInput(
            f"The target has {len(found):,} classes. Expected at most {_MOST_CLASSES:,}; "
            "is it a number to be predicted (task: regression)?"
        )
    positive = spec.positive
    if positive is not None and (len(found) != 2 or positive not in found):
        known = ", ".join(f"{one!r} ({n:,})" for one, n in counts.most_common(20))
        raise InvalidInput(
            f"data.positive is {positive!r}, but {spec.target!r} is {known} in the rows to learn from. "
            "Expected one of two classes: mend or empty the cells that are neither, name it in headrace.yaml "
            "as the table does, or leave data.positive out to learn all of them."
        )
    ordered = sorted(found, key=lambda label: (label == positive, isinstance(label, str), label))
    return tuple(bool(label) for label in ordered) if target.dtype.kind == "b" else tuple(ordered)


def _newest(columns: Columns, project: Project, train: NDArray[np.int64]) -> datetime | None:
    if project.data.time is None:
        return None
    times = columns[project.data.time][train]
    known = times[~nulls(times)]
    if not len(known) or known.dtype.kind != "M":
        return None
    newest: datetime = known.max().astype("datetime64[us]").item()
    return newest.replace(tzinfo=UTC)
