"""Are two counts the same but for chance? Counts of calls vary more than chance alone would have it.

Two counts of one unknown mean, each negative-binomial with variance ``mean + dispersion * mean**2``: given
their sum, one of them is beta-binomial, whatever the mean is. So the test is exact for small counts, too;
without dispersion it is the conditional test of two Poisson counts (J. Przyborowski and H. Wilenski,
"Homogeneity of results in testing samples from Poisson series", Biometrika 31, 1940). The dispersion is
estimated by the method of moments from earlier pairs, to which its own uncertainty is added by a jackknife
over blocks (H. R. Künsch, Annals of Statistics 17, 1989): a day that was busy altogether is one observation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_BLOCKS = 3
"""Blocks of pairs before anything is said about the dispersion."""
_SURE = 1.645
"""Standard errors that are added to the dispersion: its upper limit at 95 %."""
_EXACT = 20_000
"""Up to this sum the probabilities are added up one by one."""


def dispersion_of(first: Floats, second: Floats, block: int = 24) -> float | None:
    """How much more than chance counts vary, as an upper limit.

    Args:
        first, second: pairs of counts with one mean each, in order of time, shape ``(n,)``; a pair with a NaN
            is left out.
        block: neighbours that may depend on each other, such as the 24 hours of a day.

    Returns:
        The dispersion: 0 where counts are Poisson, 0.04 where rates vary by 20 %, infinite where no size of a
        count says anything. None where there are fewer than three blocks of pairs.

    >>> random = np.random.default_rng(0)
    >>> rates = 200 * random.gamma(25, 1 / 25, (2, 500))
    >>> round(dispersion_of(*random.poisson(rates).astype(float)), 2)
    0.04
    """
    excess, product = (first - second) ** 2 - (first + second), 2 * first * second
    known = np.isfinite(excess)
    blocks = np.unique(np.flatnonzero(known) // block, return_inverse=True)[1]
    n_blocks = int(blocks.max(initial=-1)) + 1
    if n_blocks < FEWEST_BLOCKS:
        return None
    excesses, products = (np.bincount(blocks, values[known]) for values in (excess, product))
    left = products.sum() - products
    if (left <= 0).any():
        return float("inf") if excesses.sum() > 0 else 0.0
    whole, without = excesses.sum() / products.sum(), (excesses.sum() - excesses) / left
    error = np.sqrt((n_blocks - 1) / n_blocks * ((without - without.mean()) ** 2).sum())
    return max(float(whole + _SURE * error), 0.0)


def count_p_value(observed: int, reference: int, dispersion: float) -> float:
    """Two-sided p-value of two counts of one mean being at least so far apart.

    Args:
        observed, reference: counts over equally long times.
        dispersion: of both, see :func:`dispersion_of`.

    >>> round(count_p_value(60, 100, 0.0), 5)
    0.00195
    >>> count_p_value(60, 100, 0.04) > 0.08
    True
    """
    low, total = min(observed, reference), observed + reference
    if not total or not np.isfinite(dispersion):
        return 1.0
    return min(2 * _at_most(low, total, dispersion), 1.0)


def _at_most(low: int, total: int, dispersion: float) -> float:
    """Probability of ``low`` or fewer of ``total``, where either count gets each with the same chance."""
    from scipy.special import bdtr, betainc, betaln

    if dispersion < 1e-9:
        return float(bdtr(low, total, 0.5))
    shape = 1 / dispersion
    if total > _EXACT:
        # A beta distribution of the same variance: the steps between such counts are too small to matter.
        effective = total / (1 + (total - 1) / (2 * shape + 1))
        half = (effective - 1) / 2
        return float(betainc(half, half, (low + 0.5) / total))
    k = np.arange(low + 1.0)
    logs = betaln(k + shape, total - k + shape) - betaln(shape, shape)
    logs -= np.log(total + 1.0) + betaln(k + 1, total - k + 1)
    return float(min(np.exp(logs).sum(), 1.0))
