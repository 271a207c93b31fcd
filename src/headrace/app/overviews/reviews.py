"""Periodic reviews of live releases: when one is due, recording it, and telling of those that are overdue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from headrace.access.identities import required_text
from headrace.access.privacy.charters import settled
from headrace.app.alerting.alerts import SYSTEM
from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.project import Project
from headrace.core.record import Finding
from headrace.core.release import Measurement, Release, Review, Rollout
from headrace.monitoring.bias import NAME as BIAS
from headrace.monitoring.cases import PENDING, Step, transition
from headrace.monitoring.fairness import NAME as FAIRNESS
from headrace.monitoring.review import KIND, LOOKED_AT, SOON, due_at, every_days, overdue_finding
from headrace.monitoring.shifts import NAME as SHIFT
from headrace.monitoring.watch import Round

_MOST_FINDINGS, _MOST_MEASURED = 50, 200


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whether a live release is to be reviewed.

    Attributes:
        by: the person or the role that reviews it; empty: whoever may approve it.
        due_at: when it has to have been reviewed.
        soon: within 14 days from now, or overdue.
        last: the newest review of this release.
        findings: what a review of it looks at: drift, bias and performance since the last one, and what was
            found before and still stands, of which ``still`` has the ids.
    """

    project: str
    release_id: str
    subject: str
    author: str
    every_days: int
    by: str
    due_at: datetime
    overdue: bool
    soon: bool
    last: Review | None
    findings: tuple[Finding, ...]
    still: tuple[str, ...]


def standings(app: App, me: Principal, name: str | None = None) -> list[Standing]:
    """Of one project, or of all that ``me`` may see, those whose live release is reviewed: first due first.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    named = reading.projects(app, me) if name is None else [reading.project(app, me, name)]
    return _standings(app, named)


def history(app: App, me: Principal, name: str) -> list[Review]:
    """All reviews of a project's releases, the newest first. Raises NotFound, Denied."""
    return app.store.reviews.list(subject=reading.project(app, me, name).name)[::-1]


def record(
    app: App, me: Principal, release_id: str, *, outcome: Literal["fit", "unfit"], looked_at: str
) -> Review:
    """Record that a person has looked at a live release, what they looked at, and whether it stays.

    Findings about its drift, bias and performance, and what was measured of them last, are attached by id.
    Alerts about the overdue review are closed with it.

    Args:
        looked_at: in words; ``outcome`` says what follows.

    Raises:
        Denied: ``me`` may not approve it, made it, or is not who reviews it; or may not see whether it is.
        NotFound: there is no such release.
        Conflict: it is not what answers.
        InvalidInput: nothing says what was looked at.
    """
    permitted = app.gatekeeper.require(me, "release.approve", f"release:{release_id}")
    release = app.store.releases.get(release_id)
    project = settled(app.store.projects.get(release.project), release.manifest.charter)
    _require_reviewer(app, me, project)
    if outcome not in ("fit", "unfit"):
        raise InvalidInput(f"A review finds a release 'fit' or 'unfit', got {outcome[:40]!r}.")
    said = required_text(looked_at, "A review says what was looked at, and what follows")
    route = app.store.rollouts.route(release.project)
    if route is None or release.id not in route.releases:
        raise Conflict(
            f"Release {release.id} does not answer, so there is nothing to review. "
            "What does: headrace release reviews"
        )
    last = _last(app.store.reviews.list(subject=release.project), {})
    about = _about(app, {release.id: release}, last)[release.id]
    now = app.clock.now()
    review = Review(
        id=new_id(now),
        workspace=app.store.projects.workspace(release.project),
        subject=release.project,
        release_id=release.id,
        digest=release.digest,
        looked_at=said,
        by=me.name,
        at=now,
        state=outcome,
        findings=tuple(one.id for one in about.findings),
        measurements=tuple(one.id for one in _measured(app, release)),
    )
    detail = {
        "review": review.id,
        "outcome": outcome,
        "looked_at": said,
        "digest": release.digest,
        "findings": list(review.findings),
        "measurements": len(review.measurements),
    }
    with app.store.transaction():
        app.store.audit.append(me.name, "release.review", f"release:{release.id}", detail | permitted.basis)
        kept = app.store.reviews.add(review)
        if outcome == "fit":
            _settle(app, review)
    return kept


def why_not_review(app: App, me: Principal, standing: Standing) -> str:
    """Why ``me`` may not review it; empty if they may, if need be after they have proved that it is them."""
    keeper, resource = app.gatekeeper, f"release:{standing.release_id}"
    if not (
        keeper.allows(me, "release.approve", resource) or keeper.lacks_proof(me, "release.approve", resource)
    ):
        return (
            "yours: somebody else reviews it"
            if me.name == standing.author
            else "your roles may not review it"
        )
    if not _reviews(app, me, standing.project, standing.by):
        return f"{standing.by} reviews it"
    return ""


def watch_review(app: App, name: str) -> Round:
    """What is found where the review of the live release is overdue: once for each time that it is due."""
    project, now = app.store.projects.get(name), app.clock.now()
    overdue = [one for one in _standings(app, [project]) if one.overdue]
    found = [
        overdue_finding(project, one.release_id, one.due_at, one.every_days, one.last, now) for one in overdue
    ]
    return Round([], found)


