"""A project's table as archived bytes: its file, what its ``@headrace.source`` makes, or production."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from headrace.access.privacy.fields import altered_inputs, stated_basis
from headrace.app.composition import App
from headrace.app.data.arrivals import arrived
from headrace.app.data.histories import moments_of
from headrace.app.data.reused import reuse
from headrace.checks.columns import label_counts, labels
from headrace.checks.renames import renamed
from headrace.checks.tasks import UNSUPERVISED
from headrace.core.data import Artifact, Snapshot
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import Columns
from headrace.core.project import FeatureSpec, Project
from headrace.data.features import OWN, REUSED, with_features
from headrace.data.frames import concat, kind_of, nulls, nulls_of, take
from headrace.data.snapshots import archive, archive_columns, load_snapshot, snapshots_of, take_snapshot
from headrace.data.sources import read_file
from headrace.monitoring.ingest import as_numbers, outcomes_table, predictions_table
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.releases.manifest import parent_of
from headrace.training.source import make_table

_FROM_PRODUCTION = re.compile(r"snapshot [0-9a-f-]{36} \(.*labelled answers", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """What a snapshot is rebuilt from, in words where that came from, and the arrivals that it is made of."""

    raw: Artifact
    source: str
    arrivals: list[dict[str, Any]] = field(default_factory=list)


def project_table(
    folder: Path, project: Project, scratch: Path, app: App | None = None, author: str = ""
) -> dict[str, Any]:
    """All rows of the project's source as columns, with those of its feature sets.

    Args:
        app: where sets of other projects are read; without it there must be none.
        author: who reads them.
    """
    columns = read_file(_source_file(folder, project, scratch))
    if project.data.features:
        tables: list[tuple[FeatureSpec, Columns]] = []
        for spec in project.data.features:
            if not spec.source.startswith(REUSED):
                tables.append((spec, read_file(_feature_file(folder, spec))))
            elif app is None:
                raise InvalidInput(
                    f"The feature set {spec.name!r} is another project's ({spec.source}), and is read in "
                    "a build only: headrace run looks through it. Give --file FILE with a table instead."
                )
            else:
                tables.append((spec, reuse(app, author, project, spec).columns))
        columns = with_features(columns, _time(project), tables)
    _check(columns, project)
    return columns


def gather(
    app: App,
    project: Project,
    folder: Path,
    scratch: Path,
    *,
    until: datetime | None,
    with_production: bool,
    author: str,
    noted: Callable[[Snapshot], AbstractContextManager[object]] = nullcontext,
) -> Sourced:
    """Archive the project's data as it came, before any transform.

    Inputs of feature sets are joined to it as they were at each row's time; the tables that they come from
    are snapshots of their own.

    With production, answered rows whose labels have come are added to the rows that the live model
    learnt from: outcomes flow into the next training set without manual work.

    Args:
        author: who builds; sets of other projects are read with their rights.
        noted: a new snapshot of a feature set is added inside, to be kept together with an entry about it.

    Raises:
        NotFound: a source is not there.
        Denied: the author may not read a set of another project.
        InvalidInput: it gives no table, or lacks a declared column; the project states no privacy basis.
        UserCodeError: the project's own source function raised.
    """
    stated_basis(project.privacy, project.name)  # before anything is kept
    if with_production:
        return _with_production(app, project)
    began_s = app.clock.monotonic_s()
    path = _source_file(folder, project, scratch)
    original = archive(path, app.store.artifacts)
    columns, source = read_file(path), project.data.source
    came = [arrived(app, project, OWN, columns, original, app.clock.monotonic_s() - began_s)]
    if project.data.features:
        columns, source = _joined_features(
            app, project, folder, original, columns, author=author, noted=noted, came=came
        )
    _check(columns, project, lambda: _last_table(app, project))
    if until is not None:
        # The original stays in the archive too, under the digest that the source names.
        source = f"{source} (original {original.digest[:12]}), rows before {until:%Y-%m-%d}"
        columns = _before(columns, project, until)
    if source == project.data.source:
        return Sourced(raw=original, source=source, arrivals=came)
    return Sourced(raw=archive_columns(columns, app.store.artifacts), source=source, arrivals=came)


def _joined_features(
    app: App,
    project: Project,
    folder: Path,
    original: Artifact,
    columns: dict[str, Any],
    *,
    author: str,
    noted: Callable[[Snapshot], AbstractContextManager[object]],
    came: list[dict[str, Any]],
) -> tuple[dict[str, Any], str]:
    """The project's rows with those of its feature sets, and in words which snapshots they are of; ``came``
    gets the arrivals of the sets."""
    tables: list[tuple[FeatureSpec, Columns]] = []
    taken: list[tuple[str, Columns, Artifact, str]] = [(OWN, columns, original, project.data.source)]
    for spec in project.data.features:
        began_s = app.clock.monotonic_s()
        if spec.source.startswith(REUSED):
            table, raw, source = reuse(app, author, project, spec)
        else:
            path, source = _feature_file(folder, spec), spec.source
            raw, table = archive(path, app.store.artifacts), read_file(path)
        came.append(arrived(app, project, spec.name, table, raw, app.clock.monotonic_s() - began_s))
        tables.append((spec, table))
        taken.append((spec.name, table, raw, source))
    joined = with_features(columns, _time(project), tables)
    snapshots = [
        take_snapshot(
            project=project.name,
            columns=table,
            raw=raw,
            source=source,
            privacy=project.privacy,
            tables=app.store.tables,
            snapshots=app.store.snapshots,
            clock=app.clock,
            noted=noted,
            features=name,
        )
        for name, table, raw, source in taken
    ]
    words = ", ".join(f"{one.source} (snapshot {one.id})" for one in snapshots)
    return joined, f"feature sets joined: {words}"


def _feature_file(folder: Path, spec: FeatureSpec) -> Path:
    path = folder / spec.source
    if not path.is_file():
        raise NotFound(f"The feature set {spec.name!r} names {spec.source!r}, which is not in {folder}.")
    return path


def _time(project: Project) -> str:
    if project.data.time is None:
        raise InvalidInput(
            "Feature sets are joined at each row's time, and no column says what that is. Name it as "
            "data.time in headrace.yaml."
        )
    return project.data.time


def _before(columns: dict[str, Any], project: Project, until: datetime) -> dict[str, Any]:
    if project.data.time is None:
        raise InvalidInput("--until needs a time column; name it as data.time in headrace.yaml.")
    times = columns[project.data.time]
    if kind_of(times) != "time":
        raise InvalidInput(f"Column {project.data.time!r} holds no times, so --until cannot be applied.")
    kept = np.flatnonzero(times < np.datetime64(until.replace(tzinfo=None), "us"))
    if not len(kept):
        raise InvalidInput(f"No row of {project.name!r} is before {until:%Y-%m-%d}.")
    return take(columns, kept)


def _with_production(app: App, project: Project) -> Sourced:
    route = app.store.rollouts.route(project.name)
    if route is None:
        raise NotFound(f"Nothing of {project.name!r} is live, so there are no answers to learn from.")
    own = _own_snapshot(app, route.live)
    columns = load_snapshot(own, app.store.tables)
    added, alone = _learnable(project, columns, _answered(app, project, columns))
    n_added = len(added[project.data.target]) if added else 0
    versions = ", ".join(
        f"{table}@{app.store.tables.version(table)}"
        for table in (predictions_table(project.name), outcomes_table(project.name))
    )
    raw = archive_columns(_joined(columns, added) if added else columns, app.store.artifacts)
    altered = altered_inputs(app.access.charters.bound(project))
    unkept = f"; not recorded as they come: {', '.join(altered)}" if altered else ""
    without = f"; left out, each the only row of its class: {', '.join(alone)}" if alone else ""
    source = (
        f"snapshot {own.id} ({own.source}) and {n_added:,} labelled answers ({versions}{unkept}{without})"
    )
    return Sourced(raw=raw, source=source)


def _learnable(project: Project, base: Columns, added: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The added rows without those that are alone in their class, and the names of those classes.

    Nothing can be learnt from a class of one row, and the data gate refuses a table that has one. In a table
    that people gave, they can mend it; one mistyped label among many must not end every retraining.
    """
    if not added or project.task != "classification":
        return added, []
    target = project.data.target
    counts = label_counts(np.concatenate([np.asarray(base[target]), np.asarray(added[target])]))
    names = labels(added[target])
    kept = [place for place, name in enumerate(names) if counts.get(name, 0) != 1]
    alone = sorted({name for name in names if name is not None and counts.get(name, 0) == 1})
    return take(added, np.asarray(kept, dtype=np.intp)) if alone else added, alone


