"""Is one model better than another on the same rows?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.clustered import clustered_interval
from headrace.checks.metrics import Floats, Interval, mean_interval
from headrace.core.errors import InvalidInput
from headrace.core.release import Outcome4

FEWEST_ROWS = 20
"""With fewer rows than this an interval does not keep its level, so nothing is concluded."""


class Judgement(NamedTuple):
    """What was concluded and why."""

    outcome: Outcome4
    reason: str


def paired_interval(
    candidate_losses: Floats, champion_losses: Floats, confidence: float, groups: Any = None
) -> Interval:
    """The interval of mean(candidate - champion), over rows that both have answered.

    Pairing removes what is hard about a row for either model. Below 0 the candidate is better.

    Args:
        groups: what each row belongs to, such as its customer, where rows of one are no news of others.

    Raises:
        InvalidInput: different numbers of rows, or none.

    >>> paired_interval(np.array([1.0, 2.0]), np.array([2.0, 3.0]), 0.95).high
    -1.0
    """
    candidate, champion = np.asarray(candidate_losses), np.asarray(champion_losses)
    if candidate.shape != champion.shape or candidate.ndim != 1:
        raise InvalidInput(
            f"Losses have shapes {candidate.shape} and {champion.shape}. "
            "Expected one loss of each model for the same rows."
        )
    if groups is None:
        return mean_interval(candidate - champion, confidence)
    return clustered_interval(candidate - champion, groups, confidence)


class SegmentDifference(NamedTuple):
    """The rows of one segment: ``name`` is a value of ``column``.

    ``difference`` is the interval of mean(candidate - champion) in it; None where it has too few rows.
    """

    column: str
    name: str
    n_rows: int
    champion_loss: float
    difference: Interval | None


def segment_differences(
    candidate_losses: Floats,
    champion_losses: Floats,
    segments: Mapping[str, Any],
    confidence: float,
    groups: Any = None,
) -> list[SegmentDifference]:
    """The paired interval in each segment; all of them hold together, with ``confidence`` (C. Bonferroni).

    They share it among those that have rows enough, which no loss has a say in.

    Args:
        segments: the segment of each row by column, each of shape ``(n_rows,)``; a row of None is in none.
        groups: as of :func:`paired_interval`.

    >>> where, losses = {"fuel": np.repeat(["diesel", "gas"], [30, 5])}, np.ones(35)
    >>> [(one.name, one.difference is None) for one in segment_differences(losses, losses, where, 0.95)]
    [('diesel', False), ('gas', True)]
    """
    places = [
        (column, name, np.flatnonzero(np.asarray(names, dtype=object) == name))
        for column, names in segments.items()
        for name in sorted(set(np.asarray(names, dtype=object).tolist()) - {None})
    ]
    n_judged = sum(rows.size >= FEWEST_ROWS for _, _, rows in places)
    each = 1 - (1 - confidence) / max(n_judged, 1)
    found = []
    for column, name, rows in places:
        interval = None
        if rows.size >= FEWEST_ROWS:
            of = None if groups is None else np.asarray(groups)[rows]
            interval = paired_interval(candidate_losses[rows], champion_losses[rows], each, of)
        loss = float(champion_losses[rows].mean())
        found.append(SegmentDifference(column, str(name), rows.size, loss, interval))
    return found


def excess_p_value(now: Floats, before: Floats, elsewhere_now: Floats, elsewhere_before: Floats) -> float:
    """One-sided p-value of a mean having risen by no more than it did elsewhere (difference of differences).

    Welch's test for four independent samples of losses: B. L. Welch, Biometrika 34 (1947).

    >>> random = np.random.default_rng(0)
    >>> calm, worse = random.normal(1.0, 0.1, (3, 200)), random.normal(1.2, 0.1, 200)
    >>> excess_p_value(worse, *calm) < 1e-9 < 0.01 < excess_p_value(calm[0], calm[0], calm[1], calm[2])
    True
    """
    from scipy.special import stdtr

    sides = (now, before, elsewhere_now, elsewhere_before)
    if min(side.size for side in sides) < 2:
        return 1.0
    shares = np.array([side.var(ddof=1) / side.size for side in sides])
    rise = float(now.mean() - before.mean() - elsewhere_now.mean() + elsewhere_before.mean())
    variance = float(shares.sum())
    if variance == 0:
        return 0.0 if rise > 0 else 1.0
    degrees = variance**2 / float((shares**2 / (np.array([side.size for side in sides]) - 1)).sum())
    return float(stdtr(degrees, -rise / math.sqrt(variance)))


def smallest_seen(interval: Interval, power: float = 0.8) -> float:
    """The difference beyond what is tolerated that so many rows would tell in ``power`` of all cases.

    It follows from the width of the interval, not from what was found.

    >>> round(smallest_seen(paired_interval(np.arange(100.0), np.zeros(100), 0.95)), 1)
    8.2
    """
    from scipy.special import ndtri

    above = float(ndtri((1 + interval.confidence) / 2))
    return (interval.high - interval.low) / 2 * (1 + float(ndtri(power)) / above)


def judge(interval: Interval, margin: float) -> Judgement:
    """Hold an interval of a difference in loss against what is tolerated.

    ``passed`` when even its upper end is within ``margin``; ``failed`` when even its lower end is
    beyond; ``inconclusive`` between, and below 20 rows; ``error`` when it could not be measured.
    """
    if not math.isfinite(interval.estimate):
        return Judgement("error", "a loss is not a finite number, so the difference could not be measured")
    if interval.n < FEWEST_ROWS:
        return Judgement(
            "inconclusive", f"{interval.n} rows are too few to judge; at least {FEWEST_ROWS} are needed"
        )
    measured = (
        f"the difference in loss is {interval.estimate:.4g}, "
        f"{100 * interval.confidence:.4g}% interval {interval.low:.4g} to {interval.high:.4g}"
    )
    if interval.high <= margin:
        return Judgement("passed", f"{measured}: within the margin {margin:.4g}")
    if interval.low > margin:
        return Judgement("failed", f"{measured}: beyond the margin {margin:.4g}")
    return Judgement("inconclusive", f"{measured}: it spans the margin {margin:.4g}")
