"""Losses per row, summaries of a model's quality, and the interval of a mean.

A model's outputs are a mapping: ``predict`` of shape ``(n_rows,)`` and, for classification,
``probability`` of shape ``(n_rows, n_classes)``, its columns in the order of the classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.answers import TEXT_LOSSES, text_losses
from headrace.checks.columns import for_each, is_missing
from headrace.checks.tasks import GENERATIVE
from headrace.core.errors import InvalidInput
from headrace.core.project import Task

Floats = NDArray[np.float64]
Outputs = Mapping[str, Any]
Label = str | float

SMALLEST_PROBABILITY = 1e-7
"""Probabilities are held this far from 0 and 1, about the resolution of float32, so that one row that
was predicted with certainty and wrongly has a large loss but not an infinite one."""
_OF_NUMBERS = ("mae", "mse", "smape", "pinball_10", "pinball_50", "pinball_90")
LOSSES: dict[Task, tuple[str, ...]] = {
    "classification": ("log_loss", "brier", "error_rate"),
    "regression": _OF_NUMBERS,
    "forecasting": _OF_NUMBERS,
    "anomaly_detection": ("mass_volume",),
    "clustering": ("silhouette_loss",),
    "text_generation": tuple(TEXT_LOSSES),
}
"""The losses that a model gate may judge by, each with one value per row; the first unless the project says
otherwise. Those without truth are in :mod:`headrace.checks.unlabelled`."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and the range that covers the true value with probability ``confidence``.

    Attributes:
        n: how many values it rests on. With fewer than two the range is infinite.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    n: int

    def evidence(self) -> dict[str, float | int | None]:
        """A JSON form, with null where a number is not finite."""
        values = {"estimate": self.estimate, "low": self.low, "high": self.high}
        bounds = {name: v if math.isfinite(v) else None for name, v in values.items()}
        return {**bounds, "confidence": self.confidence, "n": self.n}


def default_metric(task: Task) -> str:
    """The loss that ``task`` is judged by unless the project says otherwise."""
    return LOSSES[task][0]


def row_losses(metric: str, truth: Any, outputs: Outputs, *, classes: Sequence[Any] | None = None) -> Floats:
    """The loss of every row (smaller is better), shape ``(n_rows,)``.

    A row whose truth is null or whose prediction is not finite has the loss NaN.

    Args:
        metric: ``log_loss``, ``brier``, ``error_rate``; for numbers ``mae`` (absolute error), ``mse``
            (squared), ``smape`` (symmetric percentage, 0 to 2) or ``pinball_10``, ``_50`` and ``_90`` (of the
            quantile); for texts those of :mod:`headrace.checks.answers`.
        truth: the labels, shape ``(n_rows,)``.
        classes: labels of the columns of ``probability``. Without them they are concluded from
            ``predict``, which fails when several classes were never predicted.

    Raises:
        InvalidInput: an unknown metric, an output is missing, or shapes do not match.

    >>> row_losses("mae", np.array([1.0, 2.0]), {"predict": np.array([1.5, 2.0])}).tolist()
    [0.5, 0.0]
    """
    if metric in TEXT_LOSSES:
        return text_losses(metric, truth, _output(outputs, "predict", len(truth)))
    if metric not in _LOSSES:
        known = ", ".join((*_LOSSES, *TEXT_LOSSES))
        raise InvalidInput(f"Metric {metric!r} is not known. Expected one of: {known}.")
    loss = _LOSSES[metric]
    if metric in NUMERIC_LOSSES:
        return loss(_numbers(truth, "truth"), _predicted(outputs, len(truth)), None)
    labels = labels_of(truth)
    missing = np.array([label is None for label in labels], dtype=bool)
    if metric == "error_rate":
        losses = loss(labels, labels_of(_output(outputs, "predict", len(labels))), None)
    else:
        probability = probabilities(outputs, len(labels))
        losses = loss(labels, probability, _positions(labels, probability, outputs, classes))
    losses[missing] = np.nan
    return losses


