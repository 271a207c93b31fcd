"""What monitoring recommends for a project: keep, roll back, roll out or train again, and why."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.answers.recorded import answer_again, recorded_inputs
from headrace.app.composition import App
from headrace.core.errors import HeadraceError, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.record import Finding
from headrace.core.release import Measurement, Release
from headrace.monitoring.cases import PENDING
from headrace.monitoring.ingest import ingest, outcomes_table
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.monitoring.performance import losses_of
from headrace.monitoring.recommending import NAME, Recommendation, Rival, Role, recommend, rival_of

_WORSE = frozenset({"performance", "concept_drift", "metric", "estimate"})
"""Kinds of findings that say that the live release answers worse than it did."""
_MOST_ROWS = 20_000
_WAITING = frozenset({"waiting", "approved"})
_MOST_WAITING = 2


def recommendation(app: App, me: Principal, project: str) -> Recommendation:
    """What to do about a project now, worked out anew.

    Raises:
        NotFound: nothing of it is live.
        Denied: ``me`` may not see the project.

    Example::

        recommendation(app, app.me(), "cars").do
    """
    app.gatekeeper.require(me, "project.read", f"project:{project}")
    live = _live(app, project)
    if live is None:
        raise NotFound(f"Nothing of {project!r} is live, so that there is nothing to recommend.")
    numeric = numeric_inputs(app.store, app.store.projects.get(project))
    ingest(project, app.store.events, app.store.tables, numeric=numeric)
    return _worked_out(app, live)


def kept_recommendation(app: App, me: Principal, project: str) -> Measurement | None:
    """What the last round of watching recommended about the release that is live now; None before that.

    Raises:
        Denied: ``me`` may not see the project.
    """
    app.gatekeeper.require(me, "project.read", f"project:{project}")
    live = _live(app, project)
    return None if live is None else _kept(app, live)


def keep_recommendation(app: App, project: str) -> None:
    """Work out what to do, if labels, findings or releases have come since it was worked out last."""
    live = _live(app, project)
    if live is None or live.state == "external":
        return
    kept = _kept(app, live)
    rests_on = _rests_on(app, live)
    if kept is not None and kept.detail.get("rests_on") == rests_on:
        return
    found = _worked_out(app, live)
    app.store.evidence.measure(
        [
            Measurement(
                # By what was said before as well: what comes back to where it was is said again.
                id=derived_id(project, NAME, live.id, rests_on, "" if kept is None else kept.id),
                project=project,
                name=NAME,
                value=None,
                n_rows=max((rival.n_rows for rival in found.rivals), default=0),
                at=app.clock.now(),
                release_id=live.id,
                window=None,
                detail=asdict(found) | {"rests_on": rests_on},
            )
        ]
    )


def _kept(app: App, live: Release) -> Measurement | None:
    found = app.store.evidence.measurements(live.manifest.project, name=NAME)
    return next((m for m in reversed(found) if m.release_id == live.id), None)


def _rests_on(app: App, live: Release) -> str:
    """Another digest once a label, a finding that is not settled, or a release that could answer has come."""
    labels = app.store.tables.version(outcomes_table(live.manifest.project))
    worse = [finding.id for finding in worse_findings(app, live)]
    return derived_id(f"{labels}", *worse, *(f"{r.id} {r.state}" for r, _ in _rivals(app, live)))


def _live(app: App, project: str) -> Release | None:
    route = app.store.rollouts.route(project)
    return None if route is None else app.store.releases.get(route.live)


def _worked_out(app: App, live: Release) -> Recommendation:
    name = live.manifest.project
    metric, worse = app.access.charters.in_force(name).gates.model.metric, worse_findings(app, live)
    rows, rivals = _rows(app, live, worse), _rivals(app, live)
    held = [_held(app, live, rival, rows, len(rivals)) for rival in rivals]
    measured = any(finding.kind != "estimate" for finding in worse)
    return recommend(_subject(live), metric, [finding.title for finding in worse], held, measured=measured)


def worse_findings(app: App, live: Release) -> list[Finding]:
    """What has been found about the live release and is not settled, the oldest first."""
    project = live.manifest.project
    # Where people deal with an alert, its case says whether they have: one that only warns is closed at once.
    cases = {case.id: case.state in PENDING for case in app.store.cases.list(subject=project)}
    settled = {
        alert.finding_id
        for alert in app.store.findings.alerts(project)
        if not cases.get(alert.id, alert.state != "closed")
    }
    found = [
        finding
        for finding in app.store.findings.list(project)
        if finding.release_id == live.id and finding.kind in _WORSE and finding.id not in settled
    ]
    return sorted(found, key=lambda finding: finding.window[0])


def _rows(app: App, live: Release, worse: list[Finding]) -> Labelled:
    """Rows of the live release whose truth has come, since it got worse if it did; the newest of many."""
    since: datetime | None = worse[0].window[0] if worse else None
    return labelled_rows(
        live.manifest.project, app.store.tables, release_id=live.id, since=since, most=_MOST_ROWS
    )


def _rivals(app: App, live: Release) -> list[tuple[Release, Role]]:
    """The release to which a rollback goes, and the newest of those that wait."""
    found: list[tuple[Release, Role]] = []
    before = app.store.rollouts.get(live.id).champion_id
    if before is not None:
        found.append((app.store.releases.get(before), "before"))
    releases = sorted(
        app.store.releases.list(live.manifest.project), key=lambda r: r.created_at, reverse=True
    )
    found += [(release, "next") for release in releases if release.state in _WAITING][:_MOST_WAITING]
    return found


def _held(app: App, live: Release, named: tuple[Release, Role], rows: Labelled, n_rivals: int) -> Rival:
    rival, role = named
    metric = app.access.charters.in_force(live.manifest.project).gates.model.metric
    try:
        unknown = rows.of(_unknown_to(app, rival, role, rows))
        losses = (
            _losses(app, metric, rival, unknown),
            losses_of(metric, unknown, app.scorers.baseline(live.id).classes),
        )
    except HeadraceError as error:
        # Such as one whose inputs are not recorded as they came: it is said, and the others are held.
        return Rival(release_id=rival.id, subject=_subject(rival), role=role, n_rows=0, why=str(error))
    return rival_of(rival.id, _subject(rival), role, losses, n_rivals)


def _unknown_to(app: App, rival: Release, role: Role, rows: Labelled) -> NDArray[np.bool_]:
    """Rows from which it has not learnt: about later times than it was trained on, where there are times.

    Else all, if it was made before they were answered, or those whose truth was observed after it was made.
    """
    until = app.scorers.baseline(rival.id).trained_until
    if until is None and role != "next":
        return np.ones(len(rows), dtype=np.bool_)
    moments, limit = (rows.label_at, rival.created_at) if until is None else (rows.event_time, until)
    return np.asarray(moments > np.datetime64(limit.replace(tzinfo=None)), dtype=np.bool_)


def _losses(app: App, metric: str, rival: Release, rows: Labelled) -> NDArray[np.float64]:
    if not len(rows):
        return np.zeros(0)
    scorer = app.scorers.of_release(rival.id)
    inputs = recorded_inputs(app, rival.manifest.project, scorer.encoding.inputs, rows.columns)
    outputs = answer_again(scorer, inputs)
    return losses_of(metric, replace(rows, outputs=outputs), scorer.classes)


def held_against(app: App, live: Release, fallback: Release) -> Rival:
    """A fallback held against the live release on the rows whose truth has come since that got worse."""
    return _held(app, live, (fallback, "fallback"), _rows(app, live, worse_findings(app, live)), 1)


def _subject(release: Release) -> str:
    return release.manifest.subject.ref.partition(":")[2]
