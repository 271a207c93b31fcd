"""Are classes predicted as often as they come true? The gap between answers and labels, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.metrics import labels_of, mean_interval
from headrace.core.record import Finding
from headrace.monitoring.joining import Labelled
from headrace.monitoring.labelled import Looks, Part, by_release, changed_rows, labelled_windows
from headrace.monitoring.watch import LEVEL, Round, Watch

NAME = "bias"
"""Name of the measurements: share among the answers less share among the labels; ``segment`` is the class."""
MARK = "bias_labels"


def watch_bias(watch: Watch) -> Round:
    """Compare the classes of answers and labels, on the same rows, in each window that labels have come for.

    A model that gives probabilities predicts as many of a class as they add up to: a rare class need never be
    the likeliest one. A finding needs a gap of ``class_gap`` and evidence that it is no chance.
    """
    found = Round([], [])
    if watch.project.task != "classification":
        return found
    looks = Looks(watch, MARK)
    for release_id, mine in by_release(changed_rows(watch).rows):
        classes = watch.baseline_of(release_id).classes or ()
        for part in labelled_windows(watch, release_id, mine) if classes else ():
            mark = watch.measurement(
                part.window, MARK, float(len(part.rows)), key=part.labels, detail={"look": part.look}
            )
            if mark.id not in looks.seen:
                _watch_part(watch, part, classes, looks.level(part, watch.level(len(classes))), found)
                found.measurements.append(mark)
    return found


def _watch_part(watch: Watch, part: Part, classes: Sequence[Any], level: float | None, found: Round) -> None:
    worst: Finding | None = None
    for name, predicted, observed in _by_class(part.rows, classes):
        gaps = predicted - observed
        interval = mean_interval(gaps, LEVEL)
        shares = {"predicted": float(predicted.mean()), "observed": float(observed.mean())}
        measured = watch.measurement(
            part.window,
            NAME,
            interval.estimate,
            key=f"{name}:{part.labels}",
            segment=name,
            interval=None if gaps.size < 2 else (interval.low, interval.high),
            detail=shares,
        )
        found.measurements.append(measured)
        size = abs(interval.estimate)
        if level is None or gaps.size < watch.fewest or size < watch.project.monitors.class_gap:
            continue
        sure = mean_interval(gaps, 1 - level)
        if sure.low > 0 or sure.high < 0:
            finding = _finding(watch, part, name, shares, level)
            worst = finding if worst is None or finding.size > worst.size else worst
    found.findings.extend([] if worst is None else [worst])


def _by_class(
    rows: Labelled, classes: Sequence[Any]
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Class, and of each row how much of it was predicted and whether it came true."""
    named, truth = labels_of(list(classes)), np.array(labels_of(rows.truth), dtype=object)
    said = np.array(labels_of(rows.outputs["predict"]), dtype=object)
    probability = rows.outputs.get("probability")
    for position, (shown, one) in enumerate(zip(classes, named, strict=True)):
        predicted = (said == one).astype(np.float64)
        if probability is not None and position < probability.shape[1]:
            known = np.isfinite(probability[:, position])
            predicted = np.where(known, probability[:, position], predicted)
        yield str(shown), predicted, (truth == one).astype(np.float64)


def _finding(watch: Watch, part: Part, name: str, shares: Mapping[str, float], level: float) -> Finding:
    evidence = {
        "test": "interval of the mean difference",
        "level": level,
        "class": name,
        **shares,
        "limit": watch.project.monitors.class_gap,
        "n_labels": len(part.rows),
    }
    predicted, observed = shares["predicted"], shares["observed"]
    title = f"class {name!r} was predicted for {predicted:.0%} of the rows and came true for {observed:.0%}"
    return watch.finding(part.window, "bias", title, evidence, abs(predicted - observed))
