"""The metrics that a project declares, on live answers whose truth is known: window by window, by release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.metrics import mean_interval
from headrace.checks.packs import Measured, Scored
from headrace.core.canonical import digest_bytes
from headrace.core.errors import UserError
from headrace.core.project import MetricSpec
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window, as_utc, window_of

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
    labelled = labelled_rows(watch.project.name, watch.tables)
    seen = watch.measured(NAME)
    for release_id in dict.fromkeys(map(str, labelled.release_id)):
        mine = labelled.of(labelled.release_id == release_id)
        parts = [part for part in labelled_windows(watch, release_id, mine) if _unmeasured(watch, part, seen)]
        _measure(watch, release_id, parts, found)
    return found


class Part(NamedTuple):
    """Labelled rows of one window; ``labels`` is another digest once another label is known."""

    window: Window
    rows: Labelled
    labels: str


def labelled_windows(watch: Watch, release_id: str, mine: Labelled) -> Iterator[Part]:
    """Labelled rows by window, in an order that does not depend on when they or their labels came."""
    length_s, origin = watch.project.monitors.window_s, watch.origin
    mine = mine.of(np.lexsort((mine.subject.astype(str), mine.event_time)))
    seconds = mine.event_time.astype("datetime64[s]").astype(np.int64)
    slots = (seconds - int(origin.timestamp())) // length_s
    for slot in np.unique(slots):
        rows = mine.of(slots == slot)
        start, end = window_of(as_utc(rows.event_time[0]), length_s, origin)
        labels = digest_bytes(repr((rows.subject.tolist(), rows.truth.tolist())).encode())
        yield Part(Window(release_id=release_id, start=start, end=end, n_rows=len(rows)), rows, labels)


def _unmeasured(watch: Watch, part: Part, seen: set[str]) -> bool:
    return any(_kept(watch, part, spec, None).id not in seen for spec in watch.project.metrics)


def _measure(watch: Watch, release_id: str, parts: list[Part], found: Round) -> None:
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
            beyond = None if value is None else _beyond(watch, part.window, spec, value)
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
    detail = {"unit": spec.unit, "business": spec.business, "max": spec.max, "min": spec.min}
    return watch.measurement(
        part.window,
        NAME,
        None if value is None else value.value,
        key=f"{spec.name}:{part.labels}",
        feature=spec.name,
        interval=None if interval is None else (interval.low, interval.high),
        detail=detail | ({"error": error} if error else {}),
    )


def _beyond(watch: Watch, window: Window, spec: MetricSpec, value: Measured) -> Finding | None:
    if value.values is None or value.values.size < watch.fewest:
        return None
    level = watch.level(len(watch.project.metrics))
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
