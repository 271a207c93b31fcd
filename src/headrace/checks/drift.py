"""Have the inputs, or the outputs, moved away from what the model was made from?

Two questions are kept apart. *Is there a difference at all?* is a test with a p-value: two-sample
Kolmogorov-Smirnov for numbers, two-sample chi-square for categories. *How large is it?* is a distance: how
many standard deviations the values have to be moved, how many of the rows changed their category, and over
bins the Population Stability Index, Jensen-Shannon and Kullback-Leibler divergence. With enough rows the
smallest difference is significant; with few rows the distances are noisy.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.distances import (
    chi_square,
    fisher_or_chi_square,
    js_divergence,
    kl_divergence,
    ks_test,
    psi,
    total_variation,
    wasserstein,
)
from headrace.checks.distributions import Categories, Counts, Distribution, Floats, Numbers, Rows, Side
from headrace.checks.profiles import Profile
from headrace.core.ports import Columns

__all__ = ["Profile", "Shift", "js_divergence", "kl_divergence", "psi", "shifts"]

FEWEST_PER_BIN = 10
"""Distances use bins in which at least this many current rows are expected: chance alone gives a Population
Stability Index of about (bins - 1) / rows, which with 20 bins and 30 rows would be 0.6."""
_PSEUDO_COUNT = 0.5
_MOST_LISTED = 10
_MANY_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One feature, compared with its reference. None is what could not be measured.

    Attributes:
        size: in standard deviations: :attr:`wasserstein` of numbers, twice :attr:`tvd` of categories (the
            same for two equally frequent ones), or twice the change of the share of nulls if that is more.
        wasserstein: how far a number has moved in the mean, in standard deviations of the reference.
        tvd: share of the rows that are in another category; total variation distance.
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
    size: float | None = None
    wasserstein: float | None = None
    tvd: float | None = None
    psi: float | None = None
    js: float | None = None
    kl: float | None = None
    ks: float | None = None
    p_value: float | None = None
    test: str = "none"
    n_reference: int
    n_current: int
    detail: dict[str, Any] = field(default_factory=dict)


def shifts(reference: Side, current: Side | Columns) -> list[Shift]:
    """Compare every column of ``reference``, in its order, with the present rows or with their sketches.

    The p-values are not corrected for the number of features; whoever raises an alarm has to.
    A feature without a column is reported with ``n_current`` 0. Text that comes where numbers are expected is
    no number: it counts as missing, and ``detail["current"]["text"]`` says how much of it there is.

    >>> from headrace.core.project import Column
    >>> before = Profile.fit({"km": np.arange(1000.0)}, [Column(name="km", role="numeric")])
    >>> (found,) = shifts(before, {"km": np.arange(1000.0) + 100})
    >>> round(found.size, 2), found.p_value < 0.001
    (0.35, True)
    """
    side = Rows(columns=current, kinds=reference.kinds) if isinstance(current, Mapping) else current
    names = list(reference.kinds)
    if not _is_large(side):
        return [_shift(name, reference.distribution(name), side.distribution(name)) for name in names]
    # Sorting lets other threads run; more than two would cost memory, which is a few columns at a time.
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda n: _shift(n, reference.distribution(n), side.distribution(n)), names))


def _is_large(side: Side) -> bool:
    return isinstance(side, Rows) and len(next(iter(side.columns.values()), ())) >= _MANY_ROWS


def _shift(name: str, reference: Distribution | None, current: Distribution | None) -> Shift:
    match reference, current:
        case (Numbers(), None):
            current = Numbers.of(np.empty(0))
        case (Categories(), None):
            current = Categories(counts={}, n=0, n_missing=0, n_distinct=0)
    match reference, current:
        case (Numbers(), Numbers()):
            return _numeric_shift(name, reference, current)
        case (Categories(), Categories()):
            return _categorical_shift(name, reference, current)
    rows = [0 if side is None else side.n + side.n_missing for side in (reference, current)]
    return Shift(feature=name, n_reference=rows[0], n_current=rows[1])


def _numeric_shift(name: str, reference: Numbers, current: Numbers) -> Shift:
    edges, before = reference.histogram()
    counts = np.append(current.counts(edges), current.n_missing)
    before = np.append(before, reference.n_missing)
    nulls = _missing_change(reference, current)
    moved = _moved(reference, current) if reference.n and current.n else None
    sizes = [size for size in (moved, None if nulls is None else 2 * nulls) if size is not None]
    # The bins beyond either end and the one for nulls are never merged: what falls there is news.
    return Shift(
        feature=name,
        size=max(sizes, default=None),
        wasserstein=moved,
        detail=_both_described(reference, current),
        **_distances(*_neighbours_merged(before, counts)),
        **_test_numbers(reference, current)._asdict(),
    )


def _moved(reference: Numbers, current: Numbers) -> float:
    """In standard deviations; of a constant, twice the share of the rows that are different now."""
    deviation = reference.moments[1]
    if deviation > 0:
        return wasserstein(reference, current) / deviation
    constant = reference.values[:1]
    same = current.rows_at(constant) - current.rows_at(constant, "left")
    return 2 * (1 - float(same[0]) / current.n)


def _missing_change(reference: Distribution, current: Distribution) -> float | None:
    totals = [side.n + side.n_missing for side in (reference, current)]
    if not all(totals):
        return None
    return abs(current.n_missing / totals[1] - reference.n_missing / totals[0])


def _described(side: Numbers) -> dict[str, Any]:
    noted = {name: count for name, count in side.notes.items() if count}
    counted: dict[str, float] = {}
    if side.n:
        counted = {"distinct": side.n_distinct, "mode_rows": float(np.diff(_rows_of(side, side.mode()))[0])}
    return {**side.summary(), **counted, "missing": side.n_missing, "n": side.n + side.n_missing, **noted}


def _both_described(reference: Numbers, current: Numbers) -> dict[str, Any]:
    """Either side, and of the value that most current rows have how many there are in each."""
    before, now = _described(reference), _described(current)
    if current.n:
        mode = current.mode()
        n_before = float(np.diff(_rows_of(reference, mode))[0])
        before |= {"at_mode": n_before}
        now |= {"mode": mode}
    return {"reference": before, "current": now}


def _rows_of(side: Numbers, value: float) -> Floats:
    """Rows below, and at or below, one value, ``(2,)``."""
    point = np.array([value]).astype(side.values.dtype)
    return np.array([side.rows_at(point, "left")[0], side.rows_at(point)[0]])


def _categorical_shift(name: str, reference: Categories, current: Categories) -> Shift:
    before, now = _by_category(reference, current)
    rows = reference.n + reference.n_missing, current.n + current.n_missing
    tested = chi_square(before, now, errors=(reference.count_error, current.count_error))
    merged = _rare_merged(before, now)
    tvd = total_variation(*(c / c.sum() for c in merged)) if all(rows) else None
    return Shift(
        feature=name,
        size=None if tvd is None else 2 * tvd,
        tvd=tvd,
        p_value=None if tested is None else tested.p_value,
        test="none" if tested is None else "chi2",
        n_reference=rows[0],
        n_current=rows[1],
        detail={
            "reference": _listed(reference),
            "current": _listed(current),
            "new": _top({k: c for k, c in current.counts.items() if k not in reference.counts}),
        },
        **_distances(*merged),
    )


class _Binned(NamedTuple):
    reference: Counts
    current: Counts


def _by_category(reference: Categories, current: Categories) -> _Binned:
    """Rows by the categories that both sides can tell apart; all others are one, nulls another.

    A side that names only its most frequent categories names some of them because chance made them frequent:
    those that do not stand out would look as if they became rarer since.
    """
    ratio = current.n / max(reference.n, 1)
    fewest = max(_fewest_that_stand_out(reference), _fewest_that_stand_out(current) / max(ratio, 1e-300))
    labels = dict.fromkeys([*reference.counts, *current.counts])
    named = [label for label in labels if not fewest or reference.counts.get(label, 0) > fewest]
    before, now = ([side.counts.get(label, 0) for label in named] for side in (reference, current))
    both = (
        np.array([*counts, side.n - sum(counts), side.n_missing], dtype=np.int64)
        for counts, side in ((before, reference), (now, current))
    )
    return _Binned(*(np.maximum(counts, 0) for counts in both))


def _fewest_that_stand_out(side: Categories) -> float:
    """Rows from which a category is named whatever chance did; 0 where all are named."""
    if side.n <= sum(side.counts.values()) and not side.count_error:
        return 0.0
    least = max(min(side.counts.values(), default=0), side.count_error)
    return least + 4 * float(np.sqrt(least))


def _listed(side: Categories) -> dict[str, Any]:
    return {
        "missing": side.n_missing,
        "n": side.n + side.n_missing,
        "distinct": side.n_distinct,
        "top": _top(side.counts),
    }


def _top(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:_MOST_LISTED])


def _distances(reference: Counts, current: Counts) -> dict[str, Any]:
    used = (reference > 0) | (current > 0)
    if not reference.sum() or not current.sum():
        return {}
    before, now = _smoothed(reference[used]), _smoothed(current[used])
    plain = js_divergence(reference[used] / reference.sum(), current[used] / current.sum())
    return {"psi": psi(before, now), "js": plain, "kl": kl_divergence(now, before)}


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
    """Merge the categories of the reference in which too few current rows are expected, and the new ones."""
    expected = reference * (current.sum() / max(reference.sum(), 1))
    is_new = reference == 0
    is_rare = (expected < FEWEST_PER_BIN) & ~is_new
    merged = (
        np.array([*c[~is_rare & ~is_new], c[is_rare].sum(), c[is_new].sum()]) for c in (reference, current)
    )
    return _Binned(*merged)


def _smoothed(counts: Counts) -> Floats:
    """Shares above 0: half a row more in every bin, so that an empty one has a finite distance."""
    return np.asarray((counts + _PSEUDO_COUNT) / (counts.sum() + _PSEUDO_COUNT * counts.size))


class _Tested(NamedTuple):
    p_value: float | None
    test: str
    n_reference: int
    n_current: int
    ks: float | None = None


def _test_numbers(reference: Numbers, current: Numbers) -> _Tested:
    """KS over the values and a test of the share of nulls, as one p-value (Bonferroni)."""
    p_nulls = fisher_or_chi_square(
        np.array([[reference.n, reference.n_missing], [current.n, current.n_missing]])
    )
    if not reference.n or not current.n:
        rows = reference.n + reference.n_missing, current.n + current.n_missing
        return _Tested(p_nulls, "none" if p_nulls is None else "nulls", *rows)
    ks, p_ks = ks_test(reference, current)
    if p_nulls is None:
        return _Tested(p_ks, "ks", reference.n, current.n, ks)
    return _Tested(min(1.0, 2 * min(p_ks, p_nulls)), "ks+nulls", reference.n, current.n, ks)
