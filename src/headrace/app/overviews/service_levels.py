"""How much of its declared availability each model has left, downtime counted; and servers that went away."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from headrace.app.answers.serving import SERVER
from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.identity import Principal
from headrace.core.ports import Uptime
from headrace.monitoring.service import NAME, Service, Standing, standing, watch_service
from headrace.monitoring.watch import Round

_EPOCH_DAYS = timedelta(days=400)
_LOST_FOR = timedelta(days=1)
_SILENCE = timedelta(seconds=60)


def watch_availability(app: App, name: str) -> Round:
    """One round: count the hours that are over. Empty while nothing is live."""
    route = app.store.rollouts.route(name)
    if route is None:
        return Round([], [])
    service = Service(
        project=app.access.charters.in_force(name),
        release_id=route.live,
        begun=lambda: _begun(app, name),
        uptime=lambda since: [
            (one.started_at, one.seen_at) for one in app.store.executors.uptime(SERVER, since)
        ],
        periods=app.store.periods.list(subject=name, state="named"),
        evidence=app.store.evidence,
        events=app.store.events,
        tables=app.store.tables,
        now=app.clock.now(),
    )
    return watch_service(service)


def standings(app: App, me: Principal, name: str | None = None) -> list[Standing]:
    """Those of one project, or of all that ``me`` may see, of which an hour was counted.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    named = reading.projects(app, me) if name is None else [reading.project(app, me, name)]
    newest = app.store.evidence.newest([one.name for one in named], (NAME,), 1)
    measured = {one.project: one for one in newest}
    return [standing(one, measured[one.name]) for one in named if one.name in measured]


def lost(app: App) -> list[Uptime]:
    """Servers that went away within a day without saying so, and in whose place none has come since."""
    now = app.clock.now()
    return gone(app.store.executors.uptime(SERVER, now - _LOST_FOR), now)


def gone(heard: Iterable[Uptime], now: datetime) -> list[Uptime]:
    """Of the times in which servers were heard of, the last of each that nobody has replaced."""
    last = {one.executor_id: one for one in heard}
    silent = [one for one in last.values() if not one.ended and now - one.seen_at > _SILENCE]
    silent.sort(key=lambda one: one.seen_at)
    came = sorted(one.started_at for one in last.values())
    left = []
    for one in silent:
        replacement = next((at for at in came if at > one.seen_at), None)
        if replacement is None:
            left.append(one)
        else:
            came.remove(replacement)
    return left


def _begun(app: App, name: str) -> datetime | None:
    """When the project first answered, at a time from which on servers were heard of."""
    releases = [release.id for release in app.store.releases.list(name)]
    lived = [one.step_started_at for one in app.store.rollouts.some(releases) if one.state == "promoted"]
    now = app.clock.now()
    heard = [one.started_at for one in app.store.executors.uptime(SERVER, now - _EPOCH_DAYS)]
    return max(min(lived), min(heard)) if lived and heard else None
