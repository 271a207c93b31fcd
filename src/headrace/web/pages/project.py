"""``/projects/{name}``: the model at a glance, its plots, findings and releases; and two buttons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.business.kpis import kpis
from headrace.app.composition import App
from headrace.app.data.arrivals import arrivals
from headrace.app.learning import learning
from headrace.app.operations import roll_back, watch_now
from headrace.app.overviews import reading, reviews
from headrace.app.overviews.lead_times import lead_times
from headrace.app.overviews.lessons import offered_to
from headrace.app.overviews.lifecycle import stages
from headrace.app.rollouts.falling_back import fall_back, proposed
from headrace.app.rollouts.recommending import kept_recommendation
from headrace.checks.tasks import GENERATIVE
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import NAME_PATTERN
from headrace.core.release import Measurement, Release, Rollout
from headrace.monitoring.lead_times import STEPS
from headrace.web.identity import principal_of
from headrace.web.pages.causes import Cause, cause_of
from headrace.web.pages.findings import grouped
from headrace.web.pages.formats import subject
from headrace.web.pages.forms import read_form, unix_lines
from headrace.web.pages.kpis import newest_kpis
from headrace.web.pages.levels import level_of
from headrace.web.pages.places import bar_of
from headrace.web.pages.release import metric_name
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.pages.segments import cautions, newest_segments
from headrace.web.pages.series import (
    Strip,
    SubjectOf,
    drift_plot,
    drift_rows,
    drift_strips,
    estimate_rows,
    performance_plot,
    performance_rows,
    spark,
)
from headrace.web.pages.usage import consumers, traffic_plot

TRAFFIC_DAYS = 15
"""Two weeks of hours, each beside the one a week before."""
_SHOWN_WINDOWS = 60
_SHOWN_GROUPS = 12
_SHOWN_BATCHES = 12
_SHOWN_REVIEWS = 5
_SHOWN_LEAD_TIMES = 10
"""Releases whose lead times are worked out on every view; the download has all."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A release in the table."""

    release: Release
    cause: Cause
    loss: float | None
    approver: str | None


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What the reader may do here; ``back_to`` names the release that a rollback restores."""

    may_watch: bool
    may_roll_back: bool
    may_fall_back: bool
    back_to: str | None
    stops_rollout: bool


def project_name(request: Request) -> str:
    """The project that the path names. What cannot be a name is not looked up."""
    name: str = request.path_params["name"]
    if not NAME_PATTERN.fullmatch(name):
        raise NotFound(f"There is no project {name[:80]!r}. The overview lists them.")
    return name


def texts_project(request: Request) -> str:
    """The same, of a project whose answers are texts: others have none of what those pages show.

    Raises:
        NotFound: the path names no such project.
        Denied: it is not for the reader to see.
    """
    name = project_name(request)
    project = reading.project(parts_of(request).app, principal_of(request.scope), name)
    if project.task not in GENERATIVE:
        raise NotFound(
            f"{name!r} asks no language model: its task is {project.task.replace('_', ' ')}. It has no "
            "prompts, budgets, guards, drafts or hand-offs."
        )
    return name


def show(request: Request) -> Response:
    """One project."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    report = reading.project_report(app, me, name)
    releases = reading.releases(app, me, name)
    subject_of = subjects(releases)
    measured = reading.measurements(app, me, name, "shift")
    shifts = drift_rows(measured, subject_of)
    windows = reading.measurements(app, me, name, "window")
    findings, alerts = reading.findings(app, me, name), reading.alerts(app, me, name)
    counted = reading.predictions_count(app, me, name)
    newest = reading.release_report(app, me, releases[0].id) if releases else None
    live = None if report.live is None else reading.release_report(app, me, report.live.id)
    threshold = report.project.monitors.shift
    strips = drift_strips(shifts, threshold)
    hours = reading.traffic(app, me, name, days=TRAFFIC_DAYS)
    return renderer_of(request).page(
        request,
        "project.html",
        report=report,
        project=report.project,
        bar=bar_of(request, name),
        glance=report.glance,
        compares=report.project.task not in GENERATIVE,
        external=releases[0] if releases and releases[0].state == "external" else None,
        level=level_of(report.project, live or newest),
        there=report.glance.service,
        stages=stages(app, me, name),
        offered=offered_to(app, report.project),
        counted=counted,
        traffic=spark(traffic(windows)),
        n_windows=len({m.window for m in windows}),
        strips=strips,
        worst=worst_now(strips),
        drift=drift_plot(shifts, threshold),
        calls=traffic_plot(hours),
        consumers=consumers(hours),
        groups=grouped(
            findings, alerts, releases, report.glance.live_id, measured, reading.refused_builds(app, me, name)
        ),
        shown_groups=_SHOWN_GROUPS,
        listed=_listed(app, me, releases),
        recommended=kept_recommendation(app, me, name),
        fall_back=proposed(app, name),
        learnt=learning(app, me, name)[: -_SHOWN_BATCHES - 1 : -1] if report.project.online else [],
        rights=rights_of(app, me, report),
        subject_of=subject_of,
        **_quality(app, me, report, subject_of),
        **_lead_times(app, me, name),
        **_reviews(app, me, name),
        arrivals=arrivals(app, me, name),
    )


