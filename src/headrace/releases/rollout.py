"""The rollout controller's pure part: what a look at the canary concludes, and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from headrace.checks.sequential import AlwaysValid, exceeds_share
from headrace.core.errors import IllegalTransition
from headrace.core.project import Project, RolloutSpec
from headrace.core.release import Outcome4, Rollout, Route

FAILURES, EACH = 0.1, 0.05
"""Of the false aborts that are allowed, the share of failed answers; and of each of three things that a
project may declare: segments, a time to answer, and KPIs with a worse direction. Losses have the rest."""
SLOW = 0.01
"""Share of the answers that a declared 99th percentile lets take longer."""
TUNED_FOR = 1000
"""Labelled rows at which a canary's interval is narrowest relative to its possibilities."""


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Start sending traffic."""

    at: datetime


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the canary came to ``outcome``."""

    outcome: Outcome4
    reason: str
    at: datetime
    timed_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A person or a fault ends the rollout."""

    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """It gets all traffic at once: what has it now, ``champion_id``, can no longer be trusted."""

    champion_id: str
    reason: str
    at: datetime


Event = Begin | Look | Stop | StandIn


def transition(rollout: Rollout, event: Event) -> Rollout:
    """The rollout after ``event``; ``revision`` grows by one.

    A first release has no champion to be compared with and is promoted as it begins, as is what stands in.
    Inconclusive and error hold the step, until it has lasted too long: then the champion keeps the traffic.

    Raises:
        IllegalTransition: the rollout has ended, has not begun, or has begun already.
    """
    if isinstance(event, Stop) and rollout.state in ("pending", "canary"):
        return _moved(rollout, event.at, state="aborted", reason=event.reason)
    if isinstance(event, StandIn) and rollout.state in ("pending", "promoted"):
        standing = replace(rollout, champion_id=event.champion_id, stands_in=True)
        return _moved(standing, event.at, state="promoted", step=len(rollout.steps), reason=event.reason)
    if isinstance(event, Begin) and rollout.state == "pending":
        if rollout.champion_id is None or not rollout.steps:
            reason = "first release: nothing to compare with" if rollout.champion_id is None else "no canary"
            return _moved(rollout, event.at, state="promoted", step=len(rollout.steps), reason=reason)
        share = rollout.steps[0]
        reason = f"{share} % of traffic" if share else "a shadow: asked for the record, without traffic"
        return _moved(rollout, event.at, state="canary", step=0, reason=reason)
    if isinstance(event, Look) and rollout.state == "canary":
        return _after_look(rollout, event)
    raise IllegalTransition(
        f"A rollout that is {rollout.state} cannot {type(event).__name__.lower()}. "
        "Look at it with 'headrace release show'."
    )


def _after_look(rollout: Rollout, look: Look) -> Rollout:
    # A step that begins in the future was begun before the clock was put back: what is answered from now on
    # would not count until it has caught up.
    began_at = min(rollout.step_started_at, look.at)
    seen = replace(
        rollout,
        looks=rollout.looks + 1,
        revision=rollout.revision + 1,
        reason=look.reason,
        step_started_at=began_at,
    )
    if look.outcome == "failed":
        return replace(seen, state="aborted", step_started_at=look.at)
    if look.outcome == "passed":
        if rollout.step + 1 >= len(rollout.steps):
            return replace(seen, state="promoted", step=len(rollout.steps), step_started_at=look.at)
        return replace(seen, step=rollout.step + 1, step_started_at=look.at)
    if look.timed_out:
        return replace(
            seen, state="aborted", step_started_at=look.at, reason=f"no conclusion in time: {look.reason}"
        )
    return seen


def _moved(rollout: Rollout, at: datetime, *, state: str, reason: str, step: int | None = None) -> Rollout:
    return replace(
        rollout,
        state=state,  # type: ignore[arg-type]
        step=rollout.step if step is None else step,
        step_started_at=at,
        revision=rollout.revision + 1,
        reason=reason,
    )


def route_of(rollout: Rollout, present: Route | None) -> Route | None:
    """Who answers while ``rollout`` stands as it does; None when nobody can yet."""
    revision = 0 if present is None else present.revision + 1
    if rollout.state == "promoted":
        return Route(
            project=rollout.project,
            live=rollout.release_id,
            revision=revision,
            stands_in=rollout.stands_in,
        )
    if rollout.champion_id is None:
        return None
    stands_in = present is not None and present.stands_in and present.live == rollout.champion_id
    if rollout.state == "canary":
        return Route(
            project=rollout.project,
            live=rollout.champion_id,
            canary=rollout.release_id,
            canary_weight=rollout.steps[rollout.step] / 100,
            revision=revision,
            stands_in=stands_in,
        )
    return Route(project=rollout.project, live=rollout.champion_id, revision=revision, stands_in=stands_in)


class Shares(NamedTuple):
    """How often a candidate that is as good may be aborted, by what aborts it: together as declared."""

    failures: float
    losses: float
    segments: float
    slow: float
    kpis: float

    @classmethod
    def of(cls, project: Project) -> Shares:
        """From what the project declares: what it does not watch costs nothing."""
        return cls.out_of(
            1 - project.gates.model.confidence,
            segments=bool(project.monitors.segments),
            slow=project.serving.level is not None,
            kpis=any(spec.worse for spec in project.kpis),
        )

    @classmethod
    def out_of(
        cls, allowed: float, *, segments: bool = False, slow: bool = False, kpis: bool = False
    ) -> Shares:
        """Of ``allowed`` in all, by what is watched.

        >>> found = Shares.out_of(0.05, segments=True, slow=True, kpis=True)
        >>> round(sum(found), 9), round(found.losses, 9)
        (0.05, 0.0375)
        """
        each = [EACH * allowed if watched else 0.0 for watched in (segments, slow, kpis)]
        return cls(FAILURES * allowed, (1 - FAILURES) * allowed - sum(each), *each)


class SegmentSeen(NamedTuple):
    """The labelled rows of one segment; ``difference`` as that of all rows."""

    column: str
    name: str
    n_labels: int
    champion_loss: float
    difference: tuple[float, float] | None


class Slow(NamedTuple):
    """Requests of this step, and how many of them took longer than ``limit_ms``.

    ``share`` is that of the traffic which the candidate gets.
    """

    limit_ms: float
    n: int
    slow: int
    champion_n: int
    champion_slow: int
    share: float


class KpiSeen(NamedTuple):
    """A KPI of this step: always-valid interval of candidate - champion, per answer; ``n`` are customers."""

    name: str
    unit: str
    worse: str
    n: int
    difference: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one look saw, all since the rollout began unless it says otherwise.

    Attributes:
        answered, failed: requests that the candidate answered, and could not answer, in this step.
        n_labels: labelled rows scored by both models.
        difference: always-valid interval of the mean loss difference, candidate - champion, per row.
        estimate: that mean itself.
        champion_loss: the champion's mean loss on the same rows.
        segments: the same in each segment of them.
        slow, kpis: what else is compared in this step, as far as it is declared.
    """

    answered: int
    failed: int
    n_labels: int = 0
    difference: tuple[float, float] | None = None
    estimate: float | None = None
    champion_loss: float | None = None
    segments: tuple[SegmentSeen, ...] = ()
    slow: Slow | None = None
    kpis: tuple[KpiSeen, ...] = ()


