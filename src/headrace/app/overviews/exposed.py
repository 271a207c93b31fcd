"""What is recorded of many projects, as monitoring systems ask for it every few seconds: read together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from headrace.app.composition import App
from headrace.app.overviews.glances import glances
from headrace.core.errors import NotFound
from headrace.core.project import Action, Project
from headrace.core.release import Measurement, Release, Route
from headrace.monitoring.calls import NAME as CALLS
from headrace.monitoring.cases import PENDING
from headrace.monitoring.kpis import NAME as KPI
from headrace.monitoring.kpis import newest as newest_of_each
from headrace.monitoring.shifts import NAME as SHIFT
from headrace.monitoring.trends import NAME as TREND
from headrace.monitoring.trends import newest as newest_trends

NEWEST_WINDOWS = 4
"""What is exposed is at most so many windows old, of those in which the project has any of its kind."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """One project in numbers.

    Attributes:
        open_alerts: by action how many alerts ask for it; of those that only warn, how many nobody
            has closed.
        live: the release that answers; what follows is none or empty without one.
        trained_at: when its training ended; None where it was trained elsewhere.
        loss: in the newest window of which labels have come.
        shifts, trends: of each feature, or metric, the newest one of the live release.
        kpis: of each release that answers, of each KPI and action, the newest one.
        calls: of the newest full hour, if it was in the last day.
    """

    project: Project
    open_alerts: Mapping[str, int]
    route: Route | None
    live: Release | None
    trained_at: datetime | None
    loss: Measurement | None
    shifts: Sequence[Measurement]
    trends: Sequence[Measurement]
    kpis: Sequence[Measurement]
    calls: Measurement | None


def exposed(app: App, declared: Sequence[Project]) -> list[Exposed]:
    """Each of these projects in numbers. Who may see them is asked before."""
    store, names = app.store, [project.name for project in declared]
    routes = {route.project: route for route in store.rollouts.routes() if route.project in names}
    live = {one.id: one for one in store.releases.some([route.live for route in routes.values()])}
    losses = {line.name: line.loss for line in glances(app, declared)}
    pending = [case.id for state in PENDING for case in store.cases.list(state=state)]
    alerts = Counter((alert.project, alert.action) for alert, _ in store.findings.open(pending))
    since = app.clock.now() - _DAY
    newest_hours = store.evidence.newest(names, [CALLS], 1)
    hours = {one.project: one for one in newest_hours if one.window and one.window[0] >= since}
    measured: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for one in store.evidence.newest(names, (SHIFT, TREND, KPI), NEWEST_WINDOWS):
        measured[one.project, one.name].append(one)
    found = []
    for project in declared:
        name, route = project.name, routes.get(project.name)
        release = None if route is None else live.get(route.live)
        release_id = "" if release is None else release.id
        found.append(
            Exposed(
                project=project,
                open_alerts={action: alerts[name, action] for action in get_args(Action)},
                route=route,
                live=release,
                trained_at=None if release is None else _trained_at(app, release),
                loss=losses[name],
                shifts=newest_shifts(measured[name, SHIFT], release_id),
                trends=[one for one in newest_trends(measured[name, TREND]) if one.release_id == release_id],
                kpis=_kpis(measured[name, KPI], route),
                calls=hours.get(name),
            )
        )
    return found


def newest_shifts(measured: Iterable[Measurement], release_id: str) -> list[Measurement]:
    """Of each feature and kind, the newest window of this release that could be measured."""
    newest: dict[tuple[str | None, object], Measurement] = {}
    for one in measured:
        if one.release_id == release_id and one.value is not None:
            newest[one.feature, one.detail.get("kind")] = one
    return list(newest.values())


def _kpis(measured: Iterable[Measurement], route: Route | None) -> list[Measurement]:
    """The last window comes last: what is of the same KPI and action, and older, is left out."""
    newest: dict[tuple[str | None, ...], Measurement] = {}
    for one in newest_of_each(measured).values():
        if route is not None and one.release_id in route.releases and one.value is not None:
            newest[one.release_id, one.feature, one.segment] = one
    return list(newest.values())


def _trained_at(app: App, release: Release) -> datetime | None:
    try:
        return app.store.runs.get(release.manifest.run_id).finished_at
    except NotFound:  # trained elsewhere
        return None
