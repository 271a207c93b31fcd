"""Which labels are probably wrong, by what models say that have not learnt from them.

Classes: confident learning (Northcutt, Jiang and Chuang, Journal of Artificial Intelligence Research 70,
2021). A model is sure of a class where it gives at least the probability that rows with that label get on
average, so that a class which is hard to tell, or that a model is too sure of, does not count against its
rows. Numbers: a residual that is far beyond those of rows with about the same prediction.

It is a list for people to look at: a row may be rare and right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.outliers import usual_limits

Floats = NDArray[np.float64]
LEAST_ODDS = 9.0
"""How many times likelier than its own another class must be, for a row to be called mislabelled."""
FEWEST = 50
"""Rows below which nothing is said; of a class, a fifth of it."""
_NEIGHBOURS = 100
"""Rows with the next predictions, whose residuals say how far off is usual."""


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One row whose label is probably wrong.

    Attributes:
        row: position, from 0.
        reason: which class it looks like, or on which side the number is.
        likely: what the models say instead.
        score: of classes how many times likelier that is; of numbers the residual, in usual deviations.
    """

    row: int
    reason: str
    given: Any
    likely: Any
    score: float


def doubtful_classes(codes: NDArray[np.int64], probability: Floats, classes: Sequence[Any]) -> list[Doubt]:
    """Rows whose class is probably another one, the surest first.

    Args:
        codes: positions of the given labels among ``classes``, ``(n_rows,)``; -1 where there is none.
        probability: out of fold, ``(n_rows, n_classes)``.

    >>> codes = np.repeat([0, 1], 50)
    >>> sure = np.where(codes == 0, 0.95, 0.05)
    >>> codes[7] = 1
    >>> [(one.row, one.likely) for one in doubtful_classes(codes, np.column_stack([sure, 1 - sure]), "ab")]
    [(7, 'a')]
    """
    known = np.flatnonzero((codes >= 0) & np.isfinite(probability).all(axis=1))
    if len(known) < FEWEST:
        return []
    given, said = codes[known], np.clip(probability[known], 1e-7, 1.0)
    own = said[np.arange(len(known)), given]
    # Of a class with hardly any rows nothing is known: nobody is sure of it.
    counts = np.bincount(given, minlength=said.shape[1])
    usual = np.bincount(given, weights=own, minlength=said.shape[1]) / np.maximum(counts, 1)
    usual[counts < FEWEST / 5] = np.inf
    # A mean of equal numbers may be the next number above them.
    sure = np.where(said >= usual * (1 - 1e-9), said, 0.0)
    likely = sure.argmax(axis=1)
    odds = sure[np.arange(len(known)), likely] / own
    found = np.flatnonzero((likely != given) & (odds >= LEAST_ODDS))
    listed = [
        Doubt(
            row=int(known[at]),
            reason=f"is {classes[int(given[at])]} and looks like {classes[int(likely[at])]}",
            given=classes[int(given[at])],
            likely=classes[int(likely[at])],
            score=float(odds[at]),
        )
        for at in found
    ]
    return sorted(listed, key=lambda one: (-one.score, one.row))


def doubtful_numbers(truth: Floats, predicted: Floats) -> list[Doubt]:
    """Rows whose number is probably another one, the farthest off first.

    How far off is usual is told by the median residual of the 100 rows with the nearest predictions, because
    dear things are mispriced by more than cheap ones; the limit, by the rule for outliers, which grows with
    the number of rows.

    Args:
        truth: ``(n_rows,)``, NaN where there is none.
        predicted: out of fold, ``(n_rows,)``.
    """
    known = np.flatnonzero(np.isfinite(truth) & np.isfinite(predicted))
    if len(known) < FEWEST:
        return []
    order = known[np.argsort(predicted[known], kind="stable")]
    residuals = truth[order] - predicted[order]
    scaled = residuals / np.maximum(_usual(np.abs(residuals)), 1e-12)
    low, high = usual_limits(scaled)
    beyond = np.flatnonzero((scaled < low) | (scaled > high))
    listed = [
        Doubt(
            row=int(order[at]),
            reason=f"is far {'above' if scaled[at] > 0 else 'below'} what rows like it have",
            given=float(truth[order[at]]),
            likely=float(predicted[order[at]]),
            score=float(scaled[at]),
        )
        for at in beyond
    ]
    return sorted(listed, key=lambda one: (-abs(one.score), one.row))


def summary(doubts: Sequence[Doubt], rows: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
    """Each reason with its number of rows and the five surest of them, without any number; JSON.

    Args:
        rows: where the rows stand in a larger table; rows are told from 1.
    """
    found: dict[str, list[int]] = {}
    for one in doubts:
        found.setdefault(one.reason, []).append(one.row if rows is None else int(rows[one.row]))
    return [
        {"reason": reason, "rows": len(at), "first": [row + 1 for row in at[:5]]}
        for reason, at in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def _usual(sizes: Floats) -> Floats:
    """The median of the sizes around each, ``(n_rows,)``, as a deviation of normal values."""
    width = min(_NEIGHBOURS, len(sizes))
    medians = np.median(np.lib.stride_tricks.sliding_window_view(sizes, width), axis=1)
    places = np.clip(np.arange(len(sizes)) - width // 2, 0, len(medians) - 1)
    return np.asarray(medians[places] / 0.6744897501960817)
