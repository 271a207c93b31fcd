"""The metrics that a project declares, on live answers whose truth is known: window by window, by release."""

from __future__ import annotations

from typing import Any

from headrace.checks.metrics import mean_interval
from headrace.checks.packs import Measured, Scored
from headrace.core.errors import UserError
from headrace.core.project import MetricSpec
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.joining import Labelled
from headrace.monitoring.labelled import Looks, Part, by_release, changed_rows, labelled_windows
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window

NAME = "metric"
"""Name of the measurements; ``feature`` is the metric's."""


def watch_metrics(watch: Watch) -> Round:
    """Measure each window that labels have come for since it was last measured.

    A finding needs a limit that is declared and a mean that is beyond it with all but the chance that
    ``false_alarms`` allows, shared by all metrics. A metric that is no mean is measured and finds nothing.
    """
    found = Round([], [])
    if not watch.project.metrics:
        return found
    looks = Looks(watch, NAME)
    for release_id, mine in by_release(changed_rows(watch).rows):
        parts = [
            part for part in labelled_windows(watch, release_id, mine) if _unmeasured(watch, part, looks)
        ]
        _measure(watch, release_id, parts, looks, found)
    return found


def _unmeasured(watch: Watch, part: Part, looks: Looks) -> bool:
    return any(_kept(watch, part, spec, None).id not in looks.seen for spec in watch.project.metrics)


def _measure(watch: Watch, release_id: str, parts: list[Part], looks: Looks, found: Round) -> None:
    if not parts:
        return
    classes = watch.baseline_of(release_id).classes
    error = ""
    try:
        measured = watch.measure(release_id, [_scored(part.rows, classes) for part in parts])
    except UserError as failed:  # neither good nor bad: said, and measured again when more labels are in
        measured, error = [{} for _ in parts], str(failed)
    for part, values in zip(parts, measured, strict=True):
        for spec in watch.project.metrics:
            value = values.get(spec.name)
            found.measurements.append(_kept(watch, part, spec, value, error))
            level = looks.level(part, watch.level(len(watch.project.metrics)))
            beyond = (
                None if value is None or level is None else _beyond(watch, part.window, spec, value, level)
            )
            found.findings.extend([] if beyond is None else [beyond])


def _scored(rows: Labelled, classes: tuple[Any, ...] | None) -> Scored:
    outputs = rows.outputs
    if classes is not None and "probability" in outputs:
        # Another release may tell more classes apart: its columns are not this one's.
        outputs = outputs | {"probability": outputs["probability"][:, : len(classes)]}
    return Scored(truth=rows.truth, outputs=outputs, columns=rows.columns, classes=classes)


def _kept(
    watch: Watch,
    part: Part,
    spec: MetricSpec,
    value: Measured | None,
    error: str = "",
) -> Measurement:
    """Its id follows from the labels that are known: with another label it is another measurement."""
    interval = None if value is None else value.interval(LEVEL)
    detail = {
        "unit": spec.unit, "business": spec.business, "max": spec.max, "min": spec.min, "look": part.look,
    }  # fmt: skip
    return watch.measurement(
        part.window,
        NAME,
        None if value is None else value.value,
        key=f"{spec.name}:{part.labels}",
        feature=spec.name,
        interval=None if interval is None else (interval.low, interval.high),
        detail=detail | ({"error": error} if error else {}),
    )


def _beyond(watch: Watch, window: Window, spec: MetricSpec, value: Measured, level: float) -> Finding | None:
    if value.values is None or value.values.size < watch.fewest:
        return None
    interval = mean_interval(value.values, max(1 - 2 * level, 0.5))
    for limit, sure, words in (
        (spec.max, spec.max is not None and interval.low > spec.max, "exceeds"),
        (spec.min, spec.min is not None and interval.high < spec.min, "is below"),
    ):
        if sure and limit is not None:
            evidence = {
                "test": "interval of the mean",
                "interval": [interval.low, interval.high],
                "confidence": interval.confidence,
                "level": level,
                "limit": limit,
                "observed": value.value,
                "n_labels": interval.n,
            }
            title = f"{spec.name} {value.value:.4g} {spec.unit}".strip() + f" {words} its limit {limit:.4g}"
            return watch.finding(window, "metric", title, evidence, value.value, feature=spec.name)
    return None
