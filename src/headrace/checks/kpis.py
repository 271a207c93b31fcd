"""What answers brought: shares of answers, means of values, and how far two versions are apart in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headrace.checks.fairness import Share
from headrace.checks.metrics import Floats, Interval, mean_interval

FEWEST = 5
"""Values other than 0 before a mean has an interval: rarer ones tell nothing about their spread."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """One value over some answers.

    Attributes:
        n: answers that it is of.
        covered: of those, answers that something was told of.
        total: sum over all of them; for a share, how many.
        interval: None where too little is known.
    """

    value: float
    n: int
    covered: int
    total: float
    interval: tuple[float, float] | None


def share_of(hits: int, n: int, confidence: float) -> Brought | None:
    """Share of ``n`` answers; None of no answers. Answers are taken as independent.

    >>> found = share_of(10, 200, 0.9)
    >>> found is not None and found.interval is not None and found.interval[0] > 0.02
    True
    """
    share = Share(hits=hits, n=n)
    if share.rate is None:
        return None
    return Brought(value=share.rate, n=n, covered=hits, total=hits, interval=share.interval(confidence))


def mean_of(values: Floats, n: int, confidence: float) -> Brought | None:
    """Mean over ``n`` answers, of which those without a value count 0; None of no answers.

    Args:
        values: shape ``(n_covered,)``, at most ``n``, finite.

    >>> found = mean_of(np.array([3.0, 5.0]), 4, 0.9)
    >>> found is not None and (found.value, found.total, found.interval)
    (2.0, 8.0, None)
    """
    if not n:
        return None
    covered, total = values.size, float(values.sum())
    interval: Interval | None = None
    if np.count_nonzero(values) >= FEWEST:
        interval = mean_interval(np.concatenate([values, np.zeros(n - covered)]), confidence)
    return Brought(
        value=total / n,
        n=n,
        covered=covered,
        total=total,
        interval=None if interval is None else (interval.low, interval.high),
    )


def difference(one: Brought, other: Brought) -> tuple[float, float] | None:
    """The interval of ``one.value - other.value``, at the confidence of their own; None where one has none.

    The two are independent. It recovers each one's variance from its interval (G. Y. Zou and A. Donner,
    "Construction of confidence limits about effect measures", Statistics in Medicine 27, 2008); of two Wilson
    intervals it is Newcombe's. It holds for one look: whoever looks again and again, until something shows,
    finds it too often.
    """
    if one.interval is None or other.interval is None:
        return None
    gap = one.value - other.value
    (low, high), (other_low, other_high) = one.interval, other.interval
    return (
        gap - math.hypot(one.value - low, other_high - other.value),
        gap + math.hypot(high - one.value, other.value - other_low),
    )
