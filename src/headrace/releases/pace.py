"""What a step of a rollout still waits for, and whether it comes in time. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace.core.project import RolloutSpec
from headrace.core.release import Rollout
from headrace.releases.observing import Traffic


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """What a step waits for.

    Attributes:
        share: of the traffic, in percent; 0 as a shadow, which is asked whatever the live model is.
        answered: by the candidate in this step, of ``min_requests``; ``n_labels``, of ``min_labels``.
        calls_left: that have to come until enough of them are the candidate's, on average.
        left_s: how long that takes at the pace of the step so far; None before anything has come.
        until: the candidate is taken back then, if nothing could be concluded.
        steps_after: shares that follow, in percent, before it gets everything.
        in_time: whether the answers come before that, at this pace; None where nobody knows.
    """

    share: int
    answered: int
    min_requests: int
    n_labels: int
    min_labels: int
    calls_left: int
    left_s: float | None
    until: datetime
    steps_after: tuple[int, ...]
    in_time: bool | None


def awaited(
    rollout: Rollout, spec: RolloutSpec, seen: Traffic, n_labels: int, now: datetime
) -> Awaited | None:
    """What the present step waits for; None where no step is under way.

    Args:
        seen: of the present step.
        n_labels: labelled rows since the rollout began.
    """
    if rollout.state != "canary" or not 0 <= rollout.step < len(rollout.steps):
        return None
    share = rollout.steps[rollout.step]
    missing = max(spec.min_requests - seen.answered, 0)
    elapsed_s = (now - rollout.step_started_at).total_seconds()
    left_s = 0.0 if not missing else None
    if missing and seen.answered and elapsed_s > 0:
        left_s = missing * elapsed_s / seen.answered
    until = rollout.step_started_at + timedelta(seconds=spec.timeout_s)
    late = left_s is not None and timedelta(seconds=min(left_s, 10 * spec.timeout_s)) > until - now
    return Awaited(
        share=share,
        answered=seen.answered,
        min_requests=spec.min_requests,
        n_labels=n_labels,
        min_labels=spec.min_labels,
        calls_left=math.ceil(missing * 100 / (share or 100)),
        left_s=left_s,
        until=until,
        steps_after=rollout.steps[rollout.step + 1 :],
        in_time=None if left_s is None else not late,
    )


def calls_needed(spec: RolloutSpec) -> int:
    """How many calls a second version takes to get everything, on average, where no label is waited for.

    >>> calls_needed(RolloutSpec(steps=(20, 50), min_requests=100))
    700
    """
    return sum(math.ceil(spec.min_requests * 100 / (share or 100)) for share in spec.steps)
