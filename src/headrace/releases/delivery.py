"""What happens to a release once its gates have passed: one function per step, each safe to repeat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from headrace.core.canonical import digest_of
from headrace.core.errors import Conflict, HeadraceError, NotFound
from headrace.core.ids import derived_id
from headrace.core.project import Project, ServingSpec
from headrace.core.release import Approval, Manifest, Release, Rollout, Route, Verdict
from headrace.monitoring.segments import Cut
from headrace.releases.gates import verdict
from headrace.releases.looks import is_kept, kept_look
from headrace.releases.observing import LoadScorer, agreement, observe, traffic
from headrace.releases.rollout import (
    Begin,
    Event,
    Judgement,
    KpiSeen,
    Look,
    Observation,
    SegmentSeen,
    Shares,
    StandIn,
    Stop,
    judge,
    route_of,
    transition,
)
from headrace.releases.states import ReleaseEvent, next_state
from headrace.store import Store

SYSTEM = "system:delivery"
"""Who moves a release when nobody else does."""
POLICY = "policy:automatic"
"""Approver of releases whose project lets the gates decide."""


def evidence_digest(store: Store, subject_id: str) -> str:
    """SHA-256 over the verdicts on a release as they are now: what a decision rests on."""
    return digest_of(store.evidence.verdicts(subject_id))


def move(
    store: Store, release_id: str, event: ReleaseEvent, reason: str = "", *, by: str = SYSTEM
) -> Release:
    """Take a release one step further, with the entry that says so; repeating a step that was taken is no
    error."""
    with store.transaction():
        release = store.releases.get(release_id)
        try:
            to = next_state(release.state, event)
        except Conflict:
            if _reached(release.state, event):
                return release
            raise
        detail = {
            "event": event,
            "from": release.state,
            "to": to,
            "reason": reason,
            "digest": release.digest,
            "evidence": evidence_digest(store, release_id),
        }
        store.audit.append(by, "release.move", f"release:{release_id}", detail)
        return store.releases.move(release_id, release.state, to, reason)


def _reached(state: str, event: ReleaseEvent) -> bool:
    targets = {
        "gates_passed": "waiting",
        "gates_refused": "refused",
        "approve": "approved",
        "reject": "rejected",
        "start_rollout": "rolling_out",
        "promote": "live",
        "abort": "aborted",
        "supersede": "superseded",
        "roll_back": "rolled_back",
        "restore": "live",
        "stand_by": "standing_by",
        "stand_in": "live",
    }
    return targets[event] == state


def approve_by_policy(store: Store, release: Release, at: datetime) -> Approval:
    """The gates decide: recorded like a person's approval, under the policy's name."""
    approval = Approval(
        id=derived_id("approval", release.id, POLICY),
        release_id=release.id,
        digest=release.digest,
        decision="approved",
        author=release.author,
        approver=POLICY,
        at=at,
        comment="all gates passed; the project's approval is automatic",
    )
    detail = {
        "digest": release.digest,
        "comment": approval.comment,
        "evidence": evidence_digest(store, release.id),
        "rules": ["approval: automatic"],
        "policy": release.digest,  # the manifest itself says so
    }
    with store.transaction():
        if all(known.id != approval.id for known in store.evidence.approvals(release.id)):
            store.audit.append(POLICY, "release.approve", f"release:{release.id}", detail)
        return store.evidence.approve(approval)


def begin(store: Store, project: Project, release: Release, at: datetime) -> Rollout:
    """Record the intent to roll out, then begin; a first release is promoted at once.

    Raises:
        Conflict: another release of the project is rolling out, or an A/B test shares the traffic.
    """
    try:
        return store.rollouts.get(release.id)
    except NotFound:
        pass
    active = store.rollouts.find_active(project.name)
    if active is not None:
        raise Conflict(
            f"Release {active.release_id} of {project.name!r} is still rolling out. "
            f"Wait for it, or stop it with 'headrace release rollback {project.name}'."
        )
    route = store.rollouts.route(project.name)
    rollout = Rollout(
        release_id=release.id,
        project=project.name,
        champion_id=None if route is None else route.live,
        state="pending",
        steps=() if _is_same_model(store, release, route) else project.rollout.steps,
        step=-1,
        started_at=at,
        step_started_at=at,
    )
    with store.transaction():
        store.rollouts.save(rollout)
        standing = store.rollouts.route(project.name)  # nobody can begin a test from here on
        if standing is not None and standing.split is not None:
            raise Conflict(
                f"{project.name!r} has an A/B test. End it with 'headrace release end {project.name}'."
            )
        store.audit.append(
            SYSTEM, "rollout.begin", f"release:{release.id}", {"champion": rollout.champion_id}
        )
    return rollout


def _is_same_model(store: Store, release: Release, route: Route | None) -> bool:
    """Whether it only changes settings of the live release: a canary would compare a model with itself."""
    if route is None or release.manifest.charter is None:
        return False
    new, live = release.manifest, store.releases.get(route.live).manifest
    return new.subject == live.subject and _serving(new) == _serving(live)


def _serving(manifest: Manifest) -> ServingSpec | None:
    return None if manifest.terms is None else manifest.terms.serving


def apply(store: Store, release_id: str, event: Event, *, by: str = SYSTEM) -> Rollout:
    """Record what ``event`` does to the rollout and its route, in one transaction.

    A look that moves nothing has no entry of its own: there may be thousands of them.
    """
    with store.transaction():
        before = store.rollouts.get(release_id)
        rollout = transition(before, event)
        route = route_of(rollout, store.rollouts.route(rollout.project))
        if (rollout.state, rollout.step) != (before.state, before.step):
            detail: dict[str, Any] = {
                "from": before.state,
                "to": rollout.state,
                "step": rollout.step,
                "reason": rollout.reason,
                "evidence": evidence_digest(store, release_id),
            }
            if route is not None:
                detail |= {"live": route.live, "canary": route.canary, "canary_weight": route.canary_weight}
            store.audit.append(by, "rollout.move", f"release:{release_id}", detail)
        store.rollouts.save(rollout, route)
        if route is not None:
            store.epoch.advance()  # other rules may hold for what is kept: at once
    return rollout


def start(store: Store, release_id: str, at: datetime) -> Rollout:
    """Send the first traffic, once."""
    rollout = store.rollouts.get(release_id)
    return apply(store, release_id, Begin(at=at)) if rollout.state == "pending" else rollout


def finish(store: Store, release_id: str, *, by: str = SYSTEM) -> Release:
    """Bring the releases' states in line with where the rollout ended, once.

    A release that has moved on since is left as it is, as is one whose rollout ended before it began.
    """
    release, rollout = store.releases.get(release_id), store.rollouts.get(release_id)
    if release.state != "rolling_out":
        return release
    if rollout.state == "promoted":
        with store.transaction():
            if rollout.champion_id is not None and store.releases.get(rollout.champion_id).state == "live":
                step_down(store, rollout.champion_id, "supersede", f"by {release_id}", by=by)
            return move(store, release_id, "promote", rollout.reason, by=by)
    return move(store, release_id, "abort", rollout.reason, by=by) if rollout.state == "aborted" else release


def stand_by(store: Store, release_id: str) -> Release:
    """An approved fallback is ready from now on, instead of the one that was."""
    standing = store.releases.get(release_id)
    with store.transaction():
        for older in store.releases.list(standing.project, state="standing_by"):
            if older.id != release_id:
                move(store, older.id, "supersede", f"by {release_id}")
        return move(store, release_id, "stand_by", "stands by for a live release that fails")


def stand_in(store: Store, release_id: str, reason: str, at: datetime, *, by: str = SYSTEM) -> Release:
    """Give all traffic to a release that stands by, or was live before, in one transaction.

    A rollout that is under way ends: its candidate is held against what cannot be trusted. Repeating it
    changes nothing.

    Raises:
        NotFound: nothing is live.
        Conflict: an A/B test shares the traffic, or the release may not stand in.
    """
    release = store.releases.get(release_id)
    with store.transaction():
        route = store.rollouts.route(release.project)
        if route is None:
            raise NotFound(f"Nothing of {release.project!r} is live: there is nothing to stand in for.")
        if route.split is not None:
            raise Conflict(
                f"{release.project!r} has an A/B test. End it with 'headrace release end {release.project}'."
            )
        if route.live == release_id:
            return release
        active = store.rollouts.find_active(release.project)
        if active is not None:
            apply(store, active.release_id, Stop(reason=f"the fallback stands in: {reason}", at=at), by=by)
            finish(store, active.release_id, by=by)
        if release.manifest.stands_in and not _has_rollout(store, release_id):
            store.rollouts.save(
                Rollout(
                    release_id=release_id,
                    project=release.project,
                    champion_id=route.live,
                    state="pending",
                    steps=(),
                    step=-1,
                    started_at=at,
                    step_started_at=at,
                )
            )
        apply(store, release_id, StandIn(champion_id=route.live, reason=reason, at=at), by=by)
        finish(store, route.live, by=by)  # where a rollout has just ended, its release is not live yet
        why = f"the fallback {release.manifest.subject.ref} stands in: {reason}"
        step_down(store, route.live, "supersede", why, by=by)
        return move(store, release_id, "stand_in", reason, by=by)


def _has_rollout(store: Store, release_id: str) -> bool:
    return bool(store.rollouts.some([release_id]))


def step_down(
    store: Store, release_id: str, event: ReleaseEvent, reason: str, *, by: str = SYSTEM
) -> Release:
    """Take a release out of the traffic; one that only stood in stands by again."""
    standing = store.releases.get(release_id).manifest.stands_in
    return move(store, release_id, "stand_by" if standing else event, reason, by=by)


def look(
    store: Store,
    project: Project,
    release_id: str,
    load: LoadScorer,
    at: datetime,
    cuts: Sequence[Cut] = (),
) -> Verdict:
    """One look at the canary as a verdict; the caller records it and applies it."""
    rollout = store.rollouts.get(release_id)
    try:
        seen = observe(store, project, rollout, load, cuts)
    except HeadraceError as error:
        # Such as logged inputs that one of the two models cannot read: neither good nor bad.
        seen = Observation(**traffic(store, rollout)._asdict())
        outcome, reason = Judgement("error", f"the losses could not be measured: {error}")
    else:
        model = project.gates.model
        outcome, reason = judge(seen, project.rollout, model.margin, Shares.of(project))
    evidence = {
        "step": rollout.step,
        "share_percent": rollout.steps[rollout.step],
        "answered": seen.answered,
        "failed": seen.failed,
        "n_labels": seen.n_labels,
        "difference": None if seen.difference is None else list(seen.difference),
        "estimate": seen.estimate if seen.estimate is None or isfinite(seen.estimate) else None,
        "champion_loss": seen.champion_loss,
        "margin": project.gates.model.margin,
        **({} if seen.slow is None else {"slow": seen.slow._asdict()}),
        **({"segments": [_told(one) for one in seen.segments]} if seen.segments else {}),
        **({"kpis": [_told(one) for one in seen.kpis]} if seen.kpis else {}),
        **agreement(store, rollout),
    }
    return verdict(release_id, f"canary look {rollout.looks + 1}", outcome, reason, evidence=evidence, at=at)


def _told(seen: SegmentSeen | KpiSeen) -> dict[str, Any]:
    return seen._asdict() | {"difference": None if seen.difference is None else list(seen.difference)}


def apply_look(store: Store, project: Project, judged: Verdict) -> Rollout:
    """Record a look and what follows from it; repeating the same look changes nothing."""
    rollout = store.rollouts.get(judged.subject_id)
    if judged.gate != f"canary look {rollout.looks + 1}" or rollout.state != "canary":
        return rollout
    waited_s = (judged.at - rollout.step_started_at).total_seconds()
    timed_out = waited_s > project.rollout.timeout_s
    event = Look(outcome=judged.outcome, reason=judged.reason, at=judged.at, timed_out=timed_out)
    with store.transaction():
        if judged.outcome != "inconclusive" or timed_out:
            # A look that decides nothing stands in the rollout alone: there may be thousands of them.
            store.evidence.add_verdict(judged)
        after = apply(store, judged.subject_id, event)
        if is_kept(after.looks) or (after.state, after.step) != (rollout.state, rollout.step):
            store.evidence.measure([kept_look(rollout, judged, Shares.of(project))])
        return after


def roll_back(store: Store, project: str, *, by: str = SYSTEM) -> tuple[Release, Release]:
    """Give the traffic back to the release that was live before; returns (rolled back, restored).

    Route and states change together. Where an earlier version of Headrace was killed between them, the
    states are brought in line, and nothing else changes.

    Raises:
        NotFound: nothing is live, or there was nothing before it.
    """
    route = store.rollouts.route(project)
    if route is None:
        raise NotFound(f"Nothing of {project!r} is live. List releases with 'headrace release ls {project}'.")
    finish(store, route.live, by=by)
    outgoing, champion = _interrupted(store, route), route.live
    if outgoing is None:
        outgoing, before = route.live, store.rollouts.get(route.live).champion_id
        if before is None:
            raise NotFound(
                f"{route.live} is the first release of {project!r}: there is no earlier one to roll back to."
            )
        champion = before
    with store.transaction():
        if champion != route.live:
            back = Route(
                project=project,
                live=champion,
                revision=route.revision + 1,
                stands_in=store.rollouts.get(champion).stands_in,
            )
            store.rollouts.set_route(back)
            detail = {"from": route.live, "to": champion}
            store.audit.append(by, "route.move", f"project:{project}", detail)
            store.epoch.advance()
        restored = move(store, champion, "restore", f"rolled back from {outgoing}", by=by)
        return step_down(store, outgoing, "roll_back", "rolled back on request", by=by), restored


def _interrupted(store: Store, route: Route) -> str | None:
    """The release that an unfinished rollback took the traffic from: live by its state, not by the route."""
    left = [r.id for r in store.releases.list(route.project) if r.state == "live" and r.id != route.live]
    return left[0] if left else None