class Judgement(NamedTuple):
    """What to conclude, and why."""

    outcome: Outcome4
    reason: str


def one_sided(false_aborts: float) -> AlwaysValid:
    """What a canary and its champion are compared by, in ``false_aborts`` of rollouts wrongly.

    Each end of its interval holds at all looks with ``1 - false_aborts``: only one of them aborts.
    """
    return AlwaysValid(alpha=min(2 * false_aborts, 0.99), tuned_for=TUNED_FOR)


def judge(seen: Observation, spec: RolloutSpec, margin: float, shares: Shares) -> Judgement:
    """Conclude from one look: worse aborts at once, not enough to tell holds, else it passes.

    ``margin`` is a share of the champion's loss. The intervals in ``seen`` must be valid at every look, as
    those of :func:`one_sided` are, because this is asked again and again: over all looks of all steps a
    candidate that is as good, and fails no more often than it may, is aborted with at most the sum of
    ``shares``.
    """
    requests, n_steps = seen.answered + seen.failed, max(len(spec.steps), 1)
    alpha = shares.failures / n_steps
    if seen.failed >= 3 and exceeds_share(seen.failed, requests, spec.max_error_rate, alpha):
        return Judgement("failed", f"{seen.failed} of {requests} requests failed")
    limit = None if seen.champion_loss is None else margin * seen.champion_loss
    if seen.difference is not None and limit is not None:
        low, high = seen.difference
        if not (math.isfinite(low) and math.isfinite(high)):
            return Judgement("error", "the loss difference is not a finite number")
        if low > limit:
            return Judgement("failed", f"worse by at least {low:.4g} per row on {seen.n_labels} labels")
    worse = _worse_somewhere(seen, margin) or _slower(seen.slow, shares.slow / n_steps)
    if worse:
        return Judgement("failed", worse)
    if seen.answered < spec.min_requests:
        return Judgement("inconclusive", f"{seen.answered} of {spec.min_requests} answers so far")
    if seen.n_labels < spec.min_labels:
        return Judgement("inconclusive", f"{seen.n_labels} of {spec.min_labels} labels so far")
    if spec.min_labels and (seen.difference is None or limit is None):
        return Judgement("inconclusive", f"too few of {seen.n_labels} labelled rows tell the models apart")
    if spec.min_labels and seen.difference is not None and limit is not None and seen.difference[1] > limit:
        return Judgement("inconclusive", f"may still be worse by {seen.difference[1]:.4g} per row")
    quality = ""
    if seen.difference is not None:
        quality = f", loss difference within [{seen.difference[0]:.4g}, {seen.difference[1]:.4g}]"
    return Judgement("passed", f"{seen.answered} answers, {seen.failed} failed{quality}")


