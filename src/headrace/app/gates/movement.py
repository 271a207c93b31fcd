"""Has the data moved before a training, from what is live and what production sends; and the model after it?

Each answer is a verdict on the candidate. What they are measured on is kept in the evidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.access.privacy.fields import altered_inputs
from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.checks.changes import Change, changes, moved, moved_by_segment
from headrace.checks.profiles import OTHER, CategoricalProfile, FeatureProfile, NumericProfile, Profile
from headrace.checks.tasks import answers_classes
from headrace.core.data import Snapshot
from headrace.core.errors import InvalidInput, UserError
from headrace.core.ports import Columns
from headrace.core.project import Column, Project
from headrace.core.release import Outcome4, Verdict
from headrace.data.snapshots import load_snapshot, snapshots_of
from headrace.monitoring.ingest import as_numbers, ingest, predictions_table
from headrace.releases.gates import verdict

DATA, SAMPLE, MODEL = "data_drift", "live_sample", "movement"
_MOST_LIVE = 20_000
_MOST_SEGMENTS = 20
_LISTED = 5


def data_drift(app: App, project: Project, snapshot: Snapshot, subject: str) -> Verdict | None:
    """Before a training: do its rows differ from those that the live release, or the last table, had?

    Rows that have moved are what a retraining is for. A column that is not filled any more, or of another
    type, format or definition, is a doubt that a person decides. None for a project's first table.
    """
    at = app.clock.now()
    against, reference = _reference(app, project, snapshot)
    if reference is None:
        return None
    columns = load_snapshot(snapshot, app.store.tables)
    found = changes(reference, columns, project.monitors.shift)
    redefined = [one for one in found if one.redefined]
    outcome: Outcome4 = "inconclusive" if redefined else "passed"
    reason = (
        f"{_said(redefined or found)}, compared with {against}"
        if found
        else f"no input differs from {against}"
    )
    evidence = {"against": against, "inputs": len(reference.features), "changes": _listed(found)}
    return verdict(subject, DATA, outcome, reason, evidence=evidence, at=at)


def live_sample(app: App, project: Project, snapshot: Snapshot, subject: str) -> Verdict | None:
    """Do the rows differ from what production sends now? It is reported, and stops nothing; None without any
    live rows."""
    rows = _live(app, project)
    if rows is None:
        return None
    columns = load_snapshot(snapshot, app.store.tables)
    hidden = altered_inputs(app.access.charters.bound(project))
    specs = [one for one in _inputs(project, columns) if one.name not in hidden]
    reference = _profile(columns, specs)
    sent = {name: values for name, values in rows.items() if name not in hidden}
    for name, feature in reference.features.items():
        if isinstance(feature, NumericProfile) and name in sent:
            sent[name] = as_numbers(sent[name])
    found = changes(reference, sent, project.monitors.shift)
    absent = sorted(one.name for one in specs if one.name not in sent)
    unknown = sorted(name for name in sent if name not in columns)
    n = len(next(iter(rows.values())))
    words = [_said(found)] if found else []
    words += [f"production does not send {', '.join(map(repr, absent[:_LISTED]))}"] if absent else []
    words += [f"only production has {', '.join(map(repr, unknown[:_LISTED]))}"] if unknown else []
    agrees = f"the rows agree with the newest {n:,} live ones"
    reason = f"reported, not judged: {'; '.join(words)}, in the newest {n:,} live rows" if words else agrees
    evidence = {"live rows": n, "absent": absent, "unknown": unknown, "changes": _listed(found)}
    return verdict(subject, SAMPLE, "passed", reason, evidence=evidence, at=app.clock.now())


def movement(
    app: App, project: Project, subject: str, columns: Columns, answers: Any, live_id: str
) -> Verdict:
    """After a training: how far the candidate's answers are from the live release's, on its test rows, in
    which direction and in which segment. Beyond ``gates.model.max_moved`` it fails. Numbers that are not
    finite cannot be measured: a person decides."""
    at, limit = app.clock.now(), project.gates.model.max_moved
    try:
        other = app.scorers.of_release(live_id).score(columns)["predict"]
    except UserError as error:  # it has other inputs, answers elsewhere, or is not what was signed
        reason = f"cannot be compared with the live release: {error}"
        evidence: dict[str, Any] = {"live_release": live_id, "limit": limit}
        outcome: Outcome4 = "passed" if limit is None else "inconclusive"
        return verdict(subject, MODEL, outcome, reason, evidence=evidence, at=at)
    numeric = not answers_classes(project.task)
    new, other = np.asarray(answers), np.asarray(other)
    if numeric and (odd := _not_finite(new, other)):
        n, (by_new, by_other) = len(new), odd
        reason = (
            f"answers that are not finite cannot be compared: of {n:,} the candidate gives {by_new:,}, the "
            f"live release {by_other:,}"
        )
        evidence = {
            "live_release": live_id,
            "limit": limit,
            "rows": n,
            "not_finite": {"candidate": by_new, "live": by_other},
        }
        return verdict(subject, MODEL, "inconclusive", reason, evidence=evidence, at=at)
    whole = moved(new, other, numeric=numeric)
    parts = moved_by_segment(new, other, _segments(app, project, columns, live_id), numeric=numeric)
    worst = max(parts, key=lambda name: parts[name].size, default="")
    unit = "standard deviations" if numeric else "of the decisions"
    size = f"{whole.size:.2f} {unit}" if numeric else f"{whole.size:.1%} {unit}"
    how = f"answers differ by {size} from the live release's ({_direction(whole.direction)})"
    if worst:
        how += f", most where {worst}: {parts[worst].size:.2f}"
    beyond = limit is not None and max(whole.size, parts[worst].size if worst else 0.0) > limit
    said = (
        "no limit is declared" if limit is None else f"{'beyond' if beyond else 'within'} the limit {limit:g}"
    )
    evidence = {
        "live_release": live_id,
        "limit": limit,
        "rows": whole.n_rows,
        "size": whole.size,
        "direction": whole.direction,
        "segments": {
            name: {"rows": part.n_rows, "size": part.size, "direction": part.direction}
            for name, part in sorted(parts.items(), key=lambda pair: -pair[1].size)[:_MOST_SEGMENTS]
        },
    }
    return verdict(
        subject, MODEL, "failed" if beyond else "passed", f"{how}: {said}", evidence=evidence, at=at
    )


def _not_finite(new: Any, other: Any) -> tuple[int, int] | None:
    """How many answers of each side are NaN or infinite; None if all are finite."""
    by_new, by_other = (int((~np.isfinite(np.asarray(side, dtype=float))).sum()) for side in (new, other))
    return (by_new, by_other) if by_new or by_other else None


def _direction(direction: float | dict[str, float]) -> str:
    if isinstance(direction, float):
        return f"{direction:+.2f} in the mean"
    most = max(direction, key=lambda name: direction[name], default="")
    return f"{most} {direction[most]:+.1%}" if most else "none"


def _reference(app: App, project: Project, snapshot: Snapshot) -> tuple[str, Profile | None]:
    """What a new table is compared with: the live release's training rows, else the newest table before."""
    route = app.store.rollouts.route(project.name)
    if route is not None:
        live = app.store.releases.get(route.live)
        declared = {one.name for one in project.data.columns if one.role != "ignored"}
        features = app.scorers.baseline(live.id).inputs.features
        kept = {name: feature for name, feature in features.items() if name in declared}
        return f"the rows of the live release {live.manifest.subject.ref}", Profile(features=kept)
    listed = snapshots_of(app.store.snapshots, project.name)
    before = [one for one in listed if (one.created_at, one.id) < (snapshot.created_at, snapshot.id)]
    if not before:
        return "", None
    columns = load_snapshot(before[-1], app.store.tables)
    return f"snapshot {before[-1].id}", _profile(columns, _inputs(project, columns))


