"""What may be seen: each function asks the gatekeeper, then returns records. Nothing here changes state."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from headrace.access.privacy.charters import Waiting, settled
from headrace.access.resources import resource_of
from headrace.app.answers.input_kinds import latest_kinds
from headrace.app.compliance import approvals_needed, latest_verdict
from headrace.app.composition import App
from headrace.app.flight import ToTick, to_tick
from headrace.app.overviews.glance import Glance, present
from headrace.app.overviews.glances import glances
from headrace.app.overviews.pinned import moved_parts
from headrace.app.overviews.unreleased import as_written, unreleased
from headrace.core.data import ModelVersion, Run
from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.ids import Ref, derived_id
from headrace.core.project import Project
from headrace.core.record import Alert, Finding
from headrace.core.release import Approval, Measurement, Release, Rollout, Route, Verdict
from headrace.gateway.llm.pins import Moved
from headrace.monitoring.answers import DAYS as ANSWERED_BY_DAY
from headrace.monitoring.answers import HOURS as ANSWERED
from headrace.monitoring.calls import NAME as CALLS
from headrace.monitoring.estimates import NAME as ESTIMATED
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.metrics import NAME as METRIC
from headrace.monitoring.segments import NAME as SEGMENT
from headrace.monitoring.trends import NAME as TREND
from headrace.monitoring.trends import newest as newest_trends
from headrace.projects.sections import ChangedLine
from headrace.releases.ingredients import INGREDIENTS
from headrace.releases.looks import NAME as LOOK
from headrace.releases.planning import CanaryPlan, plan_of
from headrace.releases.states import ON_ITS_WAY
from headrace.training.rebuild import Environment, rebuild_run

_YES_OR_NO = {"1": "yes", "0": "no"}
"""How tables name true and false, and how people do."""


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """How many people have approved, and how many the risk tier asks for."""

    given: int
    needed: int


@dataclass(frozen=True, kw_only=True)
class ReleaseReport:
    """A release with everything it was judged on.

    Attributes:
        compliance: what that gate said last.
        loosens: rules of privacy and durability that hold until it answers, and are looser in it.
        plan: what its canary will be able to tell, while it is on its way.
        flight: what people tick before it is deployed.
        moved: parts of an LLM app that are no longer as they were when it was made.
    """

    release: Release
    verdicts: list[Verdict]
    approvals: list[Approval]
    rollout: Rollout | None
    quorum: Quorum
    compliance: Verdict | None
    loosens: list[Waiting] = field(default_factory=list)
    plan: CanaryPlan | None = None
    flight: list[ToTick] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many requests were answered and how many of those are in the record; they are equal."""

    requests: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class ProjectReport:
    """A project with the settings that hold, and where it stands.

    Attributes:
        unreleased: settings of ``headrace.yaml`` that hold for nothing yet.
        live: the release that answers.
        candidate: the newest release that is on its way: proposed, waiting, approved or rolling out.
        rollout: of the candidate, if it has begun.
    """

    project: Project
    glance: Glance
    route: Route | None
    live: Release | None
    candidate: Release | None
    rollout: Rollout | None
    unreleased: list[ChangedLine] = field(default_factory=list)


def projects(app: App, me: Principal) -> list[Project]:
    """All projects that ``me`` may see."""
    return [
        project
        for project, workspace in app.store.projects.placed()
        if app.gatekeeper.allows(me, "project.read", resource_of(project, workspace))
    ]


def project(app: App, me: Principal, name: str) -> Project:
    """One project. Raises NotFound, Denied."""
    _require(app, me, name)
    return app.store.projects.get(name)


def route(app: App, me: Principal, name: str) -> Route | None:
    """Who answers for a project; None while nothing is live."""
    _require(app, me, name)
    return app.store.rollouts.route(name)


def releases(app: App, me: Principal, name: str | None = None) -> list[Release]:
    """Releases of one project or of all, newest first."""
    if name is not None:
        project(app, me, name)
    return [r for r in app.store.releases.list(name) if _may_read(app, me, r.project)]


def release_report(app: App, me: Principal, release_id: str) -> ReleaseReport:
    """A release with verdicts, approvals and rollout. Raises NotFound, Denied."""
    release = app.store.releases.get(release_id)
    _require(app, me, release.project)
    verdicts = app.store.evidence.verdicts(release_id)
    is_on_its_way = release.state in ON_ITS_WAY
    return ReleaseReport(
        release=release,
        verdicts=verdicts,
        approvals=app.store.evidence.approvals(release_id),
        rollout=_rollout(app, release_id),
        quorum=quorum(app, me, release),
        compliance=latest_verdict(app, release_id),
        loosens=app.access.charters.loosened_by(release) if is_on_its_way else [],
        plan=plan_of(verdicts, _own(app, release)) if is_on_its_way else None,
        flight=to_tick(app, release),
        moved=moved_parts(app, release),
    )