def _worse_somewhere(seen: Observation, margin: float) -> str:
    """The segment or KPI that is shown to be worse, in words; empty if none is."""
    for one in seen.segments:
        if one.difference is not None and one.difference[0] > margin * abs(one.champion_loss):
            return (
                f"worse where {one.column} is {one.name!r}: by at least {one.difference[0]:.4g} per row on "
                f"{one.n_labels} labels"
            )
    for kpi in seen.kpis:
        low, high = kpi.difference or (-math.inf, math.inf)
        if (kpi.worse == "higher" and low > 0) or (kpi.worse == "lower" and high < 0):
            least = f"{min(abs(low), abs(high)):.4g} {kpi.unit}".rstrip()
            return f"{kpi.name} is {kpi.worse} by at least {least} per answer, of {kpi.n} customers"
    return ""


def _slower(seen: Slow | None, alpha: float) -> str:
    """Whether more of its requests are slow than the level allows, and than the champion's in the same time.

    Whoever is slow, chance has decided who was asked: of the slow requests no more than its share of the
    traffic are a candidate's that is as fast, however slow an hour is. Its share is the larger one of what it
    should get and of what it got, for a customer stays with one model.
    """
    if seen is None or not exceeds_share(seen.slow, seen.n, SLOW, alpha):
        return ""
    n_slow, share = seen.slow + seen.champion_slow, max(seen.share, seen.n / (seen.n + seen.champion_n))
    if not exceeds_share(seen.slow, n_slow, share, alpha):
        return ""
    return (
        f"slower: {seen.slow} of {seen.n} requests took longer than {seen.limit_ms:g} ms, of the live "
        f"model's {seen.champion_slow} of {seen.champion_n}"
    )
