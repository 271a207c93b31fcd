"""How good were the answers, now that the truth is known, and is that worse than on the test rows?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import readable
from headrace.checks.cusum import HORIZON, Alarm, Cusum
from headrace.checks.metrics import labels_of, mean_interval, row_losses
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.ingest import as_numbers
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.monitoring.labelled import Looks, Part, by_release, changed_rows, labelled_windows
from headrace.monitoring.watch import FEW, LEVEL, Round, Watch
from headrace.monitoring.windows import Window, as_utc, window_of

UNKNOWN = "n_unknown"
"""In the detail of a loss and the evidence of a finding: labels of a class that the model does not know. How
many, and not which: what is measured outlives the rows of whoever is erased."""


def watch_performance(watch: Watch) -> Round:
    """Join the labels that have come and (re)compute the loss of each window they touch.

    A window is measured again when more of its labels are in: the measurement with the most rows
    is the present one.
    """
    found, changed = Round([], []), changed_rows(watch)
    few = watch.project.monitors.min_rows < FEW
    labelled = changed.rows
    if few and len(labelled):  # a sum goes over all windows
        labelled = labelled_rows(watch.project.name, watch.tables, as_text=changed.as_text)
    metric = watch.project.gates.model.metric
    looks = Looks(watch, metric)
    for release_id, rows in by_release(labelled):
        losses = losses_of(metric, rows, watch.baseline_of(release_id).classes)
        # A label or an answer that is no number where one is needed says nothing, and spoils no mean.
        measurable = np.isfinite(losses)
        mine, losses = rows.of(measurable), losses[measurable]
        if not losses.size:
            continue
        _measure_windows(watch, release_id, mine, looks, found)
        if few:
            sudden = _sudden(watch, release_id, mine, losses)
            found.findings.extend([] if sudden is None else [sudden])
    return found


def losses_of(metric: str, mine: Labelled, classes: Sequence[Any] | None) -> NDArray[np.float64]:
    """Losses of one release's rows, ``(n_rows,)``; NaN where truth or answer are none.

    ``classes`` are the release's, None where it answers with numbers.
    """
    if not len(mine):
        return np.zeros(0)
    if classes is None:
        return np.asarray(row_losses(metric, _numeric_truth(mine), mine.outputs))
    # Another release may tell more classes apart: its columns are not this one's.
    probability = mine.outputs.get("probability")
    own = {} if probability is None else {"probability": probability[:, : len(classes)]}
    return np.asarray(row_losses(metric, mine.truth, mine.outputs | own, classes=classes))


def of_no_class(truth: Any, classes: Sequence[Any] | None) -> list[str]:
    """The labels of a class that a model does not know; each counts as answered wrong.

    >>> of_no_class(["yes", "maybe", None, " no "], ["no", "yes"])
    ['maybe']
    """
    known = set(labels_of(list(classes or ())))
    return [readable(one) for one in labels_of(truth) if classes and one is not None and one not in known]


def _measure_windows(watch: Watch, release_id: str, mine: Labelled, looks: Looks, found: Round) -> None:
    metric, classes = watch.project.gates.model.metric, watch.baseline_of(release_id).classes
    for part in labelled_windows(watch, release_id, mine):
        losses = losses_of(metric, part.rows, classes)
        n_unknown = len(of_no_class(part.rows.truth, classes))
        measured = _loss(watch, part, losses, n_unknown)
        if measured.id not in looks.seen:
            found.measurements.append(measured)
            level = looks.level(part, watch.level(1))
            finding = None if level is None else _degraded(watch, part.window, losses, level, n_unknown)
            found.findings.extend([] if finding is None else [finding])


def _degraded(
    watch: Watch, window: Window, losses: NDArray[np.float64], level: float, n_unknown: int
) -> Finding | None:
    """Worse than the test rows by evidence (one-sided Welch test) and by size (ratio of means)."""
    baseline, monitors = watch.baseline_of(window.release_id), watch.project.monitors
    if losses.size < watch.fewest or baseline.loss <= 0:
        return None
    ratio, p_value = float(losses.mean()) / baseline.loss, _welch(losses, baseline.losses)
    if p_value > level or ratio < monitors.loss_ratio:
        return None
    evidence = {
        "test": "welch, one-sided",
        "p_value": p_value,
        "level": level,
        "reference": baseline.loss,
        "observed": float(losses.mean()),
        "n_labels": int(losses.size),
        **({UNKNOWN: n_unknown} if n_unknown else {}),
    }
    return _worse(watch, window, ratio, evidence)


def _sudden(watch: Watch, release_id: str, mine: Labelled, losses: NDArray[np.float64]) -> Finding | None:
    """With few rows a window, a cumulative sum notices within days what no single window can.

    Numbers are watched by their signed residuals, on both sides: a model that is suddenly always too
    high shows long before the size of its errors does.
    """
    baseline, monitors = watch.baseline_of(release_id), watch.project.monitors
    if baseline.losses.size < FEW or baseline.loss <= 0:
        return None
    order = np.argsort(mine.event_time, kind="stable")
    times, losses = mine.event_time[order], losses[order]
    sides = [(baseline.losses, losses)]
    if baseline.residuals.size:
        residuals = _numeric_truth(mine) - mine.outputs["predict"]
        sides = [(sign * baseline.residuals, sign * residuals[order]) for sign in (1.0, -1.0)]
    # The level is per window; a detector is calibrated over its whole horizon, per side.
    budget = (1 - (1 - watch.level(1)) ** HORIZON) / len(sides)
    alarms = [
        alarm
        for reference, values in sides
        for alarm in _alarms(Cusum.calibrate(reference, false_alarms=budget), values)
        if losses[alarm.began : alarm.ended + 1].mean() >= monitors.loss_ratio * baseline.loss
    ]
    if not alarms:
        return None
    alarm = min(alarms, key=lambda a: a.ended)
    observed = float(losses[alarm.began : alarm.ended + 1].mean())
    origin = watch.origin
    window = Window(
        release_id=release_id,
        start=window_of(as_utc(times[alarm.began]), monitors.window_s, origin)[0],
        end=window_of(as_utc(times[alarm.ended]), monitors.window_s, origin)[1],
        n_rows=alarm.ended + 1 - alarm.began,
    )
    evidence = {
        "test": "cumulative sum (Page)",
        "of": "residuals" if baseline.residuals.size else "losses",
        "sum": alarm.total,
        "limit": alarm.limit,
        "reference": baseline.loss,
        "observed": observed,
        "n_labels": window.n_rows,
        "false_alarms": budget,
        "horizon": HORIZON,
    }
    return _worse(watch, window, observed / baseline.loss, evidence)


def _worse(watch: Watch, window: Window, ratio: float, evidence: Mapping[str, Any]) -> Finding:
    title = f"{watch.project.gates.model.metric} is {ratio:.2f} times what it was on the test rows"
    if UNKNOWN in evidence:
        title += (
            f"; {evidence[UNKNOWN]:,} of {evidence['n_labels']:,} labels are of a class that it does not know"
        )
    return watch.finding(window, "performance", title, evidence, ratio)


def _loss(watch: Watch, part: Part, losses: NDArray[np.float64], n_unknown: int) -> Measurement:
    detail = {"reference": watch.baseline_of(part.window.release_id).loss, "look": part.look}
    interval = mean_interval(losses, LEVEL) if losses.size > 1 else None
    return watch.measurement(
        part.window,
        watch.project.gates.model.metric,
        float(losses.mean()),
        key=part.labels,  # a corrected label is a new measurement
        interval=None if interval is None else (float(interval.low), float(interval.high)),
        detail=detail | ({UNKNOWN: n_unknown} if n_unknown else {}),
    )


def _welch(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """One-sided p-value of ``losses`` being larger in the mean (Welch, Biometrika 34, 1947)."""
    from scipy.special import stdtr

    if min(losses.size, reference.size) < 2:
        return 1.0
    shares = np.array([values.var(ddof=1) / values.size for values in (losses, reference)])
    gap, variance = float(losses.mean() - reference.mean()), float(shares.sum())
    if variance == 0:
        return 0.0 if gap > 0 else 1.0
    degrees = variance**2 / float((shares**2 / (np.array([losses.size, reference.size]) - 1)).sum())
    return float(stdtr(degrees, -gap / np.sqrt(variance)))


def _alarms(detector: Cusum, values: NDArray[np.float64]) -> Iterator[Alarm]:
    """Every alarm; the sum starts anew after each, so that one that was too small hides none behind it."""
    start = 0
    while (alarm := detector.first_alarm(values[start:])) is not None:
        yield alarm._replace(began=start + alarm.began, ended=start + alarm.ended)
        start += alarm.ended + 1


def _numeric_truth(mine: Labelled) -> NDArray[np.float64]:
    return np.asarray(as_numbers(mine.truth), dtype=np.float64)