def _joined(base: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Stacked; a boolean column takes no null, so it becomes numbers where production left one out."""
    fitting = {
        name: values.astype(np.float64) if values.dtype.kind + added[name].dtype.kind == "bf" else values
        for name, values in base.items()
    }
    return concat([fitting, added])


def _own_snapshot(app: App, release_id: str) -> Snapshot:
    """The newest snapshot in the live release's ancestry that the project itself brought: all the answers
    are added anew each time."""
    release = app.store.releases.get(release_id)
    snapshot = app.store.snapshots.get(release.manifest.snapshots[0]["id"])
    while _FROM_PRODUCTION.match(snapshot.source):
        parent = parent_of(app.store.releases, release.manifest)
        if parent is None:
            break
        release = parent
        snapshot = app.store.snapshots.get(release.manifest.snapshots[0]["id"])
    return snapshot


def _answered(app: App, project: Project, base: dict[str, Any]) -> dict[str, Any]:
    """Labelled answers in the columns of ``base``; none where an input was not recorded as it came."""
    labelled = labelled_rows(project.name, app.store.tables)
    labelled = labelled.of(~nulls(labelled.truth))
    return in_columns_of(app, project, base, labelled) if len(labelled) else {}


def in_columns_of(app: App, project: Project, base: Columns, labelled: Labelled) -> dict[str, Any]:
    """Labelled answers, at least one, in the columns of ``base``; none where an input was not recorded as it
    came."""
    if altered_inputs(app.access.charters.bound(project)):
        return {}
    n_rows = len(labelled)
    values = dict(labelled.columns) | {project.data.target: labelled.truth}
    if project.data.time is not None:
        forecasts = project.task == "forecasting"
        values[project.data.time] = moments_of(project, labelled) if forecasts else labelled.event_time
    if project.data.key is not None:
        values[project.data.key] = labelled.key
    return {
        name: _as_kind(values[name], kind_of(column)) if name in values else nulls_of(kind_of(column), n_rows)
        for name, column in base.items()
    }


def _as_kind(recorded: Any, kind: str) -> Any:
    """What production recorded in the kind of the project's own column: keys are recorded as text, and
    true and false as numbers."""
    if kind == "text" or recorded.dtype.kind not in "fO":
        return recorded
    numbers = as_numbers(recorded)
    return numbers == 1 if kind == "boolean" and not np.isnan(numbers).any() else numbers


def _source_file(folder: Path, project: Project, scratch: Path) -> Path:
    if project.data.source.endswith(".py"):
        return make_table(folder, scratch)
    path = folder / project.data.source
    if not path.is_file():
        raise NotFound(f"data.source names {project.data.source!r}, which is not in {folder}.")
    return path


def _last_table(app: App, project: Project) -> Columns:
    """The rows of the project's newest snapshot; empty where there is none."""
    snapshots = snapshots_of(app.store.snapshots, project.name)
    return load_snapshot(snapshots[-1], app.store.tables) if snapshots else {}


def _check(columns: Columns, project: Project, before: Callable[[], Columns] = dict) -> None:
    """All declared columns are there; ``before`` gives the last table, to find what one is called now."""
    data = project.data
    roles = {c.name: str(c.role) for c in data.columns if c.role != "ignored"}
    target = "categorical" if project.task == "classification" else "numeric"
    learnt = {} if project.task in UNSUPERVISED else {data.target: target}
    wanted = roles | learnt | {n: "other" for n in (data.time, data.key) if n is not None}
    missing = next((name for name in wanted if name not in columns), None)
    if missing is None:
        return
    last = before()
    new = [name for name in columns if name not in last and name not in wanted]
    likely = renamed(missing, wanted[missing], columns, new, last)
    raise InvalidInput(
        f"The data of {project.name!r} has no column {missing!r} (has: {', '.join(columns)[:500]}). "
        f"{'' if likely is None else f'{likely} '}Mend headrace.yaml or the source."
    )
