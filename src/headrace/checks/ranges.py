"""Where a statistic of a window is to be expected, from a reference and from the windows before.

A mean of ten answers varies more than one of a thousand; and windows differ among themselves, because nights
are no days. So the expected range is that of a random-effects model: the variance of sampling, from the
spread of single values, plus the variance between windows, estimated by the method of moments (R. DerSimonian
and N. Laird, Controlled Clinical Trials 7, 1986) from the windows before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEWEST_WINDOWS = 7
"""Windows before anything is expected of the next one."""


class Reference(NamedTuple):
    """What a statistic was on ``n`` values; ``spread`` is its standard error on ``n`` values times root n."""

    value: float
    spread: float
    n: int


class Seen(NamedTuple):
    """What it was in one earlier window of ``n`` values."""

    value: float
    n: int


def expected_range(
    reference: Reference, earlier: Sequence[Seen], n: int, level: float
) -> tuple[float, float] | None:
    """What lies outside with probability ``level``; None while there are fewer than seven earlier windows.

    Args:
        reference: what the statistic was when all was well.
        earlier: of windows before this one, whose differences from the reference are the usual ones.
        n: values in this window.

    >>> random = np.random.default_rng(0)
    >>> days = [Seen(float(random.normal(50, 1)), 1000) for _ in range(30)]
    >>> low, high = expected_range(Reference(50.0, 5.0, 2000), days, 1000, 0.01)
    >>> 46 < low < 48 < 52 < high < 54
    True
    """
    from scipy.special import stdtrit

    if len(earlier) < FEWEST_WINDOWS or n < 1:
        return None
    values, counts = (np.array(part, dtype=np.float64) for part in zip(*earlier, strict=True))
    sampling = reference.spread**2
    between = float(((values - reference.value) ** 2 - sampling / counts - sampling / reference.n).mean())
    variance = max(between, 0.0) + sampling / n + sampling / reference.n
    reach = float(stdtrit(len(earlier), 1 - level / 2)) * np.sqrt(variance)
    return float(reference.value - reach), float(reference.value + reach)


def references(values: NDArray[np.float32], n: int, mean: float, deviation: float) -> dict[str, Reference]:
    """Mean, median and deviation of a reference, each with its spread.

    Args:
        values: of equal ranks, ascending, such as the quantiles of a profile.
        n, mean, deviation: of all its values.
    """
    ranked = np.asarray(values, dtype=np.float64)
    low, median, high = np.quantile(ranked, [0.45, 0.5, 0.55])
    fourth = float(((ranked - ranked.mean()) ** 4).mean())
    square = float(ranked.var()) or 1.0
    return {
        "mean": Reference(mean, deviation, n),
        # The standard error of a median is half the inverse of the density there.
        "median": Reference(float(median), float(high - low) / 0.1 / 2, n),
        "deviation": Reference(
            deviation, deviation * float(np.sqrt(max(fourth / square**2 - 1, 0.0) / 4)), n
        ),
    }


def beyond_p_value(n_beyond: int, n: int, n_reference: int) -> float:
    """Chance of so many of ``n`` values lying beyond the largest of ``n_reference`` that are like them.

    It holds for whatever distribution they share: of all orders of both, those that begin with ``n_beyond``
    of the ``n``.

    >>> round(beyond_p_value(1, 1, 99), 6)
    0.01
    """
    taken = np.arange(n_beyond)
    return float(np.exp(np.log((n - taken) / (n + n_reference - taken)).sum()))