def _lead_times(app: App, me: Principal, name: str) -> dict[str, Any]:
    lead = lead_times(app, me, name, newest=_SHOWN_LEAD_TIMES)[0]
    return {"lead": lead, "shown_lead_times": _SHOWN_LEAD_TIMES, "steps": STEPS}


def _reviews(app: App, me: Principal, name: str) -> dict[str, Any]:
    """When the live release has to be reviewed, whether the reader may, and the reviews that were."""
    due = next(iter(reviews.standings(app, me, name)), None)
    return {
        "due": due,
        "why_not_review": "" if due is None else reviews.why_not_review(app, me, due),
        "reviewed": reviews.history(app, me, name)[:_SHOWN_REVIEWS],
    }


def _quality(app: App, me: Principal, report: reading.ProjectReport, subject_of: SubjectOf) -> dict[str, Any]:
    """How good the answers were, and what they brought: by window, segment and KPI."""
    name, live_id, gate = report.project.name, report.glance.live_id, report.project.gates.model
    losses = performance_rows(reading.performance(app, me, name), subject_of)
    estimated = estimate_rows(reading.estimates(app, me, name), subject_of)
    return {
        "losses": losses[-1] if losses else None,
        "performance": performance_plot(losses, gate.max_loss, estimated),
        "kpis": newest_kpis(kpis(app, me, name), subject_of),
        "segments": newest_segments(reading.segments(app, me, name), live_id, gate.metric),
        "cautions": cautions(reading.measurements(app, me, name, "segments"), live_id),
    }


async def watch(request: Request) -> Response:
    """One round of watching, now."""
    parts, me, name = parts_of(request), principal_of(request.scope), project_name(request)
    await run_in_threadpool(watch_now, parts.app, parts.work, me, name)
    return RedirectResponse(f"/projects/{name}", 303)


async def review(request: Request) -> Response:
    """Record a periodic review of the live release, as the page's form says."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    form = await read_form(request)
    outcome: Literal["fit", "unfit"] = "fit" if form.get("outcome") == "fit" else "unfit"
    if form.get("outcome") not in ("fit", "unfit"):
        raise InvalidInput(
            f"A review finds a release 'fit' or 'unfit', got {form.get('outcome', '')[:40]!r}."
        )
    looked_at = unix_lines(form.get("looked_at", ""))
    wanted = form.get("release", "")
    if wanted not in {release.id for release in reading.releases(app, me, name)}:
        raise NotFound(f"{name!r} has no release {wanted[:40]!r}. The project's page lists them.")
    await run_in_threadpool(reviews.record, app, me, wanted, outcome=outcome, looked_at=looked_at)
    return RedirectResponse(f"/projects/{name}#review", 303)


async def rollback(request: Request) -> Response:
    """Give the traffic back."""
    parts, me, name = parts_of(request), principal_of(request.scope), project_name(request)
    await run_in_threadpool(roll_back, parts.app, parts.work, me, name)
    return RedirectResponse(f"/projects/{name}", 303)


async def fallback(request: Request) -> Response:
    """Let the fallback answer."""
    parts, me, name = parts_of(request), principal_of(request.scope), project_name(request)
    await run_in_threadpool(fall_back, parts.app, me, name)
    return RedirectResponse(f"/projects/{name}#fallback", 303)


def subjects(releases: Sequence[Release]) -> SubjectOf:
    """What people call a release, by its id."""
    known = {release.id: subject(release.manifest.subject.ref) for release in releases}
    return lambda release_id: known.get(release_id or "", (release_id or "")[:13])


def traffic(windows: Sequence[Measurement]) -> list[float]:
    """Rows per window over all releases, the newest 60 windows."""
    rows: dict[object, float] = {}
    for measured in windows:
        rows[measured.window] = rows.get(measured.window, 0.0) + (measured.value or 0.0)
    return list(rows.values())[-_SHOWN_WINDOWS:]


def worst_now(strips: Sequence[Strip]) -> Strip | None:
    """The feature that is furthest from training in its newest window."""
    known = [strip for strip in strips if strip.latest is not None]
    return max(known, key=lambda strip: strip.latest or 0.0, default=None)


def rights_of(app: App, me: Principal, report: reading.ProjectReport) -> Rights:
    """What the reader may do, and whether there is anything to do it to."""
    name = report.project.name
    resource = f"project:{name}"
    stops = report.rollout is not None and report.rollout.state in ("pending", "canary")
    stops = stops or (report.route is not None and report.route.split is not None)
    before = None if report.live is None else _before(app, me, report.live)
    champion = None if before is None else before.champion_id
    possible = stops or champion is not None
    return Rights(
        may_watch=report.live is not None and app.gatekeeper.allows(me, "monitor.run", resource),
        may_fall_back=app.gatekeeper.allows(me, "release.rollback", resource),
        may_roll_back=possible and app.gatekeeper.allows(me, "release.rollback", resource),
        back_to=champion,
        stops_rollout=stops,
    )


def _before(app: App, me: Principal, live: Release) -> Rollout | None:
    return reading.release_report(app, me, live.id).rollout


def _listed(app: App, me: Principal, releases: Sequence[Release]) -> list[Listed]:
    approvers = {one.release_id: one.approver for one in reading.approvals(app, me, releases)}
    return [
        Listed(
            release=release,
            cause=cause_of(release.manifest.cause),
            loss=release.manifest.evaluation.get(metric_name(release)),
            approver=approvers.get(release.id),
        )
        for release in releases
    ]