def _own(app: App, release: Release) -> Project:
    """The project with the settings that the release goes live by."""
    return settled(app.access.charters.in_force(release.project), release.manifest.charter)


def looks(app: App, me: Principal, release_id: str) -> list[Measurement]:
    """Looks at a release's canary, the oldest first: all that decided, and of others some hundred."""
    release = app.store.releases.get(release_id)
    _require(app, me, release.project)
    found = app.store.evidence.measurements(release.project, name=LOOK, release_id=release_id)
    return sorted(found, key=lambda one: one.at)


def approvals(app: App, me: Principal, releases: Sequence[Release]) -> list[Approval]:
    """Decisions on these releases, the oldest first."""
    seen = {release.project: _may_read(app, me, release.project) for release in releases}
    return app.store.evidence.approvals_of([one.id for one in releases if seen[one.project]])


def quorum(app: App, me: Principal, release: Release) -> Quorum:
    """How far the approval of a release has got."""
    _require(app, me, release.project)
    approved = [a for a in app.store.evidence.approvals(release.id) if a.decision == "approved"]
    return Quorum(given=len(approved), needed=approvals_needed(app, release))


def refused_builds(app: App, me: Principal, name: str) -> dict[str, str]:
    """Why retrainings that alerts asked for have made no release, by the id of the build: the gates that
    they failed, in words."""
    builds = {one.build_id for one in alerts(app, me, name) if one.build_id and one.state != "acting"}
    judged = {derived_id("release", build): build for build in builds}
    made = {release.id for release in app.store.releases.list(name)}
    found: dict[str, list[str]] = {}
    for verdict in app.store.evidence.verdicts_of(sorted(set(judged) - made)):
        if verdict.outcome in ("failed", "error"):
            found.setdefault(judged[verdict.subject_id], []).append(f"{verdict.gate}: {verdict.reason}")
    return {build: "; ".join(reasons) for build, reasons in found.items()}


def model_versions(app: App, me: Principal, name: str) -> list[ModelVersion]:
    """A project's model versions, oldest first."""
    return app.store.models.list(project(app, me, name).name)


def runs(app: App, me: Principal, name: str, limit: int = 1000) -> list[Run]:
    """A project's training runs, failed ones included, newest first."""
    return app.store.runs.list(project(app, me, name).name, limit=limit)


def model_run(app: App, me: Principal, reference: str) -> Run:
    """The run that made ``NAME@VERSION``. Raises NotFound, InvalidInput, Denied."""
    ref = Ref.parse(f"model:{reference}")
    _require(app, me, ref.name)
    if not ref.version.isdigit():
        raise NotFound(f"There is no model {reference!r}. Versions are numbers, such as {ref.name}@1.")
    return app.store.runs.get(app.store.models.get(ref.name, int(ref.version)).run_id)


def bill_of_materials(app: App, me: Principal, reference: str) -> dict[str, Any]:
    """The packages that ``NAME@VERSION`` was made with, as its gate has kept them: CycloneDX, JSON.

    Raises:
        NotFound: there is no such version, or it was made before bills were kept. InvalidInput, Denied.
    """
    run = model_run(app, me, reference)
    for release in app.store.releases.list(run.project):
        if release.manifest.run_id != run.id:
            continue
        for verdict in app.store.evidence.verdicts(release.id):
            if verdict.gate == INGREDIENTS:
                bill: dict[str, Any] = json.loads(app.store.artifacts.get(verdict.evidence["bill"]))
                return bill
    raise NotFound(f"No bill of materials of {reference} is kept. Build it again with 'headrace run'.")


def lineage(app: App, me: Principal, reference: str) -> dict[str, Any]:
    """Data, code, environment, parameters, seed and cause of ``NAME@VERSION``."""
    run = model_run(app, me, reference)
    snapshot = app.store.snapshots.get(run.snapshot_id)
    releases_of_run = [r.id for r in app.store.releases.list(run.project) if r.manifest.run_id == run.id]
    return {
        "model": reference,
        "run": run.id,
        "variant": run.variant,
        "params": run.params,
        "seed": run.seed,
        "snapshot": snapshot.id,
        "rows": snapshot.n_rows,
        "content": snapshot.digest,
        "raw": snapshot.raw.digest,
        "source": snapshot.source,
        "code": run.code.digest,
        "environment": run.environment.digest,
        "package": None if run.package is None else run.package.digest,
        "mlflow_run": run.tracking_id,
        "cause": run.cause,
        "author": run.author,
        "releases": releases_of_run,
    }


