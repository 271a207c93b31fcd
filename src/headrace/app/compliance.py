"""Whether projects and releases keep the rules of their workspace: at check, run, approval and while live."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from headrace.access.incidents import Step
from headrace.access.privacy import charters
from headrace.access.reviewed_texts import newest_usable
from headrace.app.composition import App
from headrace.core.canonical import digest_of
from headrace.core.errors import GateFailed, NotFound
from headrace.core.identity import Incident, PolicyText, Principal, Resource
from headrace.core.ids import derived_id
from headrace.core.project import Column, Project
from headrace.core.record import Finding
from headrace.core.release import Manifest, Release, Verdict, Waiver
from headrace.projects.compliance import Compliance, Facts, examine
from headrace.projects.controls import InForce, house_rules, read_rules
from headrace.releases.gates import COMPLIANCE, compliance_gate
from headrace.releases.manifest import parent_of
from headrace.releases.waivers import LEAST, holds

KIND = "compliance"
SYSTEM = "system:compliance"


def subject_of(workspace: str) -> str:
    """What the texts of a workspace's rules are about; its access policy has another subject."""
    return f"controls:{workspace}"


def in_force(app: App, workspace: str) -> InForce:
    """The rules that hold in a workspace at this moment; Headrace's own where it has none."""

    def report(text: PolicyText, why: str) -> None:
        # Such as a control that this version of Headrace does not know: the text before it holds.
        app.access.incidents.open(
            "rules_broken",
            text.author,
            workspace,
            title=f"Version {text.version} of the rules cannot be used; the one before it holds",
            raised_by=SYSTEM,
            evidence={"why": why, "version": text.version},
        )

    subject = subject_of(workspace)
    return newest_usable(app.store.policies, workspace, subject, read=_read, report=report) or house_rules()


def _read(text: PolicyText) -> InForce:
    return InForce(rules=read_rules(text.text), version=text.version, digest=text.digest, text=text.text)


def waiver_for(app: App, project: str, rule: str, author: str) -> Waiver | None:
    """A waiver of ``rule`` that holds now for what ``author`` made; none if they agreed to it themselves."""
    now, makers = app.clock.now(), app.access.resources.makers(author)
    granted = app.store.waivers.list(subject=project, state="granted")
    return next((w for w in granted if w.rule == rule and holds(w, now, makers)), None)


def examined(app: App, facts_of: Facts, author: str) -> Compliance:
    """Hold ``facts_of`` against the rules, with the waivers that hold for what ``author`` makes."""
    now, prefix, makers = app.clock.now(), "control:", app.access.resources.makers(author)
    waived = {
        waiver.rule.removeprefix(prefix): waiver.id
        for waiver in app.store.waivers.list(subject=facts_of.project.name, state="granted")
        if waiver.rule.startswith(prefix) and holds(waiver, now, makers)
    }
    return examine(facts_of, waived)


def check_project(app: App, principal: Principal, project: Project) -> Compliance:
    """How a project would stand against the rules of the workspace that it belongs, or will belong, to."""
    try:
        workspace = app.store.projects.workspace(project.name)
    except NotFound:
        workspace = principal.workspace
    resource = Resource(kind="project", name=project.name, workspace=workspace, risk=project.risk)
    app.gatekeeper.require(principal, "project.read", resource)
    return examined(app, Facts(project=project, in_force=in_force(app, workspace)), principal.name)


def project_compliance(app: App, principal: Principal, name: str) -> Compliance:
    """How a known project stands against the rules in force now. Raises NotFound, Denied."""
    app.gatekeeper.require(principal, "project.read", f"project:{name}")
    return check_project(app, principal, app.store.projects.get(name))


