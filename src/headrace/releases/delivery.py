"""What happens to a release once its gates have passed: one function per step, each safe to repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from headrace.access.privacy.fields import altered_inputs
from headrace.checks.metrics import row_losses
from headrace.checks.tasks import UNSUPERVISED
from headrace.core.canonical import digest_of
from headrace.core.errors import Conflict, HeadraceError, NotFound
from headrace.core.ids import derived_id
from headrace.core.ports import Scorer
from headrace.core.project import Project
from headrace.core.release import Approval, Release, Rollout, Route, Verdict
from headrace.monitoring.ingest import predictions_table, shadows_table
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.monitoring.windows import as_utc, watermark
from headrace.releases.gates import verdict
from headrace.releases.rollout import (
    Begin,
    Event,
    Judgement,
    Look,
    Observation,
    StandIn,
    Stop,
    comparison,
    judge,
    route_of,
    transition,
)
from headrace.releases.states import ReleaseEvent, next_state
from headrace.store import Store
from headrace.store.columns import quoted
from headrace.store.records import decode_failure

_FAILURES = 10_000
LoadScorer = Callable[[str], Scorer]
SYSTEM = "system:delivery"
"""Who moves a release when nobody else does."""
POLICY = "policy:automatic"
"""Approver of releases whose project lets the gates decide."""


class Traffic(NamedTuple):
    """Requests the candidate has answered, and failed to answer, since the present step began."""

    answered: int
    failed: int


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
        steps=project.rollout.steps,
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


def traffic(store: Store, rollout: Rollout) -> Traffic:
    """The candidate's requests in the present step, from the durable record; a shadow's count too."""
    asked = store, rollout.project, rollout.release_id, rollout.step_started_at
    return Traffic(count_answers(*asked), count_failures(*asked))


def count_answers(store: Store, project: str, release_id: str, since: datetime) -> int:
    """Requests that a release has answered since then, as far as they are in the tables; a shadow's, too."""
    answered = 0
    for table in _answers(store, project):
        rows = store.tables.query(
            'select count(distinct prediction_id) as n from p where release_id = ? and "at" >= ?',
            {"p": (table, None)},
            [release_id, since.replace(tzinfo=None)],
        )
        answered += int(rows["n"][0])
    return answered


def count_failures(store: Store, project: str, release_id: str, since: datetime) -> int:
    """Requests that a release could not answer since then, from the durable record."""
    failed = 0
    stream = f"{project}/failures"
    for segment in store.events.segments(stream):
        offset = 0
        while offset < segment.size_bytes:
            records, offset = store.events.read(stream, segment.name, offset, _FAILURES)
            failures = [decode_failure(record) for record in records]
            failed += sum(f.release_id == release_id and f.at >= since for f in failures)
            if not records:
                break
    return failed


def observe(store: Store, project: Project, rollout: Rollout, load: LoadScorer) -> Observation:
    """See how the candidate does: its traffic in this step, and both models' losses on the same rows.

    All labelled rows answered since the rollout began are scored by candidate and champion alike, from
    the logged inputs, so that the comparison is paired: what differs between rows cancels out. Where an
    input is not logged as it came, or no truth judges answers, nothing can be scored: failures alone decide.
    """
    seen = Observation(**traffic(store, rollout)._asdict())
    newest = watermark(project.name, store.tables)
    unjudged = project.task in UNSUPERVISED or altered_inputs(project)
    if rollout.champion_id is None or newest is None or unjudged:
        return seen
    since = canary_began(store, rollout)
    if since is None:
        return seen
    labelled = labelled_rows(project.name, store.tables, since=since)
    if len(labelled) < 2:
        return seen
    metric = project.gates.model.metric
    candidate = _losses(metric, labelled, load(rollout.release_id))
    champion = _losses(metric, labelled, load(rollout.champion_id))
    # Rows without a usable label say nothing about either; a candidate that fails on the rest does.
    measurable = np.isfinite(champion)
    candidate, champion = candidate[measurable], champion[measurable]
    if champion.size < 2:
        return seen
    sequence = comparison(1 - project.gates.model.confidence)
    sequence.update(candidate - champion)
    interval = sequence.interval()
    difference = None if interval is None else (float(interval.low), float(interval.high))
    if difference is None and champion.size >= project.rollout.min_labels and not sequence.n_different:
        difference = (0.0, 0.0)  # both answered every row alike: the candidate is the champion again
    return replace(seen, n_labels=champion.size, difference=difference, champion_loss=float(champion.mean()))


