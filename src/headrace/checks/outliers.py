"""Between which limits the values of a column lie, but for outliers.

A mean and a deviation are moved by the very values that they should give away, so that the limits come from
quartiles instead, which a quarter of wrong values on a side does not move. The limit follows the number of
values (L. Davies and U. Gather, Journal of the American Statistical Association 88, 1993): one deviation that
is large among a hundred values is ordinary among a million.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FALSE_FLAGS = 0.01
"""Chance that any value at all of a column of normal values lies beyond the limits, whatever its length."""
FEWEST = 20
"""Known values below which nothing is called an outlier."""
_QUARTILE = 0.6744897501960817
_EVIDENTLY_SKEWED = 0.1


class Limits(NamedTuple):
    """Where usual values lie; infinite where the column does not say."""

    low: float
    high: float


def usual_limits(values: NDArray[Any]) -> Limits:
    """Limits of the usual values, each side by its own spread; nulls and infinities are left out.

    What is evidently skewed to the right and never negative, such as amounts, is limited above on the scale
    of logarithms. A side whose quartile is the median has no limit.

    >>> low, high = usual_limits(np.random.default_rng(0).normal(100, 10, 1000))
    >>> 50 < low < 60 < 140 < high < 150
    True
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) < FEWEST:
        return Limits(-inf, inf)
    low, high = _by_quartiles(known)
    if known.min() >= 0 and _skewness(known) > _EVIDENTLY_SKEWED + 3 / np.sqrt(len(known)):
        amounts = known[known > 0]
        high = float(np.exp(_by_quartiles(np.log(amounts)).high)) if len(amounts) >= FEWEST else inf
    return Limits(low, high)


def _by_quartiles(known: NDArray[np.float64]) -> Limits:
    from scipy.special import ndtri

    n = len(known)
    lower, median, upper = np.quantile(known, [0.25, 0.5, 0.75])
    # 28 / n is what quartiles of few values may err by; it is simulated in tests/checks/test_outliers.py.
    reach = -float(ndtri(FALSE_FLAGS / 2 / n)) / _QUARTILE * (1 + 28 / n)
    below, above = reach * float(median - lower), reach * float(upper - median)
    return Limits(float(median) - below if below else -inf, float(median) + above if above else inf)


def _skewness(known: NDArray[np.float64]) -> float:
    """Bowley's, from quartiles: 0 when symmetric, 1 at most; 0 where the quartiles are equal."""
    lower, median, upper = np.quantile(known, [0.25, 0.5, 0.75])
    return float((upper + lower - 2 * median) / (upper - lower)) if upper > lower else 0.0
