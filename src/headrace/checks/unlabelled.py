"""How good is a model that no truth can judge? From the rows and its answers alone.

All of it compares models on the same rows; none of it says whether an anomaly is one that somebody looks for,
or whether clusters mean anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.clusters import silhouette
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns

Floats = NDArray[np.float64]
Ask = Callable[[Columns], Mapping[str, Any]]
MOST_ROWS = 5_000
_DRAWS = 10
_SEED = 2016
_NORMAL = 1.4826
"""Median absolute deviations in a standard deviation of a normal distribution."""


def losses_without_truth(metric: str, ask: Ask, columns: Columns, *, seed: int = 0) -> Floats:
    """The loss of each row, smaller is better; of at most 5,000 rows, evenly spaced.

    Args:
        metric: ``mass_volume``: how much of the space the model calls more normal than the row, 0 to 1. The
            mean is the area under the mass-volume curve, and 0.5 is what chance has. ``silhouette_loss``: 1
            minus the silhouette of the row, 0 to 2; 1 where there is only one cluster.
        ask: the model: columns in, ``predict`` and ``probability`` out.
        columns: its inputs.
        seed: of the points that are drawn; models are compared on the same ones.

    Raises:
        InvalidInput: another metric, or no rows.
    """
    rows = evenly(columns)
    if metric == "mass_volume":
        return _volumes(ask, rows, np.random.default_rng([_SEED, seed]))
    if metric == "silhouette_loss":
        clusters = np.asarray(ask(rows)["predict"])
        if not 2 <= len(set(clusters.tolist())) < len(clusters):
            return np.ones(len(clusters))
        return np.asarray(1 - silhouette(common_scale(rows), clusters))
    raise InvalidInput(f"{metric!r} needs truth. Expected mass_volume or silhouette_loss.")


def evenly(columns: Columns) -> dict[str, NDArray[Any]]:
    """At most 5,000 rows, evenly spaced. Raises InvalidInput without rows."""
    chosen = spaced(len(next(iter(columns.values()), ())))
    return {name: np.asarray(values)[chosen] for name, values in columns.items()}


def spaced(n_rows: int) -> NDArray[np.int64]:
    """Positions of at most 5,000 of so many rows, evenly spaced. Raises InvalidInput without rows."""
    if not n_rows:
        raise InvalidInput("There are no rows to measure. Expected at least one.")
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, MOST_ROWS)).round().astype(np.int64))


def common_scale(columns: Columns) -> Floats:
    """Rows as numbers whose distances compare, ``(n_rows, n_features)``.

    Numbers less their median, in robust standard deviations, 0 where missing; of anything else a column per
    value, so that two rows that differ in it are 1 apart.
    """
    parts: list[Floats] = []
    for values in columns.values():
        array = np.asarray(values)
        if array.dtype.kind in "fiu":
            parts.append(scaled(array.astype(np.float64))[:, None])
        else:
            _, place = np.unique([str(value) for value in array.tolist()], return_inverse=True)
            parts.append(np.eye(int(place.max()) + 1)[place] / np.sqrt(2))
    return np.concatenate(parts, axis=1)


def scaled(values: Floats) -> Floats:
    """Numbers less their median, in robust standard deviations; 0 where missing."""
    middle, spread = middle_and_spread(values)
    return np.where(np.isfinite(values), (values - middle) / spread, 0.0)


def middle_and_spread(values: Floats) -> tuple[float, float]:
    """Median and robust standard deviation of the finite numbers; the plain one where half are equal.

    >>> middle_and_spread(np.array([1.0, 2.0, 3.0, np.nan]))
    (2.0, 1.4826)
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    middle = float(np.median(known))
    spread = _NORMAL * float(np.median(np.abs(known - middle))) or float(known.std())
    return middle, spread or 1.0


def _volumes(ask: Ask, rows: Columns, random: np.random.Generator) -> Floats:
    """Each row against ten points of its own, drawn evenly from the box around all rows; ties count half.

    The mean over rows is the area under the mass-volume curve of Clemencon and Jakubowicz (AISTATS 2013), by
    which Goix compares anomaly detectors without labels ("How to evaluate the quality of unsupervised anomaly
    detection algorithms?", 2016). Since no two rows share a point, the losses are independent of each other.
    """
    score = _score(ask(rows))
    below = np.zeros(len(score))
    for _ in range(_DRAWS):
        drawn = _score(ask({name: _even(np.asarray(values), random) for name, values in rows.items()}))
        below += (drawn < score) + 0.5 * (drawn == score)
    return np.asarray(below / _DRAWS)


def _even(values: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """As many values, evenly from the range of numbers or from the categories; as many missing as here."""
    if values.dtype.kind == "i":
        return random.integers(values.min(), values.max(), size=len(values), endpoint=True, dtype=np.int64)
    if values.dtype.kind not in "fu":
        names = sorted({value for value in values.tolist() if value is not None}, key=str) or [None]
        drawn = np.array(names, dtype=values.dtype)[random.integers(len(names), size=len(values))]
        absent = np.array([value is None for value in values.tolist()])
        if absent.any():
            drawn[absent[random.permutation(len(values))]] = None
        return drawn
    known = values[np.isfinite(values)]
    if not known.size:
        return values
    # In halves: a range may be beyond the largest float.
    low, high = float(known.min()) / 2, float(known.max()) / 2
    drawn = 2 * (low + random.random(len(values)) * (high - low))
    return np.where(np.isfinite(values)[random.permutation(len(values))], drawn, np.nan)


def _score(answers: Mapping[str, Any]) -> Floats:
    return np.asarray(answers["probability"], dtype=np.float64)[:, 1]


def overlap(score: Any, other: Any, budget: float) -> float:
    """How far two rankings agree on which rows to look at: those in both over those in either (Jaccard 1901).

    Args:
        score, other: of the same rows, larger is more unusual.
        budget: share of the rows that is looked at; at least one row.

    >>> overlap([0.9, 0.8, 0.1, 0.2], [0.9, 0.1, 0.8, 0.2], 0.5)
    0.3333333333333333
    """
    n_rows = max(1, round(budget * len(score)))
    mine, theirs = (set(np.argsort(-np.asarray(s), kind="stable")[:n_rows].tolist()) for s in (score, other))
    return len(mine & theirs) / len(mine | theirs)


def average_precision(is_one: Any, score: Any) -> float:
    """Area under precision against recall, as the sum over its steps; rows of equal score count together.

    NaN where no row is one.

    >>> average_precision([False, True, True], [0.1, 0.8, 0.9])
    1.0
    """
    hits, values = np.asarray(is_one, dtype=bool), np.asarray(score, dtype=np.float64)
    if not hits.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)
    found = np.cumsum(hits[order])[last]
    looked = np.flatnonzero(last) + 1
    steps = np.diff(found, prepend=0) / hits.sum()
    return float((steps * found / looked).sum())
