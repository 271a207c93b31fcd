"""Have the inputs, or the outputs, moved away from what the model was made from?

Two questions are kept apart. *Is there a difference at all?* is a test with a p-value: two-sample
Kolmogorov-Smirnov for numbers, two-sample chi-square for categories. *How large is it?* is a distance
between histograms: the Population Stability Index, Jensen-Shannon and Kullback-Leibler divergence. With
enough rows the smallest difference is significant; with few rows the distances are noisy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import label_counts, numbers
from headrace.checks.profiles import (
    NULL,
    OTHER,
    CategoricalProfile,
    Counts,
    Floats,
    NumericProfile,
    Profile,
    summarise,
)
from headrace.core.ports import Columns

__all__ = ["Profile", "Shift", "js_divergence", "kl_divergence", "psi", "shifts"]

FEWEST_EXPECTED = 5
"""The chi-square test wants at least this many expected rows per cell (Cochran 1954)."""
FEWEST_PER_BIN = 10
"""Distances use bins in which at least this many current rows are expected: chance alone gives a Population
Stability Index of about (bins - 1) / rows, which with 20 bins and 30 rows would be 0.6."""
_PSEUDO_COUNT = 0.5
_MOST_LISTED = 10


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One feature, compared with its reference. None is what could not be measured.

    Attributes:
        psi: Population Stability Index over the reference's bins or categories, nulls being one more; those
            too small for the number of current rows are merged.
        js: Jensen-Shannon divergence in bits, 0 to 1.
        kl: Kullback-Leibler divergence of the current rows from the reference, in nats.
        ks: largest distance between the distribution functions; numbers only.
        test: ``ks``, ``chi2``, ``ks+nulls``, ``nulls`` (only their share could be compared) or ``none``.
        n_reference, n_current: rows that the test rests on.
        detail: key statistics of either side, as JSON.
    """

    feature: str
    psi: float | None
    js: float | None
    kl: float | None
    ks: float | None
    p_value: float | None
    test: str
    n_reference: int
    n_current: int
    detail: dict[str, Any] = field(default_factory=dict)


class _Tested(NamedTuple):
    p_value: float | None
    test: str
    n_reference: int
    n_current: int
    ks: float | None = None


def shifts(profile: Profile, columns: Columns) -> list[Shift]:
    """Compare every feature of ``profile`` with the present rows, in the profile's order.

    The p-values are not corrected for the number of features; whoever raises an alarm has to.
    A feature without a column is reported with ``n_current`` 0.

    Raises:
        InvalidInput: a column that was numeric holds text.
    """
    return [_shift(name, feature, columns.get(name)) for name, feature in profile.features.items()]


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


def _shift(name: str, feature: NumericProfile | CategoricalProfile, values: Any) -> Shift:
    present = np.empty(0) if values is None else np.asarray(values)
    if isinstance(feature, NumericProfile):
        return _numeric_shift(name, feature, numbers(present, name))
    return _categorical_shift(name, feature, present)


def _numeric_shift(name: str, feature: NumericProfile, values: Floats) -> Shift:
    counts = feature.count(values)
    known = values[~np.isnan(values)]
    tested = _test_numbers(feature, known, int(counts[-1]))
    detail = {
        "reference": {**feature.summary, "missing": feature.n_missing, "n": feature.n},
        "current": {**summarise(known), "missing": int(counts[-1]), "n": int(values.size)},
    }
    # The bins beyond either end and the one for nulls are never merged: what falls there is news.
    return _measured(name, *_neighbours_merged(np.array(feature.counts), counts), tested, detail)


def _categorical_shift(name: str, feature: CategoricalProfile, values: NDArray[Any]) -> Shift:
    found = label_counts(values)
    expected: dict[str, int] = {**feature.counts, NULL: feature.n_missing}
    known: dict[str, int] = dict.fromkeys(expected, 0)
    new: dict[str, int] = {}
    for label, count in found.items():
        place = NULL if label is None else label
        if place not in known:
            new[place] = count
            place = OTHER
        known[place] = known.get(place, 0) + count
    reference = np.array([expected.get(place, 0) for place in known], dtype=np.int64)
    counts = np.array(list(known.values()), dtype=np.int64)
    detail = {
        "reference": {"missing": feature.n_missing, "n": feature.n, "top": _top(feature.counts)},
        "current": {"missing": found.get(None, 0), "n": len(values), "top": _top(found)},
        "new": _top(new),
    }
    p_value = _chi_square(reference, counts)
    tested = _Tested(p_value, "none" if p_value is None else "chi2", feature.n, len(values))
    return _measured(name, *_rare_merged(reference, counts), tested, detail)


