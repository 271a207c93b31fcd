"""A/B tests as people begin, read and end them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.app.compliance import require_release
from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.app.overviews import reading
from headrace.app.rollouts.deliver import follow_live
from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.release import Release, Route, Share
from headrace.releases import splitting
from headrace.releases.splitting import ArmReport


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An arm as somebody asks for it.

    Attributes:
        version: of the model, such as ``2``, or a release's id or its first letters.
        share: of the traffic, between 0 and 1.
        name: recorded with its answers; without it the one it has, or ``v`` and the version.
    """

    version: str
    share: float
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """An A/B test and how its arms do; the live release's is the first. ``since`` they have these shares."""

    project: str
    live: str
    since: datetime
    arms: list[ArmReport]


def split(app: App, me: Principal, project: str, wanted: Sequence[Wanted]) -> SplitReport:
    """Begin an A/B test, or give the one that stands other shares: every server follows within 200 ms.

    Whoever does it must be one who may approve each release that gets traffic by it; so nobody puts their own
    work to a test.

    Raises:
        Denied: the principal may not approve one of the releases, for instance because it is theirs.
        NotFound: there is no such project or version, or nothing is live.
        InvalidInput: the shares do not add up to 1, or the live release has none.
        Conflict: a rollout is under way; a release was not approved, is withdrawn or not what was signed.
        GateFailed: a release does not keep the rules in force now.
    """
    route = reading.route(app, me, project)
    arms = [_arm(app, me, project, route, one) for one in wanted]
    basis: dict[str, object] = {}
    for arm in arms:
        if route is not None and arm.release_id == route.live:
            continue
        release = app.store.releases.get(arm.release_id)
        basis = app.gatekeeper.require(me, "release.approve", f"release:{release.id}").basis
        app.signed.package(release)
        require_release(app, release)
    with app.store.transaction():
        detail = {"arms": {arm.name: arm.release_id for arm in arms}} | basis
        app.store.audit.append(me.name, "release.split", f"project:{project}", detail)
        route = splitting.start(app.store, project, arms, app.clock.now(), by=me.name)
    return _report(app, route)


def split_report(app: App, me: Principal, project: str) -> SplitReport:
    """How an A/B test does.

    Raises:
        NotFound: there is none, or no such project.
        Denied: the principal may not read the project.
    """
    route = reading.route(app, me, project)
    if route is None or route.split is None:
        raise NotFound(
            f"No A/B test of {project!r} is under way. Begin one: headrace release split {project} --share "
            "VERSION=0.5 --share VERSION=0.5"
        )
    return _report(app, route)


def end_split(app: App, me: Principal, project: str, keep: str | None = None) -> Release:
    """End an A/B test; ``keep`` (an arm's name, a version or a release) gets all traffic, else what is live.

    Raises:
        Denied: the principal may not approve the release that is kept.
        NotFound: there is no test, or it has no such arm.
        Conflict: the release is not what was signed.
        GateFailed: the release does not keep the rules in force now.
    """
    report = split_report(app, me, project)
    named = {arm.name: arm.release_id for arm in report.arms}
    kept = report.live if keep is None else named.get(keep) or _release(app, me, project, keep).id
    permitted = app.gatekeeper.require(me, "release.approve", f"release:{kept}")
    if kept != report.live:
        release = app.store.releases.get(kept)
        app.signed.package(release)
        require_release(app, release)
    with app.store.transaction():
        detail = {"keep": kept} | permitted.basis
        app.store.audit.append(me.name, "release.end", f"project:{project}", detail)
        release = splitting.end(app.store, project, kept, app.clock.now(), by=me.name)
    if kept != report.live:
        follow_live(app, project, by=me.name)
    return release


def _report(app: App, route: Route) -> SplitReport:
    project = app.access.charters.in_force(route.project)
    arms = splitting.compare(
        app.store, project, route, lambda release_id: app.scorers.of_release(release_id).classes
    )
    assert route.split is not None
    return SplitReport(project=route.project, live=route.live, since=route.split.since, arms=arms)


def _arm(app: App, me: Principal, project: str, route: Route | None, wanted: Wanted) -> Share:
    release = _release(app, me, project, wanted.version)
    present = route.split.arms if route is not None and route.split is not None else ()
    name = wanted.name or next((arm.name for arm in present if arm.release_id == release.id), None)
    version = release.manifest.subject.ref.rpartition("@")[2]
    return Share(name=name or f"v{version}", release_id=release.id, share=wanted.share)


def _release(app: App, me: Principal, project: str, text: str) -> Release:
    """The release that ``text`` names; of several of one version, the one that answers or was made last."""
    known = reading.releases(app, me, project)
    version = [one for one in known if one.manifest.subject.ref.rpartition("@")[2] == text]
    if version:
        return next((one for one in version if one.state == "live"), version[0])
    return find_one(
        known, text, lambda one: (one.id, one.digest), what="release", how=f"headrace release ls {project}"
    )
