"""Is a value that is measured window after window going up or down, or does it only vary?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput

Floats = NDArray[np.float64]
FEWEST_WINDOWS = 5
"""Windows before anything is said about a trend."""


class Trend(NamedTuple):
    """A straight line through values: ``slope`` per step, its interval, and the chance of no rise.

    ``p_rise`` is the one-sided p-value of the slope being 0 or less, ``p_fall`` that of 0 or more.
    """

    slope: float
    low: float
    high: float
    p_rise: float
    p_fall: float
    n: int


def trend_of(values: Floats, errors: Floats, confidence: float) -> Trend | None:
    """The least-squares line through values in order of time; None of fewer than five.

    Its error is that of the values' scatter about the line, and never less than what their standard errors
    make it: a few values that happen to lie on a line are no evidence.

    Args:
        values: one per window, shape ``(n,)``.
        errors: their standard errors, 0 or more; 0 where none is known.

    >>> trend = trend_of(np.array([1.0, 1.1, 1.2, 1.3, 1.4]), np.full(5, 0.01), 0.9)
    >>> round(trend.slope, 3), trend.p_rise < 0.001
    (0.1, True)
    """
    from scipy.special import stdtr, stdtrit

    if values.shape != errors.shape or (errors < 0).any():
        raise InvalidInput("Expected one standard error, 0 or more, for each value.")
    n = values.size
    if n < FEWEST_WINDOWS:
        return None
    steps = np.arange(n) - (n - 1) / 2
    square = float((steps**2).sum())
    slope = float((steps * values).sum()) / square
    scatter = float(((values - values.mean() - slope * steps) ** 2).sum()) / (n - 2)
    error = math.sqrt(max(scatter / square, float((steps**2 * errors**2).sum()) / square**2))
    if error == 0:
        return Trend(slope, slope, slope, float(slope <= 0), float(slope >= 0), n)
    reach = float(stdtrit(n - 2, (1 + confidence) / 2)) * error
    p_fall = float(stdtr(n - 2, slope / error))
    return Trend(slope, slope - reach, slope + reach, 1 - p_fall, p_fall, n)