def _top(counts: dict[Any, int]) -> dict[str, int]:
    listed = sorted(((str(k), c) for k, c in counts.items() if k is not None), key=lambda item: -item[1])
    return dict(listed[:_MOST_LISTED])


def _measured(
    name: str, reference: Counts, current: Counts, tested: _Tested, detail: dict[str, Any]
) -> Shift:
    used = (reference > 0) | (current > 0)
    distances: tuple[float | None, float | None, float | None] = (None, None, None)
    if reference.sum() and current.sum():
        before, now = _smoothed(reference[used]), _smoothed(current[used])
        plain = js_divergence(reference[used] / reference.sum(), current[used] / current.sum())
        distances = (psi(before, now), plain, kl_divergence(now, before))
    return Shift(
        feature=name,
        psi=distances[0],
        js=distances[1],
        kl=distances[2],
        detail=detail,
        **tested._asdict(),
    )


class _Binned(NamedTuple):
    reference: Counts
    current: Counts


def _neighbours_merged(reference: Counts, current: Counts) -> _Binned:
    """Merge inner bins with the next until enough current rows are expected in each."""
    expected = reference[1:-2] * (current.sum() / max(reference.sum(), 1))
    groups: list[list[int]] = [[]]
    filled = 0.0
    for position, rows in enumerate(expected.tolist(), start=1):
        if filled >= FEWEST_PER_BIN:
            groups.append([])
            filled = 0.0
        groups[-1].append(position)
        filled += rows
    if filled < FEWEST_PER_BIN and len(groups) > 1:
        last = groups.pop()
        groups[-1] += last
    merged = (
        np.array([c[0], *(c[group].sum() for group in groups), c[-2], c[-1]]) for c in (reference, current)
    )
    return _Binned(*merged)


def _rare_merged(reference: Counts, current: Counts) -> _Binned:
    """Merge the categories of the reference in which too few current rows are expected."""
    expected = reference * (current.sum() / max(reference.sum(), 1))
    is_rare = (expected < FEWEST_PER_BIN) & (reference > 0)
    merged = (np.append(c[~is_rare], c[is_rare].sum()) for c in (reference, current))
    return _Binned(*merged)


def _smoothed(counts: Counts) -> Floats:
    """Shares above 0: half a row more in every bin, so that an empty one has a finite distance."""
    return np.asarray((counts + _PSEUDO_COUNT) / (counts.sum() + _PSEUDO_COUNT * counts.size))


def _test_numbers(feature: NumericProfile, known: Floats, n_missing: int) -> _Tested:
    """KS over the values and a test of the share of nulls, as one p-value (Bonferroni)."""
    ks = p_ks = None
    if feature.sample.size and known.size:
        from scipy.stats import ks_2samp

        # Exact tables change nothing visible at these sizes and take seconds.
        tested = ks_2samp(feature.sample, known.astype(np.float32), method="asymp")
        ks, p_ks = float(tested.statistic), float(tested.pvalue)
    p_nulls = _test_nulls(feature, known.size, n_missing)
    if p_ks is None:
        return _Tested(p_nulls, "none" if p_nulls is None else "nulls", feature.n, known.size + n_missing)
    sizes = feature.sample.size, known.size
    if p_nulls is None:
        return _Tested(p_ks, "ks", *sizes, ks)
    return _Tested(min(1.0, 2 * min(p_ks, p_nulls)), "ks+nulls", *sizes, ks)


def _test_nulls(feature: NumericProfile, n_known: int, n_missing: int) -> float | None:
    """Fisher's exact test where counts are small, chi-square elsewhere; None if nothing is null."""
    table = np.array([[feature.n - feature.n_missing, feature.n_missing], [n_known, n_missing]])
    if not table.sum(axis=1).all() or not table.sum(axis=0).all():
        return None
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() >= FEWEST_EXPECTED:
        return _chi_square(table[0], table[1])
    from scipy.stats import fisher_exact

    return float(fisher_exact(table).pvalue)


def _chi_square(reference: Counts, current: Counts) -> float | None:
    """Two-sample chi-square; categories too rare to count are merged. None if fewer than two are left."""
    table = np.array([reference, current])
    rows = table.sum(axis=1)
    if not rows.all():
        return None
    total = table.sum(axis=0)
    is_rare = total * rows.min() / rows.sum() < FEWEST_EXPECTED
    rest = table[:, is_rare].sum(axis=1)
    kept = table[:, ~is_rare]
    if rest.sum():
        if rest.sum() * rows.min() / rows.sum() >= FEWEST_EXPECTED:
            kept = np.column_stack([kept, rest])
        elif kept.shape[1]:
            kept[:, int(kept.sum(axis=0).argmin())] += rest
    if kept.shape[1] < 2:
        return None
    from scipy.stats import chi2_contingency

    return float(chi2_contingency(kept, correction=False).pvalue)
