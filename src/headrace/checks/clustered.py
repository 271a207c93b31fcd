"""The interval of a mean over rows that come in groups, such as many rows of one customer.

Rows of a group are alike, so each says less than a row of its own would. Their mean is the same; its variance
is the jackknife's over groups (CR3: R. Bell and D. McCaffrey, Survey Methodology 28, 2002), which holds its
level best where a few groups have most of the rows (J. MacKinnon, M. Nielsen, M. Webb, Journal of Applied
Econometrics 38, 2023). Student's degrees of freedom are those of as many equal groups as these are worth (A.
Carter, K. Schnepel, D. Steigerwald, Review of Economics and Statistics 99, 2017). Groups of one row give
:func:`headrace.checks.metrics.mean_interval`. ``benchmarks/champion.py`` measures the coverage.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from headrace.checks.columns import labels
from headrace.checks.metrics import Floats, Interval, mean_interval, reach_of
from headrace.core.errors import InvalidInput


def clustered_interval(values: Floats, groups: Any, confidence: float) -> Interval:
    """The interval of the mean of ``values``, whose rows are independent between ``groups`` only.

    Args:
        values: shape ``(n_rows,)``. A value that is not finite makes the interval NaN.
        groups: what a row belongs to, shape ``(n_rows,)``; a null is a group of its own.
        confidence: such as 0.95.

    Raises:
        InvalidInput: as :func:`mean_interval`, or another number of groups than of values.

    >>> random = np.random.default_rng(0)
    >>> customers = np.repeat(np.arange(40), 25)
    >>> losses = random.normal(size=40)[customers] + random.normal(size=1000)
    >>> found, naive = clustered_interval(losses, customers, 0.95), mean_interval(losses, 0.95)
    >>> (found.high - found.low) / (naive.high - naive.low) > 3
    True
    """
    from scipy.special import stdtrit

    values = np.asarray(values, dtype=np.float64)
    plain = mean_interval(values, confidence)
    codes = _codes(groups)
    if codes.shape != values.shape:
        raise InvalidInput(f"{codes.size} groups for {values.size} values. Expected one for each.")
    n, sizes = values.size, np.bincount(codes).astype(np.float64)
    # Of one group, all that there is to know is how its rows differ.
    if sizes.size in (1, n) or not math.isfinite(plain.low) or plain.low == plain.high:
        return plain
    # How far the mean moves when a group is left out, were all of one size.
    moved = np.bincount(codes, weights=values - plain.estimate) / (1 - sizes / n)
    n_groups, square = sizes.size, float((moved**2).mean())
    if square * n_groups <= 1e-12 * float(((values - plain.estimate) ** 2).sum()):
        return plain  # rows cancel within every group: groups say nothing of how far the mean may be off
    degrees = max(n**2 / float((sizes**2).sum()) - 1, 1.0)
    symmetric = float(stdtrit(degrees, (1 + confidence) / 2)) / math.sqrt(n_groups)
    below, above = reach_of(symmetric, float((moved**3).mean()) / square**1.5, n_groups)
    scale = math.sqrt(square * (n_groups - 1) * n_groups) / n
    return Interval(
        estimate=plain.estimate,
        low=plain.estimate - scale * below,
        high=plain.estimate + scale * above,
        confidence=confidence,
        n=n,
    )


def _codes(groups: Any) -> Any:
    """Each row's group as a number; nulls are groups of one."""
    place: dict[Any, int] = {}
    codes = []
    for row, group in enumerate(labels(groups)):
        codes.append(place.setdefault(("row", row) if group is None else ("group", group), len(place)))
    return np.array(codes, dtype=np.int64)
