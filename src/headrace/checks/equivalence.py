"""Does the package answer as the original model does, also where training data never was?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import missing, numbers
from headrace.checks.metrics import Outputs, labels_of
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column
from headrace.core.release import Outcome4

NEVER_SEEN = "never seen in training"
_N_SAMPLE = 200
_MOST_VARIED = 100
_REACH = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """What the comparison found.

    Attributes:
        max_difference: largest difference: of predictions, in spreads of the original's (see
            :func:`compare_outputs`), or between probabilities; None where one side has no number.
        worst_row: position of that row; None without one.
        n_labels_differ: rows whose predicted label differs although the probabilities are not tied.
    """

    outcome: Outcome4
    reason: str
    max_difference: float | None
    n_rows: int
    worst_row: int | None = None
    n_labels_differ: int = 0
    tolerance: float = 0.0


def probes(columns: Columns, specs: Sequence[Column], seed: int) -> dict[str, NDArray[Any]]:
    """Rows to compare two models on: a sample, and one boundary after the other.

    Around a typical row, each input in turn takes its minimum, maximum and midpoint, values ten ranges
    beyond either end, 0 and null; a category takes each of the 20 most frequent, the first of them with
    blanks around it and in other case, null and one never seen.
    Then all inputs do so at once. Beyond 100 inputs, 100 are varied in turn.

    Raises:
        InvalidInput: no rows, or an input is missing.

    Returns:
        a table with the inputs only.
    """
    used = [spec for spec in specs if spec.role != "ignored"]
    for spec in used:
        if spec.name not in columns:
            raise InvalidInput(f"Column {spec.name!r} is missing (has: {', '.join(list(columns)[:20])}).")
    table = {spec.name: np.asarray(columns[spec.name]) for spec in used}
    n = len(next(iter(table.values()), ()))
    if not n:
        raise InvalidInput("There are no rows to make probes from. Expected at least one.")
    random = np.random.default_rng(seed)
    boundaries = {spec.name: edges_of(table[spec.name], spec) for spec in used}
    varied = [spec.name for spec in used]
    if len(varied) > _MOST_VARIED:
        varied = [varied[i] for i in np.sort(random.choice(len(varied), _MOST_VARIED, replace=False))]
    n_alone = sum(len(boundaries[name]) for name in varied)
    n_together = max(len(values) for values in boundaries.values())
    chosen = np.sort(random.choice(n, min(n, _N_SAMPLE), replace=False))
    made: dict[str, NDArray[Any]] = {}
    start = 0
    for name, values in table.items():
        edge = boundaries[name]
        alone = [_typical(values)] * n_alone
        if name in varied:
            alone[start : start + len(edge)] = edge
            start += len(edge)
        together = [edge[i % len(edge)] for i in range(n_together)]
        made[name] = _joined(values, [*values[chosen].tolist(), *alone, *together])
    return made


def compare_outputs(
    original: Outputs, package: Outputs, tolerance: float, *, spread: float | None = None
) -> Equivalence:
    """Hold the package's answers against the original's, row by row.

    ``failed`` when a prediction differs by more than ``tolerance`` spreads, a probability by more than
    ``tolerance``, or a label where the two likeliest classes are not that close. ``error`` when there is
    nothing to compare. Where both have no number they agree. A prediction further than one spread from the
    median is measured by its distance from it: float32 sums of many far inputs round in proportion to it.

    Args:
        spread: of the predictions; the interquartile range of the original's finite ones when None.
    """
    if "predict" not in original or not len(original["predict"]):
        reason = "the original model gave no predictions"
        return Equivalence(outcome="error", reason=reason, max_difference=None, n_rows=0, tolerance=tolerance)
    n = len(original["predict"])
    for name in original:
        before, after = np.shape(original[name]), np.shape(package.get(name, ()))
        if before != after:
            reason = f"output {name!r} has shape {after} in the package and {before} in the original"
            return Equivalence(
                outcome="failed", reason=reason, max_difference=None, n_rows=n, tolerance=tolerance
            )
    predicted = np.asarray(original["predict"])
    differences = row_differences(original, package, spread)
    probability = None
    if "probability" in original:
        probability = np.asarray(original["probability"], dtype=np.float64).reshape(n, -1)
    elif predicted.dtype.kind in "fiu":
        return _judged(differences, 0, tolerance)
    n_differ = _labels_differ(predicted, package["predict"], probability, tolerance)
    return _judged(differences, n_differ, tolerance)


def row_differences(original: Outputs, package: Outputs, spread: float | None = None) -> Floats:
    """How far the two answers to each row lie apart, ``(n_rows,)``, in the unit of :func:`compare_outputs`;
    0 of labels without probabilities."""
    predicted = np.asarray(original["predict"])
    n = len(predicted)
    if "probability" in original:
        probability = np.asarray(original["probability"], dtype=np.float64).reshape(n, -1)
        other = np.asarray(package["probability"], dtype=np.float64).reshape(n, -1)
        widest: Floats = _gaps(probability, other).max(axis=1)
        return widest
    if predicted.dtype.kind not in "fiu":
        return np.zeros(n)
    numeric = predicted.astype(np.float64)
    gaps = _gaps(numeric, np.asarray(package["predict"], dtype=np.float64))
    with np.errstate(over="ignore"):
        return gaps / _scale(numeric, spread or _spread(numeric))


def spread_of(outputs: Outputs) -> float | None:
    """The spread of predicted numbers by which :func:`compare_outputs` measures; None of classes."""
    if "predict" not in outputs or "probability" in outputs:
        return None
    return _spread(np.asarray(outputs["predict"], dtype=np.float64))


def _judged(differences: Floats, n_differ: int, tolerance: float) -> Equivalence:
    worst = int(differences.argmax())
    largest = float(differences[worst])
    is_same = largest <= tolerance and not n_differ
    if not math.isfinite(largest):
        reason = f"row {worst} has a number in one of the two only"
    elif n_differ:
        reason = f"{n_differ} of {differences.size} rows get another label"
    else:
        reason = f"the largest difference is {largest:.2g}, the tolerance {tolerance:.2g}"
    return Equivalence(
        outcome="passed" if is_same else "failed",
        reason=reason,
        max_difference=largest if math.isfinite(largest) else None,
        n_rows=differences.size,
        worst_row=worst,
        n_labels_differ=n_differ,
        tolerance=tolerance,
    )


def _gaps(before: Floats, after: Floats) -> Floats:
    """Absolute differences; 0 where neither is a finite number and they are alike, infinite where one is."""
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.abs(before - after)
    alike = (before == after) | (np.isnan(before) & np.isnan(after))
    return np.where(alike, 0.0, np.where(np.isnan(gaps), np.inf, gaps))


def _labels_differ(before: Any, after: Any, probability: Floats | None, tolerance: float) -> int:
    differ = np.array([a != b for a, b in zip(labels_of(before), labels_of(after), strict=True)], dtype=bool)
    if probability is not None and probability.shape[1] > 1:
        likeliest = np.sort(probability, axis=1)
        differ &= likeliest[:, -1] - likeliest[:, -2] > 2 * tolerance
    return int(differ.sum())


def _spread(values: Floats) -> float:
    """The interquartile range; of nearly constant predictions the largest size."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 1.0
    low, high = np.quantile(finite, [0.25, 0.75], method="inverted_cdf").tolist()
    return (high - low) or float(np.abs(finite).max()) or 1.0


