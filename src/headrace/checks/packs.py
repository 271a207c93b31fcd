"""Every measure by name. Declared once, it runs on the test rows, at a gate and on live answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.checks.calibration import expected_calibration_error
from headrace.checks.clusters import calinski_harabasz, davies_bouldin, silhouette
from headrace.checks.metrics import (
    LOSSES,
    NUMERIC_LOSSES,
    Interval,
    Outputs,
    labels_of,
    mean_interval,
    probabilities,
    report,
    row_losses,
)
from headrace.checks.rankings import average_precision, ndcg, reciprocal_rank
from headrace.checks.tasks import UNSUPERVISED
from headrace.checks.unlabelled import average_precision as precision_by_score
from headrace.checks.unlabelled import common_scale, evenly
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import Columns
from headrace.core.project import MetricSpec, Task

Floats = NDArray[np.float64]
Better = Literal["smaller", "larger"]
ALL_TASKS: tuple[Task, ...] = ("classification", "regression", "forecasting", *UNSUPERVISED)
NUMERIC_TASKS: tuple[Task, ...] = ("regression", "forecasting")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows with what was answered and what turned out to be true.

    Attributes:
        truth: ``(n_rows,)``.
        outputs: ``predict`` and, for classification, ``probability``.
        columns: the model's inputs.
        classes: classification: labels of the columns of ``probability``.
        history: forecasting: known values of the target before these rows, in their order.
        lists: the list that each row is an item of, for rankings.
        stability, losses: without truth, of all test rows: how far refits agree, ``(n_refits,)``, and the
            losses of the gate. None of other rows, which are there because somebody labelled them.
    """

    truth: Any
    outputs: Outputs
    columns: Columns = field(default_factory=dict)
    classes: Sequence[Any] | None = None
    history: Floats | None = None
    lists: Any = None
    stability: Floats | None = None
    losses: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The value of a metric, and the values whose mean it is, ``(n,)``; none where it is no mean."""

    value: float
    values: Floats | None = None

    def interval(self, confidence: float) -> Interval | None:
        """Of the mean; None where it is no mean, or that of a single value."""
        if self.values is None or self.values.size < 2:
            return None
        return mean_interval(self.values, confidence)


Measure = Callable[[Scored], "Floats | float"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What can be measured.

    Attributes:
        measure: one value per row (or list), whose mean counts, or one number.
        better: which values are better; None where neither is.
    """

    name: str
    measure: Measure
    better: Better | None
    tasks: tuple[Task, ...]


def metric_of(name: str, task: Task) -> Metric:
    """The built-in metric of this name.

    Raises:
        NotFound: there is none for this task; the message lists those that there are.

    >>> metric_of("mae", "regression").better
    'smaller'
    """
    found = METRICS.get(name)
    if found is None or task not in found.tasks:
        known = ", ".join(sorted(known_metrics(task)))
        raise NotFound(
            f"There is no metric {name!r} for {task}. Headrace has: {known}. For one of your own, mark a "
            f'function in project.py with @headrace.metric("{name}").'
        )
    return found


def known_metrics(task: Task) -> frozenset[str]:
    """Names of the built-in metrics of a task."""
    return frozenset(name for name, metric in METRICS.items() if task in metric.tasks)


def measure_metric(spec: MetricSpec, task: Task, scored: Scored) -> Measured | None:
    """Measure a declared built-in metric; None where these rows cannot tell.

    Raises:
        NotFound: there is no such metric.
        InvalidInput: what it needs is not there.
    """
    if spec.by is not None:
        if spec.by not in scored.columns:
            raise InvalidInput(f"Metric {spec.name!r} needs the input {spec.by!r}, which these rows lack.")
        scored = replace(scored, lists=scored.columns[spec.by])
    return concluded(metric_of(spec.name, task).measure(scored))


def concluded(found: Floats | float) -> Measured | None:
    """A measure's result as a value: of several their mean; None where none is a number."""
    if isinstance(found, float | int | np.floating):
        return Measured(value=float(found)) if math.isfinite(found) else None
    known = np.asarray(found, dtype=np.float64)
    known = known[np.isfinite(known)]
    return Measured(value=float(known.mean()), values=known) if known.size else None


def _loss(name: str) -> Measure:
    return lambda scored: row_losses(name, scored.truth, scored.outputs, classes=scored.classes)


def _reported(name: str, task: Task) -> Measure:
    """A part of :func:`headrace.checks.metrics.report`."""
    return lambda scored: report(task, scored.truth, scored.outputs, scored.classes).get(name, math.nan)


