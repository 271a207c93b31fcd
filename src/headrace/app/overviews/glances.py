"""How projects are doing: read together, with as many queries for three hundred as for one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from headrace.access.privacy.charters import settled
from headrace.app.answers.serving import SERVER
from headrace.app.composition import App
from headrace.app.overviews.glance import WINDOWS, Facts, Glance, glance
from headrace.checks.tasks import GENERATIVE
from headrace.core.project import Project
from headrace.core.release import Measurement, Release, Route
from headrace.monitoring.calls import NAME as CALLS
from headrace.monitoring.cases import PENDING
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.service import NAME as AVAILABILITY
from headrace.monitoring.shifts import NAME as SHIFT
from headrace.monitoring.windows import origin_of

_HOURS, _LOSSES, _FINDINGS = 24, 12, 50
"""Hours of calls, windows with a loss, and findings of each kind about the live release that are read."""
_REMEMBERED = timedelta(days=400)
_One = TypeVar("_One")


def glances(app: App, declared: Sequence[Project]) -> list[Glance]:
    """Each of these projects in a line. Who may see them is asked before."""
    store, now = app.store, app.clock.now()
    names = {project.name for project in declared}
    only = declared[0].name if len(declared) == 1 else None
    routes = {route.project: route for route in store.rollouts.routes() if route.project in names}
    live = [route.live for route in routes.values()]
    releases = {one.id: one for one in store.releases.some({i for r in routes.values() for i in r.releases})}
    rollouts = {one.release_id: one for one in store.rollouts.some(live)}
    waiting = _grouped(store.releases.list(only, state="waiting"), lambda one: one.project)
    found = _grouped(store.findings.about(live, _FINDINGS), lambda one: (one.project, one.release_id))
    last = _grouped(store.findings.last(names), lambda one: one.project)
    pending = [case for state in PENDING for case in store.cases.list(subject=only, state=state)]
    alerts = _grouped(store.findings.open([one.id for one in pending], only), lambda one: one[0].project)
    cases = _grouped(pending, lambda one: one.subject)
    held = [_held(app, project, routes.get(project.name), releases) for project in declared]
    losses = {project.gates.model.metric for project in held}
    measured = _grouped(
        [
            *store.evidence.newest(names, losses, _LOSSES),
            *store.evidence.newest(names, (SHIFT, WINDOWS, AVAILABILITY), 1),
            *store.evidence.newest(names, (CALLS,), _HOURS),
        ],
        lambda one: one.project,
    )
    last_heard = _last_heard(app)
    reviews = {one.release_id: one for one in store.reviews.list(subject=only)}
    generative = {project.name for project in held if project.task in GENERATIVE}
    backlog = _grouped(store.backlog.waiting(generative), lambda one: one.subject)
    lines = []
    for project in held:
        route = routes.get(project.name)
        live_id = "" if route is None else route.live
        is_first = live_id in releases and releases[live_id].manifest.parent is None
        since = rollouts[live_id].step_started_at if is_first and live_id in rollouts else None
        facts = Facts(
            project=project,
            route=route,
            releases=releases,
            rollout=rollouts.get(live_id),
            waiting=waiting[project.name],
            found=found[project.name, live_id],
            last=last[project.name],
            alerts=alerts[project.name],
            cases=cases[project.name],
            measured=measured[project.name],
            backlog=backlog[project.name],
            asked=route is None or _is_asked(app, project.name, measured[project.name]),
            n_asked=None
            if route is None
            else _n_asked(app, project.name, measured[project.name], since, now),
            window_at=None if route is None else _window_at(app, project, live_id, measured[project.name]),
            last_heard=last_heard,
            last_review=reviews.get(live_id),
            now=now,
        )
        lines.append(glance(facts))
    return lines


def _held(app: App, project: Project, route: Route | None, releases: Mapping[str, Release]) -> Project:
    """With the settings of what is live: those of one read before, unless a fallback stands in for it."""
    if route is None or route.live not in releases:
        return project
    live = (
        app.access.charters.live(project.name) if route.stands_in else releases[route.live].manifest.charter
    )
    return settled(project, live)


def _is_asked(app: App, project: str, measured: Sequence[Measurement]) -> bool:
    """Whether there ever was an answer; one that was measured needs no look into the log."""
    if any(one.name != AVAILABILITY for one in measured):
        return True
    return any(segment.size_bytes for segment in app.store.events.segments(predictions_table(project)))


def _n_asked(
    app: App, project: str, measured: Sequence[Measurement], since: datetime | None, now: datetime
) -> int | None:
    """How many calls came, if the first did within a day; hours are counted once they are over, and of the
    first one no full hour.

    Without an hour that was counted, a first release that went live within a day says so: a long log is not
    read for this.

    Args:
        since: when the first release of the project went live, if it still is.
    """
    hours = [one.window[0] for one in measured if one.name == CALLS and one.window is not None]
    began = min(hours, default=since)
    if began is None or now - began >= timedelta(hours=_HOURS):
        return None
    return app.store.events.count(predictions_table(project))


def _window_at(app: App, project: Project, live: str, measured: Sequence[Measurement]) -> datetime | None:
    """Where the window begins that is under way, of a live release of which none was compared yet."""
    if any(one.name == SHIFT and one.release_id == live for one in measured):
        return None
    closed = [one.window[1] for one in measured if one.name == WINDOWS and one.window is not None]
    return max(closed) if closed else origin_of(project.name, app.store.tables, project.monitors.window_s)


def _last_heard(app: App) -> datetime | None:
    """When the last server went away; None while one is there, and where there never was one."""
    if app.store.executors.living(SERVER):
        return None
    heard = app.store.executors.uptime(SERVER, app.clock.now() - _REMEMBERED)
    return max((one.seen_at for one in heard), default=None)


def _grouped(found: Iterable[_One], key: Callable[[_One], object]) -> defaultdict[object, list[_One]]:
    groups: defaultdict[object, list[_One]] = defaultdict(list)
    for one in found:
        groups[key(one)].append(one)
    return groups