def _scale(values: Floats, spread: float) -> Floats:
    """What each difference is held against: the spread, or how far the value lies from the median."""
    finite = values[np.isfinite(values)]
    centre = float(np.quantile(finite, 0.5, method="inverted_cdf")) if finite.size else 0.0
    distance = np.abs(values - centre)
    return np.maximum(spread, np.where(np.isfinite(distance), distance, spread))


def edges_of(values: NDArray[Any], spec: Column) -> list[Any]:
    """Values of one input at and beyond the edges of what it held, missing and never seen among them."""
    if values.dtype.kind == "b":
        return [True, False]
    if spec.role == "numeric" or values.dtype.kind in "fiu":
        known = numbers(values, spec.name)
        known = known[~np.isnan(known)]
        if not known.size:
            return [math.nan, 0.0]
        low, high = float(known.min()), float(known.max())
        reach = _REACH * ((high - low) or abs(high) or 1.0)
        return [low, high, (low + high) / 2, low - reach, high + reach, 0.0, math.nan]
    frequent = _most_frequent(values, 20)
    spelt = [f" {frequent[0]} ", frequent[0].swapcase()] if frequent and isinstance(frequent[0], str) else []
    return [*frequent, *spelt, NEVER_SEEN, None]


def _typical(values: NDArray[Any]) -> Any:
    """The median, or the most frequent value."""
    known = values[~missing(values)]
    if not known.size:
        return math.nan if values.dtype.kind == "f" else None
    if values.dtype.kind in "fiu":
        finite = known[np.isfinite(known)]
        return float(np.quantile(finite, 0.5, method="inverted_cdf")) if finite.size else math.nan
    return _most_frequent(values, 1)[0]


def _most_frequent(values: NDArray[Any], n: int) -> list[Any]:
    counts = Counter(values[~missing(values)].tolist())
    return sorted(counts, key=lambda value: (-counts[value], value))[:n]


def _joined(like: NDArray[Any], values: list[Any]) -> NDArray[Any]:
    if like.dtype.kind == "O":
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.array(values, dtype=bool if like.dtype.kind == "b" else np.float64)