def _rate(wrong: str, right: str) -> Measure:
    """Share of ``wrong`` among both; of more than two classes the mean over them, one against the rest."""

    def measure(scored: Scored) -> float:
        counts = confusion(scored)
        rates = []
        for index in range(len(counts)) if len(counts) > 2 else (1,):
            cells = cells_of(counts, index)
            total = cells[wrong] + cells[right]
            rates.append(cells[wrong] / total if total else math.nan)
        known = [rate for rate in rates if math.isfinite(rate)]
        return float(np.mean(known)) if known else math.nan

    return measure


def confusion(scored: Scored) -> NDArray[np.int64]:
    """Counts of true against predicted class, ``(n_classes, n_classes)``, in the order of the classes.

    Rows whose truth or answer is none of the classes are left out.

    Raises:
        InvalidInput: the classes are not known.
    """
    if scored.classes is None:
        raise InvalidInput("The classes are not known. Pass the model's classes.")
    place = {label: index for index, label in enumerate(labels_of(list(scored.classes)))}
    counts = np.zeros((len(place), len(place)), dtype=np.int64)
    for truth, said in zip(labels_of(scored.truth), labels_of(scored.outputs["predict"]), strict=True):
        if truth in place and said in place:
            counts[place[truth], place[said]] += 1
    return counts


def cells_of(counts: NDArray[np.int64], index: int) -> dict[str, int]:
    """True and false positives and negatives of one class against the rest."""
    hit = int(counts[index, index])
    missed, false_alarm = int(counts[index].sum()) - hit, int(counts[:, index].sum()) - hit
    rest = int(counts.sum()) - hit - missed - false_alarm
    return {
        "true_positive": hit,
        "false_negative": missed,
        "false_positive": false_alarm,
        "true_negative": rest,
    }


def _accuracy(scored: Scored) -> Floats:
    return np.asarray(1 - _loss("error_rate")(scored))


def _f1(scored: Scored) -> float:
    counts = confusion(scored)
    scores = []
    for index in range(len(counts)) if len(counts) > 2 else (1,):
        cells = cells_of(counts, index)
        wrong = cells["false_positive"] + cells["false_negative"]
        whole = 2 * cells["true_positive"] + wrong
        scores.append(2 * cells["true_positive"] / whole if whole else 0.0)
    return float(np.mean(scores))


def _balanced(scored: Scored) -> float:
    counts = confusion(scored)
    actual = counts.sum(axis=1)
    shown = actual > 0
    return float((np.diag(counts)[shown] / actual[shown]).mean()) if shown.any() else math.nan


def _calibration(scored: Scored) -> float:
    """Of two classes the last one's probability; of more the largest, and whether that class came true."""
    if scored.classes is None:
        raise InvalidInput("The classes are not known. Pass the model's classes.")
    labels = labels_of(scored.truth)
    given = probabilities(scored.outputs, len(labels))
    names = labels_of(list(scored.classes))
    chosen = given.argmax(axis=1) if given.shape[1] > 2 else np.full(len(labels), given.shape[1] - 1)
    said = given[np.arange(len(labels)), chosen]
    came_true = np.array([label == names[index] for label, index in zip(labels, chosen, strict=True)])
    known = np.isfinite(said) & np.array([label is not None for label in labels])
    if not known.any():
        return math.nan
    return expected_calibration_error(came_true[known], np.clip(said[known], 0, 1))


def _errors(scored: Scored) -> Floats:
    truth = np.asarray(scored.truth, dtype=np.float64)
    errors = np.asarray(scored.outputs["predict"], dtype=np.float64) - truth
    return np.where(np.isfinite(errors), errors, np.nan)


def _median_error(scored: Scored) -> float:
    errors = np.abs(_errors(scored))
    return float(np.nanmedian(errors)) if np.isfinite(errors).any() else math.nan


def scaled_errors(scored: Scored) -> Floats:
    """Absolute error over the mean absolute step of the history, per row; its mean is MASE.

    Hyndman and Koehler, International Journal of Forecasting 22 (2006). Below 1 the forecast is better than
    saying the last known value, one step ahead, was on the history.
    """
    history = np.zeros(0) if scored.history is None else np.asarray(scored.history, dtype=np.float64)
    steps = np.abs(np.diff(history[np.isfinite(history)]))
    if not steps.size or steps.mean() == 0:
        return np.full(len(scored.truth), np.nan)
    return np.asarray(np.abs(_errors(scored)) / steps.mean())


def _stability(scored: Scored) -> Floats:
    return np.zeros(0) if scored.stability is None else scored.stability


