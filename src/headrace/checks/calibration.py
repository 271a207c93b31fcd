"""Do probabilities mean what they say? Reliability, expected calibration error, Murphy's decomposition."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput

Floats = NDArray[np.float64]
BINS = 10


class Bin(NamedTuple):
    """Rows whose probability lies from ``low`` up to ``high``: what was said, and what came true."""

    low: float
    high: float
    n_rows: int
    said: float
    came_true: float


class Decomposition(NamedTuple):
    """Brier score = ``reliability - resolution + uncertainty + within``.

    Murphy, Journal of Applied Meteorology 12 (1973).

    Attributes:
        reliability: how far what was said is from what came true; 0 is best.
        resolution: how far the groups of rows are from the whole; more is better.
        uncertainty: of the truth itself, whatever is predicted.
        within: variation of the probabilities inside the bins, 0 when each holds one value (Stephenson,
            Coelho and Jolliffe, Weather and Forecasting 23, 2008).
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def reliability_table(came_true: Any, probability: Any, bins: int = BINS) -> list[Bin]:
    """The bins of equal width that hold rows, from 0 to 1.

    Args:
        came_true: 1 or 0 (or booleans), shape ``(n_rows,)``.
        probability: of its being 1, shape ``(n_rows,)``.

    Raises:
        InvalidInput: no rows, shapes that do not match, or a probability outside 0 to 1.

    >>> [b.n_rows for b in reliability_table([0, 1, 1], [0.1, 0.9, 0.95], bins=2)]
    [1, 2]
    """
    truth, said = _checked(came_true, probability)
    place = _places(said, bins)
    edges = np.linspace(0, 1, bins + 1)
    return [
        Bin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            n_rows=int((place == index).sum()),
            said=float(said[place == index].mean()),
            came_true=float(truth[place == index].mean()),
        )
        for index in np.unique(place)
    ]


def expected_calibration_error(came_true: Any, probability: Any, bins: int = BINS) -> float:
    """Mean gap between what was said and what came true, weighted by rows (Naeini et al., AAAI 2015).

    Of several classes give the largest probability, and whether that class came true.
    """
    table = reliability_table(came_true, probability, bins)
    n_rows = sum(one.n_rows for one in table)
    return sum(one.n_rows * abs(one.said - one.came_true) for one in table) / n_rows


def decompose_brier(came_true: Any, probability: Any, bins: int = BINS) -> Decomposition:
    """The Brier score of two classes in parts; see :class:`Decomposition`."""
    truth, said = _checked(came_true, probability)
    place = _places(said, bins)
    share = truth.mean()
    reliability = resolution = within = 0.0
    for index in np.unique(place):
        mine, true = said[place == index], truth[place == index]
        reliability += mine.size * (mine.mean() - true.mean()) ** 2
        resolution += mine.size * (true.mean() - share) ** 2
        gap = mine - mine.mean()
        within += float((gap**2).sum() - 2 * (gap * (true - true.mean())).sum())
    n = said.size
    return Decomposition(reliability / n, resolution / n, float(share * (1 - share)), within / n)


def _places(said: Floats, bins: int) -> NDArray[np.int64]:
    return np.minimum((said * bins).astype(np.int64), bins - 1)


def _checked(came_true: Any, probability: Any) -> tuple[Floats, Floats]:
    truth, said = np.asarray(came_true, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if truth.shape != said.shape or truth.ndim != 1 or not truth.size:
        raise InvalidInput(
            f"Truth has shape {truth.shape} and the probabilities {said.shape}. Expected one of each per row."
        )
    if not np.isin(truth, (0.0, 1.0)).all():
        raise InvalidInput("The truth holds something else than 0 and 1. Expected whether it came true.")
    if not ((said >= 0) & (said <= 1)).all():
        raise InvalidInput("A probability is outside 0 to 1. Expected probabilities, not scores.")
    return truth, said
