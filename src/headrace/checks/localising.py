"""Which rows a shift is in: since when, and in which segment. Diagnosis of what has been found, no test.

Values are counted in the bins of a profile, so that numbers and categories are one matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import known_numbers, labels
from headrace.checks.profiles import FeatureProfile, NumericProfile

MOST_SLOTS = 512
"""A window's times are told apart this finely."""
_LEAST_EVIDENCE = 0.001
"""A segment whose own rows differ by chance as often as that is not named."""
_MOST_ELSEWHERE = 0.2
"""Divergence of the other rows, in parts of the segment's own, up to which the shift is in the segment."""

Codes = NDArray[np.int64]
Counts = NDArray[np.float64]


class Onset(NamedTuple):
    """When a shift began: ``began`` is a time of the window, ``datetime64[us]``.

    ``before`` says that its first rows have it already: it may have begun earlier.
    """

    began: np.datetime64
    before: bool


def codes_of(profile: FeatureProfile, values: NDArray[Any]) -> tuple[Codes, Counts]:
    """The bin of each value, ``(n_rows,)``, and how many of the profile's own rows are in each bin.

    Nulls are one bin, and categories that the profile never saw another.
    """
    if isinstance(profile, NumericProfile):
        known, _ = known_numbers(values)
        places = np.where(np.isnan(known), len(profile.counts) - 1, np.searchsorted(profile.edges, known))
        return places.astype(np.int64), np.array(profile.counts, dtype=np.float64)
    index: dict[str | None, int] = {name: place for place, name in enumerate(profile.counts)}
    unseen = len(index)
    index[None] = unseen + 1
    places = np.array([index.get(name, unseen) for name in labels(values)], dtype=np.int64)
    return places, np.array([*profile.counts.values(), 0, profile.n_missing], dtype=np.float64)


def onset(profile: FeatureProfile, values: NDArray[Any], times: NDArray[np.datetime64]) -> Onset | None:
    """The time from which the rows are likeliest to be of another distribution than the profile's.

    The maximum of the likelihood over all splits into rows like the profile's and later rows of any one
    distribution (Hinkley, Biometrika 57, 1970). None without rows.

    Args:
        values: of the window's rows, ``(n_rows,)``.
        times: event times of the same rows, in any order.

    >>> before = NumericProfile.fit(np.random.default_rng(0).normal(size=5000))
    >>> hours = np.datetime64("2026-03-01", "us") + np.arange(168) * np.timedelta64(1, "h")
    >>> moved = np.random.default_rng(1).normal(size=168) + 3.0 * (np.arange(168) >= 100)
    >>> onset(before, moved, hours).began
    np.datetime64('2026-03-05T04:00:00.000000')
    """
    if not len(values):
        return None
    codes, reference = codes_of(profile, values)
    moments = times.astype("datetime64[us]").astype(np.int64)
    distinct, slots = np.unique(moments, return_inverse=True)
    if distinct.size > MOST_SLOTS:
        distinct, slots = _in_slots(moments)
    table = np.zeros((distinct.size, reference.size))
    np.add.at(table, (slots, codes), 1.0)
    later = table[::-1].cumsum(axis=0)[::-1]
    expected = (reference + 0.5) / (reference + 0.5).sum()
    shares = later / later.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        evidence = np.where(later > 0, later * np.log(shares / expected), 0.0).sum(axis=1)
    first = int(evidence.argmax())
    return Onset(np.datetime64(int(distinct[first]), "us"), first == 0)


def _in_slots(moments: Codes) -> tuple[Codes, Codes]:
    """First moments of slots of equal length that have rows, and the slot of each row."""
    start, length = moments.min(), (moments.max() - moments.min()) // MOST_SLOTS + 1
    which = (moments - start) // length
    order = np.argsort(moments, kind="stable")
    _, first, inverse = np.unique(which[order], return_index=True, return_inverse=True)
    slots = np.empty_like(moments)
    slots[order] = inverse
    return moments[order][first], slots


class Place(NamedTuple):
    """The segment that a shift is in, and its share of the window's rows."""

    column: str
    segment: str
    share: float


def place_of(
    codes: tuple[Codes, Codes], segments: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], fewest: int
) -> Place | None:
    """The segment whose rows have changed while the others have not; None where there is none.

    Of several the one that holds most of the change.

    Args:
        codes: bins of the rows before and now, as :func:`codes_of` gives them.
        segments: by column, the segments of the same rows before and now; None is a missing value.
        fewest: rows that a segment and its others must have, before and now.
    """
    before, now = codes
    n_bins = int(max(before.max(initial=0), now.max(initial=0))) + 1
    best, most = None, 0.0
    for column, (was, present) in segments.items():
        for name in sorted(set(present.tolist()) - {None}):
            inside = _counted(before[was == name], now[present == name], n_bins)
            outside = _counted(before[was != name], now[present != name], n_bins)
            if min(inside.sum(axis=1).min(), outside.sum(axis=1).min()) < fewest:
                continue
            moved = _divergence(inside)
            if _chance(inside) > _LEAST_EVIDENCE or _divergence(outside) > _MOST_ELSEWHERE * moved:
                continue
            share = float((present == name).mean())
            if moved * share > most:
                best, most = Place(column, str(name), share), moved * share
    return best


def _counted(before: Codes, now: Codes, n_bins: int) -> Counts:
    sides = [np.bincount(side, minlength=n_bins).astype(np.float64) for side in (before, now)]
    return np.array(sides)


def _divergence(counts: Counts) -> float:
    """Jensen-Shannon divergence in nats, less what chance makes of it (Miller and Madow's correction)."""
    n = counts.sum(axis=1)
    shares = counts / n[:, None]
    middle = shares.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        js = np.where(shares > 0, shares * np.log(shares / middle), 0.0).sum() / 2
    n_filled = int((middle > 0).sum())
    return max(float(js) - (n_filled - 1) * float((1 / n).sum()) / 8, 0.0)


def _chance(counts: Counts) -> float:
    """p-value of both sides having one distribution: chi-square of homogeneity."""
    from scipy.special import chdtrc

    filled = counts[:, counts.sum(axis=0) > 0]
    if filled.shape[1] < 2:
        return 1.0
    expected = filled.sum(axis=1, keepdims=True) * filled.sum(axis=0) / filled.sum()
    return float(chdtrc(filled.shape[1] - 1, ((filled - expected) ** 2 / expected).sum()))