def report(
    task: Task, truth: Any, outputs: Outputs, classes: Sequence[Any] | None = None
) -> dict[str, float]:
    """Everything worth knowing about a model on these rows; what cannot be measured is left out.

    Regression and forecasting: ``mae``, ``rmse``, ``r2``, ``mape`` (over rows whose truth is not 0).
    Classification: ``log_loss``, ``brier``, ``error_rate``, ``precision``, ``recall`` and confusion
    counts; for two classes the last is the positive one, its counts are ``true_positive`` and so on and
    ``auc`` is added; for more, precision and recall are means over classes and the counts are
    ``confusion_<true>_<predicted>`` by position in ``classes``.
    """
    if task in GENERATIVE:
        said = _output(outputs, "predict", len(truth))
        measured = {name: float(np.nanmean(text_losses(name, truth, said))) for name in TEXT_LOSSES}
    elif task != "classification":
        measured = _regression_report(_numbers(truth, "truth"), _predicted(outputs, len(truth)))
    else:
        measured = _classification_report(truth, outputs, classes)
    return {name: float(value) for name, value in measured.items() if math.isfinite(value)}


def mean_interval(values: Floats, confidence: float) -> Interval:
    """The interval of the mean of independent ``values``: Student's, widened where they are skewed.

    Losses are skewed, and Student's interval then covers too little. The correction is P. Hall's, "On
    the removal of skewness by transformation", JRSS B 54 (1992).

    Args:
        values: shape ``(n_rows,)``. A value that is not finite makes the interval NaN.
        confidence: such as 0.95.

    Raises:
        InvalidInput: no values, or a confidence outside (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    n = values.size
    if not 0 < confidence < 1:
        raise InvalidInput(
            f"The confidence is {confidence}. Expected a number between 0 and 1, such as 0.95."
        )
    if n == 0:
        raise InvalidInput("There are no rows to measure. Expected at least one.")
    mean = float(values.mean()) if np.isfinite(values).all() else math.nan
    if not math.isfinite(mean):
        return Interval(estimate=math.nan, low=math.nan, high=math.nan, confidence=confidence, n=n)
    if n < 2:
        return Interval(estimate=mean, low=-math.inf, high=math.inf, confidence=confidence, n=n)
    deviations = values - mean
    spread = float(np.sqrt((deviations**2).sum() / (n - 1)))
    if spread <= 1e-12 * abs(mean):
        return Interval(estimate=mean, low=mean, high=mean, confidence=confidence, n=n)
    skewness = float(((deviations / spread) ** 3).mean())
    below, above = reach_of(_student(n - 1, confidence) / math.sqrt(n), skewness, n)
    return Interval(
        estimate=mean, low=mean - spread * below, high=mean + spread * above, confidence=confidence, n=n
    )


class Reach(NamedTuple):
    """How far an interval reaches below and above its estimate, in standard deviations."""

    below: float
    above: float


def reach_of(symmetric: float, skewness: float, n: float) -> Reach:
    """Make room for skewness: the union of the symmetric interval and of Hall's.

    Alone, the symmetric one covers too little where values are skewed, and Hall's where they have heavy
    tails (benchmarks/check_statistics.py measures both).

    Args:
        symmetric: half the width of the symmetric interval, in standard deviations.
        skewness: of the ``n`` values.
    """
    if abs(skewness) < 1e-6:
        return Reach(symmetric, symmetric)
    return Reach(
        max(symmetric, _unskew(symmetric, skewness, n)), max(symmetric, -_unskew(-symmetric, skewness, n))
    )


def labels_of(values: Any) -> list[Label | None]:
    """Labels that compare equal when they mean the same: numbers as float, the rest as text."""
    listed = np.asarray(values).tolist() if not isinstance(values, list) else values
    return for_each(_label, listed)


def probabilities(outputs: Outputs, n_rows: int) -> Floats:
    """``probability`` as ``(n_rows, n_classes)``; a vector is taken as that of the last of two classes."""
    values = np.asarray(outputs.get("probability"), dtype=np.float64)
    if values.ndim == 1 and values.size == n_rows:
        values = np.column_stack([1 - values, values])
    if values.ndim != 2 or len(values) != n_rows:
        raise InvalidInput(
            f"The output 'probability' has shape {values.shape}. Expected ({n_rows}, n_classes)."
        )
    return values


def _label(value: Any) -> Label | None:
    if is_missing(value):
        return None
    return float(value) if isinstance(value, int | float | np.number | np.bool_) else str(value).strip()


def _numbers(values: Any, what: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"The {what} is not numeric ({error}). Expected numbers for this metric."
        ) from error


def _output(outputs: Outputs, name: str, n_rows: int) -> Any:
    if name not in outputs:
        raise InvalidInput(f"The model has no output {name!r} (has: {', '.join(outputs)}).")
    if len(outputs[name]) != n_rows:
        raise InvalidInput(
            f"Output {name!r} has {len(outputs[name])} rows. Expected {n_rows}, one per label."
        )
    return outputs[name]


def _predicted(outputs: Outputs, n_rows: int) -> Floats:
    return _numbers(_output(outputs, "predict", n_rows), "prediction")


def _positions(
    labels: list[Label | None], probability: Floats, outputs: Outputs, classes: Sequence[Any] | None
) -> dict[Label, int]:
    """Which column of ``probability`` belongs to which label."""
    n_classes = probability.shape[1]
    if classes is not None:
        if len(classes) != n_classes:
            raise InvalidInput(f"There are {len(classes)} classes but {n_classes} columns of probabilities.")
        return {label: i for i, label in enumerate(labels_of(list(classes))) if label is not None}
    predicted = labels_of(_output(outputs, "predict", len(labels)))
    certain = probability.argmax(axis=1)
    found = {label: int(i) for label, i in zip(predicted, certain, strict=True) if label is not None}
    rest = sorted(set(range(n_classes)) - set(found.values()))
    unknown = sorted({label for label in labels if label is not None and label not in found}, key=str)
    if len(unknown) > 1 or (unknown and len(rest) != 1):
        if len(unknown) == len(rest) and not found:
            return dict(zip(unknown, rest, strict=True))
        raise InvalidInput(
            f"It is not known which probability belongs to {unknown}: the model never predicted them here. "
            "Pass the model's classes."
        )
    return found | dict(zip(unknown, rest, strict=False))


def _true_probability(labels: list[Label | None], probability: Floats, positions: dict[Label, int]) -> Floats:
    """Probability given to what turned out true; 0 for a class that the model does not know."""
    at = np.array([-1 if label is None else positions.get(label, -1) for label in labels])
    chosen = probability[np.arange(len(at)), np.maximum(at, 0)]
    return np.where(at >= 0, chosen, np.where(np.isnan(chosen), np.nan, 0.0))


def _log_loss(labels: Any, probability: Floats, positions: Any) -> Floats:
    likely = _true_probability(labels, probability, positions)
    return np.asarray(-np.log(np.clip(likely, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)))


def _brier(labels: Any, probability: Floats, positions: Any) -> Floats:
    """Two classes: squared error of the positive class; more: sum over classes (Brier 1950)."""
    likely = _true_probability(labels, probability, positions)
    total = (probability**2).sum(axis=1) - 2 * likely + 1
    return np.asarray(total / 2 if probability.shape[1] == 2 else total)


def _error(labels: Any, predicted: Any, _: Any) -> Floats:
    losses = [math.nan if p is None else float(t != p) for t, p in zip(labels, predicted, strict=True)]
    return np.array(losses, dtype=np.float64)


def _finite(losses: Floats) -> Floats:
    return np.where(np.isfinite(losses), losses, np.nan)


def _symmetric(truth: Floats, predicted: Floats, _: Any) -> Floats:
    """Makridakis, International Journal of Forecasting 9 (1993); two zeros are no error."""
    size = np.abs(truth) + np.abs(predicted)
    return _finite(np.where(size > 0, 2 * np.abs(predicted - truth) / np.where(size > 0, size, 1), size))


def _pinball(quantile: float) -> Callable[[Floats, Floats, Any], Floats]:
    """Koenker and Bassett, Econometrica 46 (1978)."""

    def loss(truth: Floats, predicted: Floats, _: Any) -> Floats:
        short = truth - predicted
        return _finite(np.maximum(quantile * short, (quantile - 1) * short))

    return loss


_LOSSES: dict[str, Callable[[Any, Any, Any], Floats]] = {
    "log_loss": _log_loss,
    "brier": _brier,
    "error_rate": _error,
    "mae": lambda truth, predicted, _: _finite(np.abs(predicted - truth)),
    "mse": lambda truth, predicted, _: _finite((predicted - truth) ** 2),
    "smape": _symmetric,
    "pinball_10": _pinball(0.1),
    "pinball_50": _pinball(0.5),
    "pinball_90": _pinball(0.9),
}
NUMERIC_LOSSES = frozenset(LOSSES["regression"])
"""Losses of predicted numbers; the others are of classes."""


def _regression_report(truth: Floats, predicted: Floats) -> dict[str, float]:
    known = np.isfinite(truth) & np.isfinite(predicted)
    truth, predicted = truth[known], predicted[known]
    if not truth.size:
        return {}
    errors = predicted - truth
    total = float(((truth - truth.mean()) ** 2).sum())
    nonzero = truth != 0
    measured = {"mae": float(np.abs(errors).mean()), "rmse": math.sqrt(float((errors**2).mean()))}
    if total > 0:
        measured["r2"] = 1 - float((errors**2).sum()) / total
    if nonzero.any():
        measured["mape"] = float(np.abs(errors[nonzero] / truth[nonzero]).mean())
    return measured


def _classification_report(truth: Any, outputs: Outputs, classes: Sequence[Any] | None) -> dict[str, float]:
    labels = labels_of(truth)
    predicted = labels_of(_output(outputs, "predict", len(labels)))
    probability = probabilities(outputs, len(labels))
    positions = _positions(labels, probability, outputs, classes)
    measured = {
        metric: float(np.nanmean(losses))
        for metric in ("log_loss", "brier", "error_rate")
        if np.isfinite(losses := row_losses(metric, truth, outputs, classes=classes)).any()
    }
    pairs = [
        (positions[t], positions[p])
        for t, p in zip(labels, predicted, strict=True)
        if t in positions and p in positions
    ]
    counts = np.zeros((probability.shape[1],) * 2)
    np.add.at(counts, tuple(np.array(pairs, dtype=np.int64).reshape(-1, 2).T), 1)
    measured |= _counts_report(counts)
    if probability.shape[1] == 2:
        at = np.array([-1 if t is None else positions.get(t, -1) for t in labels])
        measured["auc"] = _auc(at[at >= 0] == 1, probability[at >= 0, 1])
    return measured


def _counts_report(counts: Floats) -> dict[str, float]:
    """Precision, recall and confusion counts; rows of ``counts`` are the truth."""
    hits, chosen, actual = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
    recall = np.divide(hits, actual, out=np.zeros_like(hits), where=actual > 0)
    if len(counts) == 2:
        named = {
            "true_negative": counts[0, 0],
            "false_positive": counts[0, 1],
            "false_negative": counts[1, 0],
            "true_positive": counts[1, 1],
        }
        return {"precision": precision[1], "recall": recall[1], **named}
    named = {f"confusion_{i}_{j}": count for (i, j), count in np.ndenumerate(counts)}
    return {"precision": float(precision.mean()), "recall": float(recall.mean()), **named}


def _auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """Share of pairs ranked rightly, ties counting half (Mann and Whitney 1947); NaN without pairs."""
    n_positive = int(positive.sum())
    n_pairs = n_positive * (positive.size - n_positive)
    if not n_pairs or not np.isfinite(score).all():
        return math.nan
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((mean_rank[positive].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def _student(degrees: int, confidence: float) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _unskew(value: float, skewness: float, n: float) -> float:
    """Inverse of Hall's cubic transformation of (mean - truth) / deviation."""
    return 3 / skewness * (float(np.cbrt(1 + skewness * (value - skewness / (6 * n)))) - 1)