def require_project(app: App, principal: Principal, project: Project) -> None:
    """Return if a known project keeps the rules; a build that could never be released is not begun.

    Raises:
        GateFailed: it does not; the message names each control and what to do.
    """
    found = check_project(app, principal, project)
    if found.violations:
        raise GateFailed(_refusal(f"Project {project.name!r}", project.name, found))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A release that is about to be made, as far as the rules ask about it."""

    release_id: str
    author: str
    commit: str | None
    parent: str | None


def judge_candidate(app: App, project: Project, candidate: Candidate) -> Verdict:
    """The compliance gate of a release that is about to be made."""
    facts = _facts(app, project, candidate.commit, candidate.parent)
    return _judged(app, candidate.release_id, examined(app, facts, candidate.author))


def judge_release(app: App, release: Release) -> Verdict:
    """The compliance of a release against the rules in force now; a changed result is another verdict."""
    return _judged(app, release.id, release_compliance(app, release))


def release_compliance(app: App, release: Release) -> Compliance:
    """How a release stands: what it consists of as released, what is said about it as declared today."""
    manifest = release.manifest
    declared = app.store.projects.get(release.project)
    project = _as_released(charters.settled(declared, manifest.charter), manifest)
    parent = parent_of(app.store.releases, manifest)
    facts = _facts(app, project, manifest.commit, None if parent is None else parent.id)
    return examined(app, facts, release.author)


def require_release(app: App, release: Release) -> None:
    """Return if a release keeps the rules in force now.

    Raises:
        GateFailed: it does not (any more).
    """
    if judge_release(app, release).outcome != "passed":
        raise GateFailed(_refusal(f"Release {release.id}", release.project, release_compliance(app, release)))


def approvals_needed(app: App, release: Release) -> int:
    """How many people have to approve a release, by the rules in force now: of its tier, and of the one that
    it would take the project out of."""
    rules = in_force(app, app.store.projects.workspace(release.project)).rules
    risks = {one.manifest.risk for one in _and_live(app, release)}
    return max(rules.tier(risk).approvals for risk in risks)  # type: ignore[arg-type]


def decides_itself(app: App, release: Release) -> bool:
    """Whether its gates decide about a release: what is live must say so, too."""
    return all(one.manifest.approval == "automatic" for one in _and_live(app, release))


def _and_live(app: App, release: Release) -> list[Release]:
    route = app.store.rollouts.route(release.project)
    return [release] if route is None else [release, app.store.releases.get(route.live)]


def latest_verdict(app: App, release_id: str) -> Verdict | None:
    """What the compliance gate said last."""
    found = [v for v in app.store.evidence.verdicts(release_id) if v.gate == COMPLIANCE]
    return found[-1] if found else None


def watch_compliance(app: App, name: str) -> str | None:
    """Judge the live release of a project anew; a violation is an incident until somebody closes it.

    Returns the id of the incident that is open about it, if any.
    """
    route = app.store.rollouts.route(name)
    if route is None:
        return None
    release = app.store.releases.get(route.live)
    verdict = judge_release(app, release)
    workspace = app.store.projects.workspace(name)
    unsettled = _unsettled(app, workspace, name)
    if verdict.outcome == "passed":
        for incident in unsettled:
            _note_once(app, incident, f"The live release {release.id} keeps the rules again.")
        return unsettled[0].id if unsettled else None
    app.store.findings.add(_violation(release, verdict))
    if unsettled:
        _note_once(app, unsettled[0], f"Release {release.id}: {verdict.reason}")
        return unsettled[0].id
    return app.access.incidents.open(
        KIND,
        f"project:{name}",
        workspace,
        title=f"The live release of {name} does not keep the rules",
        raised_by=SYSTEM,
        evidence={"release": release.id, "verdict": verdict.id, "reason": verdict.reason},
    ).id


def _violation(release: Release, verdict: Verdict) -> Finding:
    """By which people are told: one finding per release and what is wrong with it."""
    return Finding(
        id=derived_id("finding", release.project, KIND, release.id, verdict.id),
        project=release.project,
        kind=KIND,
        release_id=release.id,
        title=f"the live release does not keep the rules: {verdict.reason}",
        window=(verdict.at, verdict.at),
        evidence=dict(verdict.evidence),
        size=1.0,
        at=verdict.at,
    )


def _unsettled(app: App, workspace: str, name: str) -> list[Incident]:
    about = app.store.incidents.list(workspace=workspace, subject=f"project:{name}")
    return [one for one in about if one.kind == KIND and one.state != "closed"]


def _note_once(app: App, incident: Incident, text: str) -> None:
    if incident.notes and incident.notes[-1].get("text") == text:
        return
    app.access.incidents.step(incident.id, Step(kind="note", by=SYSTEM, at=app.clock.now(), text=text))


def _judged(app: App, release_id: str, found: Compliance) -> Verdict:
    before = [v for v in app.store.evidence.verdicts(release_id) if v.gate == COMPLIANCE]
    made = compliance_gate(release_id, found, app.clock.now())
    if before and (before[-1].outcome, before[-1].evidence) == (made.outcome, made.evidence):
        return before[-1]
    if before:
        made = replace(made, id=derived_id(release_id, COMPLIANCE, str(len(before))))
    detail = {"verdict": made.id, "outcome": made.outcome, "evidence": digest_of(made)}
    with app.store.transaction():
        app.store.evidence.add_verdict(made)
        app.store.audit.append(SYSTEM, "release.comply", f"release:{release_id}", detail)
    return made


def _facts(app: App, project: Project, commit: str | None, parent: str | None) -> Facts:
    way_back = None
    if parent is not None:
        way_back = app.store.artifacts.has(app.store.releases.get(parent).manifest.subject.package.digest)
    workspace = app.store.projects.workspace(project.name)
    return Facts(
        project=project,
        in_force=in_force(app, workspace),
        released=True,
        commit=commit,
        way_back=way_back,
    )


def _as_released(project: Project, manifest: Manifest) -> Project:
    """The charter of today with the risk, approval and inputs of the release, and what it answers under."""
    inputs = tuple(Column(name=name, role="numeric") for name in manifest.features)
    changes: dict[str, Any] = {"risk": manifest.risk, "approval": manifest.approval}
    terms = () if manifest.terms is None else (manifest.terms,)
    return replace(charters.in_force(project, terms), data=replace(project.data, columns=inputs), **changes)


def _refusal(what: str, project: str, found: Compliance) -> str:
    listed = "; ".join(f"{one.control}: {one.detail} (next: {one.next_step})" for one in found.violations)
    rules = f"version {found.rules_version}" if found.rules_version else "Headrace's own"
    rule = next((f"control:{v.control}" for v in found.violations if f"control:{v.control}" in LEAST), None)
    leave = f" Or ask for leave: headrace project waive {project} --rule {rule} --reason TEXT" if rule else ""
    return f"{what} does not keep the rules for {found.tier} risk ({rules}): {listed}. Mend it.{leave}"