def rebuild(
    app: App,
    me: Principal,
    reference: str,
    *,
    environment: Environment | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Make ``NAME@VERSION`` again from its record and compare, as :func:`rebuild_run` does. Raises Denied."""
    run = model_run(app, me, reference)
    app.gatekeeper.require(me, "project.run", f"project:{run.project}")
    workdir = app.settings.home / "scratch"
    result = rebuild_run(run, app.store, workdir, environment=environment, told=told)
    return {"model": reference} | result._asdict()


def findings(app: App, me: Principal, name: str) -> list[Finding]:
    """What production data has shown, oldest first."""
    return app.store.findings.list(project(app, me, name).name)


def alerts(app: App, me: Principal, name: str) -> list[Alert]:
    """Findings that ask or asked for action, oldest first."""
    return app.store.findings.alerts(project(app, me, name).name)


def measurements(app: App, me: Principal, name: str, measure: str | None = None) -> list[Measurement]:
    """Measurements by window, of one name or of all."""
    return app.store.evidence.measurements(project(app, me, name).name, name=measure)


def performance(app: App, me: Principal, name: str) -> list[Measurement]:
    """The loss by window and release: of each, the newest with the most labels."""
    _require(app, me, name)
    return _present(app, name, app.access.charters.in_force(name).gates.model.metric)


def estimates(app: App, me: Principal, name: str) -> list[Measurement]:
    """The loss that was to be expected of each window and release, whether labels have come or not."""
    return _present(app, project(app, me, name).name, ESTIMATED)


def metrics(app: App, me: Principal, name: str) -> list[Measurement]:
    """The declared metrics by window and release: of each, the newest with the most labels."""
    return _present(app, project(app, me, name).name, METRIC)


def _present(app: App, name: str, measure: str) -> list[Measurement]:
    return present(app.store.evidence.measurements(name, name=measure))


def traffic(app: App, me: Principal, name: str, *, days: int = 8) -> list[Measurement]:
    """Calls of each full hour of the last ``days`` days, oldest first, with those of each consumer."""
    since = app.clock.now() - timedelta(days=days)
    return app.store.evidence.measurements(project(app, me, name).name, name=CALLS, since=since)


def answered(app: App, me: Principal, name: str, *, days: int = 8, by_day: bool = False) -> list[Measurement]:
    """What each release answered in each hour (or day) of the last ``days`` days, oldest first."""
    since, measure = app.clock.now() - timedelta(days=days), ANSWERED_BY_DAY if by_day else ANSWERED
    found = app.store.evidence.measurements(project(app, me, name).name, name=measure, since=since)
    return [measured for measured in found if measured.release_id is not None]


def segments(app: App, me: Principal, name: str) -> list[Measurement]:
    """Loss and rates by window, release and segment: of each, the newest with the most labels."""
    found, kinds = _present(app, project(app, me, name).name, SEGMENT), latest_kinds(app.store, name)
    return [
        replace(one, segment=_YES_OR_NO.get(one.segment or "", one.segment))
        if kinds.get(one.feature or "") == "boolean"
        else one
        for one in found
    ]


def trends(app: App, me: Principal, name: str) -> list[Measurement]:
    """Change per window of the loss and of each declared metric, by release: the newest of each."""
    return newest_trends(app.store.evidence.measurements(project(app, me, name).name, name=TREND))


def predictions_count(app: App, me: Principal, name: str) -> Counted:
    """Requests in the event log, and rows of them that have reached the tables."""
    table = predictions_table(project(app, me, name).name)
    rows = 0
    if app.store.tables.version(table) is not None:
        rows = int(app.store.tables.query("select count(*) as n from p", {"p": (table, None)})["n"][0])
    return Counted(requests=app.store.events.count(table), rows=rows)


def project_report(app: App, me: Principal, name: str) -> ProjectReport:
    """One project. Raises NotFound, Denied."""
    declared = project(app, me, name)
    present = app.store.rollouts.route(name)
    on_its_way = [r for r in app.store.releases.list(name) if r.state in ON_ITS_WAY]
    candidate = on_its_way[0] if on_its_way else None
    return ProjectReport(
        project=settled(declared, app.access.charters.live(name)),
        unreleased=unreleased(app, [as_written(app, declared)]).get(name, []),
        glance=glances(app, [declared])[0],
        route=present,
        live=None if present is None else app.store.releases.get(present.live),
        candidate=candidate,
        rollout=None if candidate is None else _rollout(app, candidate.id),
    )


def _rollout(app: App, release_id: str) -> Rollout | None:
    try:
        return app.store.rollouts.get(release_id)
    except NotFound:
        return None


def _may_read(app: App, me: Principal, name: str) -> bool:
    return app.gatekeeper.allows(me, "project.read", f"project:{name}")


def _require(app: App, me: Principal, name: str) -> None:
    app.gatekeeper.require(me, "project.read", f"project:{name}")
