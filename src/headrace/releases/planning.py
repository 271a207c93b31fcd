"""What a canary will cost and what it can tell, before it begins: labelled rows, and the loss they catch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.checks.sequential import FEWEST_ROWS, rows_to_notice, smallest_noticed
from headrace.core.project import Project
from headrace.core.release import Verdict
from headrace.releases.rollout import Shares, one_sided

_BEYOND = (0.05, 0.1, 0.25, 0.5)


@dataclass(frozen=True, kw_only=True)
class Caught:
    """A loss that is ``worse`` than the live model's, as a share of it, and the labelled rows it takes."""

    worse: float
    n_labels: int


@dataclass(frozen=True, kw_only=True)
class CanaryPlan:
    """What the comparison of losses will be able to tell.

    Attributes:
        steps: shares of traffic in percent, as declared.
        min_requests, min_labels: what each step waits for.
        false_aborts: share of rollouts in which a candidate that is as good is aborted, at most.
        margin: by how much worse a candidate may be, as a share of the live model's loss.
        caught: losses beyond the margin, each with the rows after which 95 of 100 such rollouts were aborted.
        at_min_labels: the share worse that is caught in 95 of 100 rollouts by ``min_labels`` rows; None where
            so few say nothing.
    """

    steps: tuple[int, ...]
    min_requests: int
    min_labels: int
    false_aborts: float
    margin: float
    caught: tuple[Caught, ...]
    at_min_labels: float | None


def plan_of(verdicts: Sequence[Verdict], project: Project) -> CanaryPlan | None:
    """From how far apart the two models' losses were on the test rows, row by row.

    None where nothing was compared: there is no champion, or its gate could not measure.

    Example:
        >>> from headrace.testing import make_project
        >>> plan_of([], make_project()) is None
        True
    """
    champion = next((one for one in reversed(verdicts) if one.gate == "champion"), None)
    apart = None if champion is None else _deviation(champion.evidence)
    if champion is None or apart is None:
        return None
    spec, gate = project.rollout, project.gates.model
    loss = abs(float(champion.evidence["against_loss"]))
    sequence = one_sided(Shares.of(project).losses)
    told: dict[str, Any] = {"alpha": sequence.alpha, "tuned_for": sequence.tuned_for}
    caught = tuple(
        Caught(worse=gate.margin + beyond, n_labels=rows_to_notice(beyond * loss / apart, **told))
        for beyond in _BEYOND
    )
    at_least = None
    if spec.min_labels >= FEWEST_ROWS:
        at_least = gate.margin + smallest_noticed(spec.min_labels, **told) * apart / loss
    return CanaryPlan(
        steps=spec.steps,
        min_requests=spec.min_requests,
        min_labels=spec.min_labels,
        false_aborts=1 - gate.confidence,
        margin=gate.margin,
        caught=caught,
        at_min_labels=at_least,
    )


def _deviation(evidence: dict[str, Any]) -> float | None:
    """Standard deviation of the difference in loss of one row, by the width of the gate's interval."""
    from scipy.special import ndtri

    low, high = evidence.get("interval") or (None, None)
    loss, n_rows = evidence.get("against_loss"), evidence.get("n_rows", 0)
    if low is None or high is None or not loss or n_rows < 2:
        return None
    deviation = (high - low) / 2 / float(ndtri((1 + evidence["confidence"]) / 2)) * math.sqrt(n_rows)
    return deviation if deviation > 0 else None
