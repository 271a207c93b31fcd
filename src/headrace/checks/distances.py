"""How far apart are two distributions? Distances, and the statistics of the two-sample tests.

The test statistics are those of SciPy, computed from ranks, so that they can be had from sketches as well;
tests/checks compares them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from headrace.checks.distributions import Counts, Floats, Numbers

_CELLS = 10_000
_STEPS = 4_096


class Tested(NamedTuple):
    """A statistic and the probability of one as large without a difference."""

    statistic: float
    p_value: float


def psi(reference: Floats, current: Floats) -> float:
    """Population Stability Index of two distributions over the same bins: sum of (c - r) ln(c / r).

    Source: the symmetrised divergence of Jeffreys (1946), under its name in credit scoring.

    Args:
        reference, current: shares above 0 that sum to 1, shape ``(n_bins,)``.
    """
    return float(((current - reference) * np.log(current / reference)).sum())


def kl_divergence(current: Floats, reference: Floats) -> float:
    """Kullback-Leibler divergence in nats: sum of c ln(c / r); ``reference`` must be above 0."""
    ratio = np.divide(current, reference, out=np.ones_like(current), where=current > 0)
    return float((current * np.log(ratio)).sum())


def js_divergence(reference: Floats, current: Floats) -> float:
    """Jensen-Shannon divergence in bits, 0 (equal) to 1 (nothing in common). Source: Lin (1991)."""
    middle = (reference + current) / 2
    nats = (kl_divergence(reference, middle) + kl_divergence(current, middle)) / 2
    return min(max(nats / float(np.log(2)), 0.0), 1.0)


def hellinger(reference: Floats, current: Floats) -> float:
    """Hellinger distance, 0 to 1."""
    return min(1.0, float(np.sqrt(((np.sqrt(reference) - np.sqrt(current)) ** 2).sum() / 2)))


def total_variation(reference: Floats, current: Floats) -> float:
    """The share of rows that would have to change their bin, 0 to 1."""
    return float(np.abs(reference - current).sum() / 2)


def wasserstein(reference: Numbers, current: Numbers) -> float:
    """How far a row has to be moved in the mean, in the values' unit: the area between the two.

    Exact up to 10,000 points on both sides. Beyond, it is summed over 10,000 shares of equal size, and lower
    than the exact one only where the order of the two changes within such a share.
    """
    marks = np.linspace(0.0, 1.0, _CELLS + 1)
    if reference.values.size + current.values.size <= _CELLS:
        marks = np.union1d(_shares(reference), _shares(current))
    before, now = _integral(reference, marks), _integral(current, marks)
    return float(np.abs(np.diff(now - before)).sum())


def ks_test(reference: Numbers, current: Numbers) -> Tested:
    """Two-sample Kolmogorov-Smirnov. The p-value allows for what the ranks of either side may be wrong by.

    Source of the limiting distribution: Hodges (1958), as in SciPy's ``method="asymp"``.
    """
    from scipy.stats import kstwo

    statistic = ks_statistic(reference, current)
    surely = max(0.0, statistic - reference.rank_error - current.rank_error)
    n = round(reference.n * current.n / (reference.n + current.n))
    return Tested(statistic, float(np.clip(kstwo.sf(surely, max(n, 1)), 0, 1)))


def ks_statistic(reference: Numbers, current: Numbers) -> float:
    """The largest difference between the two distribution functions, 0 to 1.

    It is looked for at every 4,096th part of the smaller side's points first, and then only between those
    where it can be larger still: with a million rows a tenth of the work of looking at all.
    """
    if reference.values.dtype != current.values.dtype:
        reference, current = (replace(s, values=s.values.astype(np.float32)) for s in (reference, current))
    few, many = sorted((reference, current), key=lambda side: side.values.size)
    points = few.values
    step = max(1, points.size // _STEPS)
    grid = np.append(points[::step], points[-1])
    at, below = ([side.rows_at(grid, where) / side.n for side in (few, many)] for where in ("right", "left"))
    largest = max(float(np.abs(at[0] - at[1]).max()), float(np.abs(below[0] - below[1]).max()))
    if step == 1:
        return largest
    within = np.maximum(below[0][1:] - at[1][:-1], below[1][1:] - at[0][:-1]) > largest
    inner = points[np.repeat(within, step)[: points.size]]
    return max(largest, _gap(few, many, inner)) if inner.size else largest


def _gap(few: Numbers, many: Numbers, points: Floats) -> float:
    """At the points of one side: there, and just below, is where the difference is largest."""
    gaps = (
        np.abs(few.rows_at(points, where) / few.n - many.rows_at(points, where) / many.n).max()
        for where in ("right", "left")
    )
    return float(max(gaps))


def chi_square(
    reference: Counts, current: Counts, *, errors: tuple[float, float] = (0.0, 0.0)
) -> Tested | None:
    """Two-sample chi-square over categories; those too rare to count are merged.

    Args:
        errors: rows by which any count of the reference and of the current side may be wrong. Each deviation
            is taken as the smallest that it may be.

    Returns:
        None if fewer than two categories are left, or a side has no rows.
    """
    from scipy.special import chdtrc

    table = np.array([reference, current], dtype=np.float64)
    rows = table.sum(axis=1)
    if not rows.all():
        return None
    kept = _enough(table, rows)
    if kept.shape[1] < 2:
        return None
    expected = np.outer(rows, kept.sum(axis=0)) / kept.sum()
    # A row too many on one side moves a deviation by the other side's share of all rows.
    unsure = float(rows @ np.array(errors[::-1])) / rows.sum()
    deviation = np.maximum(np.abs(kept - expected) - unsure, 0.0)
    statistic = float((deviation**2 / expected).sum())
    return Tested(statistic, float(chdtrc(kept.shape[1] - 1, statistic)))


FEWEST_EXPECTED = 5
"""The chi-square test wants at least this many expected rows per cell (Cochran 1954)."""


def _enough(table: Floats, rows: Floats) -> Floats:
    """The table, categories with too few expected rows merged into one."""
    smallest = rows.min() / rows.sum()
    total = table.sum(axis=0)
    is_rare = total * smallest < FEWEST_EXPECTED
    rest, kept = table[:, is_rare].sum(axis=1), table[:, ~is_rare]
    if rest.sum() * smallest >= FEWEST_EXPECTED:
        return np.asarray(np.column_stack([kept, rest]))
    if rest.sum() and kept.shape[1]:
        kept[:, int(kept.sum(axis=0).argmin())] += rest
    return np.asarray(kept)


def fisher_or_chi_square(table: Counts) -> float | None:
    """p-value of a two by two table: Fisher's exact test where counts are small; None where a sum is 0."""
    if not table.sum(axis=1).all() or not table.sum(axis=0).all():
        return None
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() >= FEWEST_EXPECTED:
        tested = chi_square(table[0], table[1])
        return None if tested is None else tested.p_value
    from scipy.stats import fisher_exact

    return float(fisher_exact(table).pvalue)


def _shares(side: Numbers) -> Floats:
    up_to = np.arange(1, side.n + 1) if side.up_to is None else side.up_to
    return np.asarray(np.append(0.0, up_to / side.n))


def _integral(side: Numbers, marks: Floats) -> Floats:
    """The integral of the quantile function from 0 to each mark."""
    shares = _shares(side)
    below = np.append(0.0, np.cumsum(side.values * np.diff(shares), dtype=np.float64))
    return np.asarray(np.interp(marks, shares, below))
