"""Where projects stand between notebook and production, and in which stage they stall, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.app.overviews.lead_times import STALLED_DAYS
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.projects.intake import STAGES, StageName

_DAY_S = 86_400.0
_STAGE_OF: dict[str, StageName] = {
    "proposed": "prove", "refused": "prove", "waiting": "approve", "rejected": "approve",
    "approved": "roll out", "rolling_out": "roll out", "aborted": "roll out", "standing_by": "operate",
    "live": "operate", "external": "operate", "superseded": "operate", "rolled_back": "operate",
}  # fmt: skip
_ENDED = {
    "refused": "refused by a gate",
    "rejected": "rejected by a person",
    "aborted": "its canary was aborted",
}


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where one project stands: the farthest that its newest release got, or operation once one is live.

    Attributes:
        why: what it waits for, or what stopped it.
        since: when it got there; None where nothing says when.
        waits_s: seconds since then; None where it is in operation, or nothing says when.
        stalled: whether it has waited longer than the project's ``stalled_days``, or 7.
    """

    project: str
    stage: StageName
    why: str
    since: datetime | None
    waits_s: float | None
    stalled: bool


@dataclass(frozen=True, kw_only=True)
class StageCount:
    """Projects in one stage; ``median_s``: seconds that they have been waiting there, of those that wait."""

    stage: StageName
    n_projects: int
    n_stalled: int
    median_s: float | None


@dataclass(frozen=True, kw_only=True)
class LifecycleMap:
    """All projects on the way from notebook to production, the longest waiting first."""

    stages: list[StageCount]
    projects: list[Position]


def lifecycle_map(app: App, me: Principal) -> LifecycleMap:
    """Where each project that ``me`` may see stands, and how many stand and stall in each stage."""
    now = app.clock.now()
    places = [_position(app, one, now) for one in reading.projects(app, me)]
    places.sort(key=lambda one: (STAGES.index(one.stage) == len(STAGES) - 1, -(one.waits_s or 0.0)))
    return LifecycleMap(stages=[_count(stage, places) for stage in STAGES], projects=places)


def _count(stage: StageName, places: Sequence[Position]) -> StageCount:
    mine = [one for one in places if one.stage == stage]
    waits = [one.waits_s for one in mine if one.waits_s is not None]
    return StageCount(
        stage=stage,
        n_projects=len(mine),
        n_stalled=sum(one.stalled for one in mine),
        median_s=median(waits) if waits else None,
    )


def _position(app: App, project: Project, now: datetime) -> Position:
    stage, why, since = _where(app, project)
    waits_s = None if since is None or stage == "operate" else max((now - since).total_seconds(), 0.0)
    after_s = project.delivery.get("stalled_days", STALLED_DAYS) * _DAY_S
    return Position(
        project=project.name,
        stage=stage,
        why=why,
        since=since,
        waits_s=waits_s,
        stalled=waits_s is not None and waits_s > after_s,
    )


def _where(app: App, project: Project) -> tuple[StageName, str, datetime | None]:
    route = app.store.rollouts.route(project.name)
    releases = [one for one in app.store.releases.list(project.name) if not one.manifest.stands_in]
    if route is not None:
        live = app.store.releases.get(route.live)
        return "operate", f"{live.manifest.subject.ref.partition(':')[2]} is live", _moved_at(app, live)
    if releases:
        newest = releases[0]
        name = newest.manifest.subject.ref.partition(":")[2]
        why = _ENDED.get(newest.state, newest.state.replace("_", " "))
        return _STAGE_OF[newest.state], f"{name}: {why}", _moved_at(app, newest)
    runs = app.store.runs.list(project.name, limit=1)
    if runs:
        last = runs[0]
        why = f"variant {last.variant} {last.state}; no release came of it"
        return "build", why, last.finished_at or last.started_at
    return "declare", "nothing was built yet", _declared_at(app, project.name)


def _moved_at(app: App, release: Release) -> datetime:
    """When it got where it is: the last thing on record about it."""
    moments = [release.created_at]
    moments += [one.at for one in app.store.evidence.verdicts(release.id)]
    moments += [one.at for one in app.store.evidence.approvals(release.id)]
    moments += [one.step_started_at for one in app.store.rollouts.some([release.id])]
    return max(moments)


def _declared_at(app: App, name: str) -> datetime | None:
    """When the project as it is was declared; None in what was kept without the audit log."""
    found = app.store.audit.search(f"project:{name}", limit=200)
    declared = [
        one.at for one in found if one.action == "project.declare" and one.resource == f"project:{name}"
    ]
    return declared[0] if declared else None
