"""How long it takes from data to a live version, and from an alert to its replacement, for who may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.data import Run
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.core.release import Approval, Release, Rollout, Verdict
from headrace.monitoring.lead_times import (
    Facts,
    LeadTime,
    Replacement,
    Stage,
    lead_time,
    replacements,
    stages,
    stalled,
    typical,
)
from headrace.store.ids import made_at

_DAY_S = 86_400.0
STALLED_DAYS = 7.0
"""A release that has waited for longer has stalled, unless the project or whoever asks says otherwise."""


@dataclass(frozen=True, kw_only=True)
class LeadTimes:
    """One project's.

    Attributes:
        releases: the newest first.
        typical_s: median seconds of each step, and of the whole way as ``total``, of those that went live.
        stages: what each step has taken and cost, over these releases.
        target_s: how long a release may take from data to live; None where nothing is declared.
        late: those of ``releases`` that have taken longer, and are live or on their way, by their subject.
        replacements: retrainings that alerts have caused, the newest last.
        stalled: the release that has waited for too long.
    """

    project: str
    releases: list[LeadTime]
    typical_s: dict[str, float]
    stages: list[Stage]
    target_s: float | None
    late: list[str]
    replacements: list[Replacement]
    stalled: LeadTime | None


def lead_times(
    app: App,
    me: Principal,
    name: str | None = None,
    *,
    stalled_days: float | None = None,
    newest: int | None = None,
) -> list[LeadTimes]:
    """Those of one project, or of all that ``me`` may see.

    Args:
        stalled_days: a release that has waited for longer has stalled; as each project declares, or 7.
        newest: only so many releases of each project; all of them where it is not given.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
        InvalidInput: ``stalled_days`` is not a positive number of days, or more than 100 years.
    """
    if stalled_days is not None and not 0 < stalled_days <= 36_525:
        raise InvalidInput(
            f"stalled-days is {stalled_days:g}. Expected days after which a release that waits has stalled: "
            "more than 0 and at most 36525."
        )
    named = reading.projects(app, me) if name is None else [reading.project(app, me, name)]
    return [_of_project(app, me, one, stalled_days, newest) for one in named]


def _of_project(
    app: App, me: Principal, project: Project, stalled_days: float | None, newest: int | None
) -> LeadTimes:
    name, delivery = project.name, project.delivery
    after = timedelta(days=stalled_days or delivery.get("stalled_days", STALLED_DAYS))
    target_s = delivery["target_days"] * _DAY_S if "target_days" in delivery else None
    now, alerts = app.clock.now(), reading.alerts(app, me, name)
    asked = {alert.build_id: alert.at for alert in reversed(alerts) if alert.build_id is not None}
    releases = reading.releases(app, me, name)[:newest]
    known = _known(app, releases)
    builds = {
        one.id: run.build_id for one in releases if (run := known.runs.get(one.manifest.run_id)) is not None
    }
    times = [lead_time(_facts(one, builds.get(one.id), asked, known), now) for one in releases]
    return LeadTimes(
        project=name,
        releases=times,
        typical_s=typical(times),
        stages=stages(times, delivery),
        target_s=target_s,
        late=[
            one.subject
            for one in times
            if target_s is not None
            and one.took_s > target_s
            and (one.live_at or one.steps[-1].ended_at is None)
        ],
        replacements=replacements(alerts, builds, times),
        stalled=stalled(times, now, after),
    )


class _Known(NamedTuple):
    """What is kept of some releases, read together; runs by their own id."""

    runs: dict[str, Run]
    verdicts: list[Verdict]
    approvals: list[Approval]
    rollouts: dict[str, Rollout]


def _known(app: App, releases: Sequence[Release]) -> _Known:
    ids = [one.id for one in releases]
    return _Known(
        runs={run.id: run for run in app.store.runs.builds([one.manifest.run_id for one in releases])},
        verdicts=app.store.evidence.verdicts_of(ids),
        approvals=app.store.evidence.approvals_of(ids),
        rollouts={one.release_id: one for one in app.store.rollouts.some(ids)},
    )


def _facts(release: Release, build_id: str | None, asked: dict[str, datetime], known: _Known) -> Facts:
    runs = [run for run in known.runs.values() if run.build_id == build_id]
    ended = [run.finished_at for run in runs if run.finished_at is not None]
    begun_at = None
    if build_id is not None:
        begun_at = asked.get(build_id) or made_at(build_id.rpartition(":")[2])
    return Facts(
        release=release,
        begun_at=begun_at,
        trained=(min(run.started_at for run in runs), max(ended)) if ended else None,
        automatic=release.author.startswith(("trigger:", "system:")),
        verdicts=[one for one in known.verdicts if one.subject_id == release.id],
        approvals=[one for one in known.approvals if one.release_id == release.id],
        rollout=known.rollouts.get(release.id),
    )