def _losses(metric: str, labelled: Labelled, scorer: Scorer) -> np.ndarray:
    outputs = scorer.score(labelled.columns)
    return np.asarray(row_losses(metric, labelled.truth, outputs, classes=scorer.classes))


def canary_began(store: Store, rollout: Rollout) -> datetime | None:
    """Event time of the first row that the candidate answered, if only as a shadow; None before that."""
    found = []
    for table in _answers(store, rollout.project):
        sql = "select min(event_time) as t from p where release_id = ?"
        first = store.tables.query(sql, {"p": (table, None)}, [rollout.release_id])["t"]
        found += [as_utc(first[0])] if len(first) and not np.isnat(first[0]) else []
    return min(found, default=None)


def agreement(store: Store, rollout: Rollout) -> dict[str, Any]:
    """How far the candidate, as a shadow, agreed with what callers were answered: empty before it was one.

    ``shadow_rows`` were answered by both and ``same`` of them alike; ``apart`` is the mean absolute
    difference of numbers.
    """
    tables = _answers(store, rollout.project)
    if len(tables) < 2:
        return {}
    answers, shadows = tables
    known = store.tables.query("select * from s limit 0", {"s": (shadows, None)})
    output = next((name for name in known if name.startswith("out_")), None)
    answered = store.tables.query("select * from p limit 0", {"p": (answers, None)})
    if output is None or output not in answered:
        return {}
    column = quoted(output)
    is_number = known[output].dtype.kind == answered[output].dtype.kind == "f"
    gap = f"avg(abs(s.{column} - p.{column}))" if is_number else "null"
    rows = store.tables.query(
        f"select count(*) as n, count(*) filter (s.{column} is not distinct from p.{column}) as same, "
        f"{gap} as gap from s join p using (prediction_id, row) where s.release_id = ?",
        {"p": (answers, None), "s": (shadows, None)},
        [rollout.release_id],
    )
    n_rows = int(rows["n"][0])
    if not n_rows:
        return {}
    apart = {"apart": float(rows["gap"][0])} if is_number else {}
    return {"shadow_rows": n_rows, "same": int(rows["same"][0]), **apart}


def _answers(store: Store, project: str) -> list[str]:
    """The tables that hold answers of a candidate, as far as they are there: to callers, then as a shadow."""
    tables = (predictions_table(project), shadows_table(project))
    return [table for table in tables if store.tables.version(table) is not None]


def look(store: Store, project: Project, release_id: str, load: LoadScorer, at: datetime) -> Verdict:
    """One look at the canary as a verdict; the caller records it and applies it."""
    rollout = store.rollouts.get(release_id)
    try:
        seen = observe(store, project, rollout, load)
    except HeadraceError as error:
        # Such as logged inputs that one of the two models cannot read: neither good nor bad.
        seen = Observation(**traffic(store, rollout)._asdict())
        outcome, reason = Judgement("error", f"the losses could not be measured: {error}")
    else:
        model = project.gates.model
        outcome, reason = judge(seen, project.rollout, model.margin, 1 - model.confidence)
    evidence = {
        "step": rollout.step,
        "share_percent": rollout.steps[rollout.step],
        "answered": seen.answered,
        "failed": seen.failed,
        "n_labels": seen.n_labels,
        "difference": None if seen.difference is None else list(seen.difference),
        "champion_loss": seen.champion_loss,
        "margin": project.gates.model.margin,
        **agreement(store, rollout),
    }
    return verdict(release_id, f"canary look {rollout.looks + 1}", outcome, reason, evidence=evidence, at=at)


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
        return apply(store, judged.subject_id, event)


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