def _losses_kept(scored: Scored) -> Floats:
    return np.zeros(0) if scored.losses is None else scored.losses


def _flagged(scored: Scored) -> Floats:
    if scored.stability is None:
        return np.zeros(0)
    return np.array([label == 1.0 for label in labels_of(scored.outputs["predict"])], dtype=np.float64)


def _of_found(measure: Measure) -> Measure:
    """Of rows that somebody has labelled; nothing without any."""

    def measured(scored: Scored) -> Floats | float:
        known = np.array([label is not None for label in labels_of(scored.truth)], dtype=bool)
        return measure(scored) if known.any() else math.nan

    return measured


def _precision_by_score(scored: Scored) -> float:
    labels = labels_of(scored.truth)
    known = np.array([label is not None for label in labels], dtype=bool)
    is_one = np.array([label == 1.0 for label in labels], dtype=bool)
    return precision_by_score(is_one[known], probabilities(scored.outputs, len(labels))[known, 1])


def _of_clusters(measure: Callable[[Any, Any], Floats | float]) -> Measure:
    def measured(scored: Scored) -> Floats | float:
        if scored.stability is None:
            return math.nan
        rows = evenly({**scored.columns, "": np.asarray(scored.outputs["predict"])})
        clusters = rows.pop("")
        if not 2 <= len(set(clusters.tolist())) < len(clusters):
            return math.nan
        return measure(common_scale(rows), clusters)

    return measured


def _ranked(measure: Callable[[Any, Any, Any], Floats]) -> Measure:
    def measured(scored: Scored) -> Floats:
        if scored.lists is None:
            raise InvalidInput("A ranking metric needs lists. Name the input that tells them apart in 'by'.")
        truth = np.asarray(scored.truth, dtype=np.float64)
        score = np.asarray(scored.outputs["predict"], dtype=np.float64)
        known = np.isfinite(truth) & np.isfinite(score)
        if not known.any():
            return np.zeros(0)
        return measure(truth[known], score[known], np.asarray(scored.lists)[known])

    return measured


def _registry() -> Mapping[str, Metric]:
    metrics: dict[str, Metric] = {}

    def add(name: str, measure: Measure, better: Better | None, *tasks: Task) -> None:
        metrics[name] = Metric(name=name, measure=measure, better=better, tasks=tasks)

    for name in (*LOSSES["classification"], *LOSSES["regression"]):
        of = NUMERIC_TASKS if name in NUMERIC_LOSSES else ("classification",)
        add(name, _loss(name), "smaller", *of)
    for name in LOSSES["text_generation"]:
        add(name, _loss(name), "smaller", "text_generation")
    for name in ("precision", "recall", "auc"):
        found = _of_found(_reported(name, "classification"))
        add(name, found, "larger", "classification", "anomaly_detection")
    add("accuracy", _accuracy, "larger", "classification")
    add("balanced_accuracy", _balanced, "larger", "classification")
    add("f1", _f1, "larger", "classification")
    add("false_positive_rate", _rate("false_positive", "true_negative"), "smaller", "classification")
    add("false_negative_rate", _rate("false_negative", "true_positive"), "smaller", "classification")
    add("ece", _calibration, "smaller", "classification")
    add("rmse", _reported("rmse", "regression"), "smaller", *NUMERIC_TASKS)
    add("mape", _reported("mape", "regression"), "smaller", *NUMERIC_TASKS)
    add("r2", _reported("r2", "regression"), "larger", *NUMERIC_TASKS)
    add("bias", _errors, None, *NUMERIC_TASKS)
    add("median_error", _median_error, "smaller", *NUMERIC_TASKS)
    add("mase", scaled_errors, "smaller", "forecasting")
    add("ndcg", _ranked(ndcg), "larger", "regression")
    add("map", _ranked(average_precision), "larger", "regression")
    add("mrr", _ranked(reciprocal_rank), "larger", "regression")
    for task in UNSUPERVISED:
        add(LOSSES[task][0], _losses_kept, "smaller", task)
    add("stability", _stability, "larger", *UNSUPERVISED)
    add("flagged", _flagged, None, "anomaly_detection")
    add("average_precision", _of_found(_precision_by_score), "larger", "anomaly_detection")
    add("silhouette", _of_clusters(silhouette), "larger", "clustering")
    add("davies_bouldin", _of_clusters(davies_bouldin), "smaller", "clustering")
    add("calinski_harabasz", _of_clusters(calinski_harabasz), "larger", "clustering")
    return metrics


METRICS = _registry()
"""Name to metric."""