def _standings(app: App, declared: list[Project]) -> list[Standing]:
    names, now = {project.name: project for project in declared}, app.clock.now()
    if not names:
        return []
    live = {route.project: route.live for route in app.store.rollouts.routes() if route.project in names}
    known = app.store.releases.some(list(live.values()))
    releases = {one.id: one for one in known if every_days(names[one.project], one) is not None}
    rollouts = {one.release_id: one for one in app.store.rollouts.some(list(releases))}
    before = _before(app, releases, rollouts)
    last = _last(app.store.reviews.list(subject=next(iter(names)) if len(names) == 1 else None), before)
    about = _about(app, releases, last)
    found = []
    for release_id, release in releases.items():
        project, newest = settled(names[release.project], release.manifest.charter), last.get(release_id)
        days = every_days(project, release)
        first = [release, *before[release_id]][-1]
        due = due_at(days, _since(first, rollouts.get(first.id)), newest)
        if due is None or days is None:
            continue
        found.append(
            Standing(
                project=project.name,
                release_id=release_id,
                subject=release.manifest.subject.ref,
                author=release.author,
                every_days=days,
                by=project.review.by,
                due_at=due,
                overdue=due <= now,
                soon=due - SOON <= now,
                last=newest,
                findings=tuple(about[release_id].findings),
                still=about[release_id].still,
            )
        )
    return sorted(found, key=lambda one: (one.due_at, one.project))


def _since(release: Release, rollout: Rollout | None) -> datetime:
    """When it went live: one that somebody has routed by hand, when it was made."""
    return release.created_at if rollout is None else rollout.step_started_at


def _before(
    app: App, releases: Mapping[str, Release], rollouts: dict[str, Rollout]
) -> dict[str, list[Release]]:
    """Live release to those that it followed with the same model, newest first: where only settings have
    changed, nobody has looked at the model anew. Their rollouts are added."""
    found: dict[str, list[Release]] = {release_id: [] for release_id in releases}
    newest = dict(releases)
    while newest:
        followed = {
            live_id: rollouts[one.id].champion_id or ""
            for live_id, one in newest.items()
            if one.id in rollouts
        }
        known = {one.id: one for one in app.store.releases.some(set(followed.values()) - {""})}
        rollouts |= {one.release_id: one for one in app.store.rollouts.some(list(known))}
        same = {
            live_id: known[one]
            for live_id, one in followed.items()
            if one in known and known[one].manifest.subject == newest[live_id].manifest.subject
        }
        for live_id, one in same.items():
            found[live_id].append(one)
        newest = same
    return found


def _last(reviews: list[Review], before: Mapping[str, list[Release]]) -> dict[str, Review]:
    """Of each release the newest, or that of the same model; they come oldest first."""
    live = {one.id: live_id for live_id, earlier in before.items() for one in earlier}
    return {live.get(one.release_id, one.release_id): one for one in reviews}


class _About(NamedTuple):
    """What a review looks at; ``still``: ids of what was found before the last one."""

    findings: list[Finding]
    still: tuple[str, ...]


def _about(app: App, releases: Mapping[str, Release], last: Mapping[str, Review]) -> dict[str, _About]:
    """What was found about each release since its last review, or ever; and what still stands.

    What goes on is measured in each window, and not found again: of a shift that is one, how it came is
    measured as well.
    """
    measured = app.store.evidence.newest({one.project for one in releases.values()}, (SHIFT,), 1)
    standing = {
        (one.release_id, one.detail.get("kind"), one.feature) for one in measured if one.detail.get("course")
    }
    found: dict[str, list[Finding]] = {release_id: [] for release_id in releases}
    still = set()
    for finding in app.store.findings.about(list(releases), _MOST_FINDINGS):
        before = last.get(finding.release_id)
        is_new = before is None or finding.at > before.at
        if not is_new and (finding.release_id, finding.kind, finding.feature) in standing:
            still.add(finding.id)
        if finding.kind in LOOKED_AT and (is_new or finding.id in still):
            found[finding.release_id].append(finding)
    return {
        release_id: _About(mine, tuple(one.id for one in mine if one.id in still))
        for release_id, mine in found.items()
    }


def _measured(app: App, release: Release) -> list[Measurement]:
    newest = app.store.evidence.newest([release.project], (SHIFT, FAIRNESS, BIAS), 1)
    return [one for one in newest if one.release_id == release.id][:_MOST_MEASURED]


def _reviews(app: App, me: Principal, project: str, by: str) -> bool:
    """Whether ``me`` is the person, or has the role, that reviews a project."""
    described = app.access.resources.describe(f"project:{project}", me)
    return by in ("", me.name, *me.roles, *app.access.grants.roles(me.name, described))


def _require_reviewer(app: App, me: Principal, project: Project) -> None:
    if not _reviews(app, me, project.name, project.review.by):
        raise Denied(
            f"{me.name!r} does not review {project.name!r}: headrace.yaml names {project.review.by!r} "
            "(review.by). Ask them: headrace release review ID --as NAME"
        )


def _settle(app: App, review: Review) -> None:
    """Nobody has to do anything any more about the alert that it was overdue."""
    for state in PENDING:
        for case in app.store.cases.list(subject=review.subject, state=state):
            if case.kind != KIND:
                continue
            if case.state != "acknowledged":
                acknowledged = transition(case, Step(kind="acknowledge", by=review.by, at=review.at))
                case = app.store.cases.change(acknowledged)  # noqa: PLW2901
            step = Step(
                kind="remediate",
                by=SYSTEM,
                at=review.at,
                text="it was reviewed",
                evidence=f"review {review.id}",
            )
            app.store.cases.change(transition(case, step))