def _inputs(project: Project, columns: Columns) -> list[Column]:
    return [one for one in project.data.columns if one.role != "ignored" and one.name in columns]


def _profile(columns: Columns, specs: list[Column]) -> Profile:
    """Of the columns that are what they are declared to be; the data gate names the others."""
    features: dict[str, FeatureProfile] = {}
    for spec in specs:
        try:
            features |= Profile.fit({spec.name: columns[spec.name]}, [spec]).features
        except InvalidInput:
            continue
    return Profile(features=features)


def _live(app: App, project: Project) -> Columns | None:
    store, table = app.store, predictions_table(project.name)
    ingest(project.name, store.events, store.tables, numeric=numeric_inputs(store, project))
    if store.tables.version(table) is None:
        return None
    rows = store.tables.query(
        "select * from p where arm not in ('canary', 'shadow') order by event_time desc, subject limit ?",
        {"p": (table, None)},
        [_MOST_LIVE],
    )
    if not len(rows["event_time"]):
        return None
    return {name[3:]: values for name, values in rows.items() if name.startswith("in_")}


def _segments(app: App, project: Project, columns: Columns, live_id: str) -> Columns:
    """By the columns that are watched by segment, else by the categories of few values."""
    named = [*project.monitors.segments, *filter(None, [project.gates.data.segment])]
    features = app.scorers.baseline(live_id).inputs.features
    few = [
        name
        for name, feature in features.items()
        if isinstance(feature, CategoricalProfile)
        and OTHER not in feature.counts
        and len(feature.counts) <= _MOST_SEGMENTS
    ]
    return {name: np.asarray(columns[name]) for name in named or few if name in columns}


def _said(found: list[Change]) -> str:
    more = f", and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return "; ".join(f"{one.column!r} {one.what}" for one in found[:_LISTED]) + more


def _listed(found: list[Change]) -> list[dict[str, Any]]:
    return [one._asdict() for one in found]
