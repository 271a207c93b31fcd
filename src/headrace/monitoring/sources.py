"""Does one source drift away from the truth? The deviation of each segment, window after window.

A sensor that degrades slowly is wrong by a little more each week: no window shows it, and neither does the
loss of all. Truth is what labels say; a source is a value of an input in ``monitors.segments``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.tasks import answers_classes
from headrace.checks.trends import FEWEST_WINDOWS, Trend, trend_of
from headrace.core.project import Project
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.segments import NAME as SEGMENT
from headrace.monitoring.trends import WINDOWS, spanned, standard_error
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window

NAME = "deviation"
"""Name of the measurements: change of the mean deviation per window; ``feature`` and ``segment`` name the
source."""

Floats = NDArray[np.float64]


class _Source(NamedTuple):
    column: str
    segment: str


class _Course(NamedTuple):
    """A source in windows in which it and the others of its column were measured, oldest first.

    Attributes:
        deviations, errors: its mean deviation of each window, ``(n,)``, and their standard errors.
        others, other_errors: the same of all others together.
        spread: standard deviation of its single deviations.
    """

    windows: Sequence[Measurement]
    deviations: Floats
    errors: Floats
    others: Floats
    other_errors: Floats
    spread: float


def is_watched(project: Project) -> bool:
    """Whether a project has sources: it predicts numbers, and names inputs to be watched by value."""
    return not answers_classes(project.task) and bool(project.monitors.segments)


def watch_sources(watch: Watch) -> Round:
    """Fit a line through the mean deviation (truth less answer) of each source, whenever a window is new.

    A finding needs a deviation that surely grows away from nought, both by itself and more than that of the
    other sources, and that has grown by ``monitors.shift`` standard deviations of single deviations over the
    windows that the line goes through. What grows everywhere is the model's fault, and a matter of its loss.
    """
    found = Round([], [])
    if not is_watched(watch.project):
        return found
    seen = watch.measured(NAME)
    for by_source in _deviations(watch).values():
        level = watch.level(2 * max(len(by_source), 1))
        for source in sorted(by_source):
            course = _course(source, by_source)
            if course is None:
                continue
            own = trend_of(course.deviations, course.errors, LEVEL)
            beside = trend_of(
                course.deviations - course.others, np.hypot(course.errors, course.other_errors), LEVEL
            )
            if own is None or beside is None:
                continue
            window = spanned(course.windows)
            measured = watch.measurement(
                window,
                NAME,
                own.slope,
                key=f"{source.column}:{source.segment}:{course.windows[-1].id}",
                feature=source.column,
                segment=source.segment,
                interval=(own.low, own.high),
                detail={"current": float(course.deviations[-1]), "windows": own.n},
            )
            if measured.id in seen:
                continue
            found.measurements.append(measured)
            finding = _growing(watch, window, source, course, (own, beside), level)
            found.findings.extend([] if finding is None else [finding])
    return found


def _deviations(watch: Watch) -> dict[str, dict[_Source, dict[object, Measurement]]]:
    """By release and source its windows, each as most labels have it."""
    found: dict[str, dict[_Source, dict[object, Measurement]]] = {}
    for one in watch.evidence.measurements(watch.project.name, name=SEGMENT):
        known = one.value is not None and one.interval is not None and one.window is not None
        if not known or one.detail.get("metric") != "bias" or one.release_id is None:
            continue
        if one.feature not in watch.project.monitors.segments or one.n_rows < watch.fewest:
            continue
        windows = found.setdefault(one.release_id, {}).setdefault(
            _Source(one.feature or "", one.segment or ""), {}
        )
        if one.window not in windows or one.n_rows >= windows[one.window].n_rows:
            windows[one.window] = one
    return found


def _course(source: _Source, by_source: Mapping[_Source, Mapping[object, Measurement]]) -> _Course | None:
    """None of a source with too few windows, or with none beside it to tell it from the model."""
    beside = [known for one, known in by_source.items() if one.column == source.column and one != source]
    mine = sorted(by_source[source].values(), key=_start)
    windows = [one for one in mine if any(one.window in known for known in beside)][-WINDOWS:]
    if len(windows) < FEWEST_WINDOWS:
        return None
    others = [_pooled([known[one.window] for known in beside if one.window in known]) for one in windows]
    errors = np.array([standard_error(one) for one in windows])
    rows = np.array([one.n_rows for one in windows])
    return _Course(
        windows,
        np.array([one.value for one in windows], dtype=np.float64),
        errors,
        np.array([value for value, _ in others]),
        np.array([error for _, error in others]),
        float(np.median(errors * np.sqrt(rows))),
    )


def _start(measured: Measurement) -> datetime:
    assert measured.window is not None
    return measured.window[0]


def _pooled(measured: Sequence[Measurement]) -> tuple[float, float]:
    """Mean of all rows of some segments, and its standard error."""
    n_rows = sum(one.n_rows for one in measured)
    shares = [one.n_rows / n_rows for one in measured]
    value = sum(share * (one.value or 0.0) for share, one in zip(shares, measured, strict=True))
    return value, math.hypot(
        *(share * standard_error(one) for share, one in zip(shares, measured, strict=True))
    )


def _growing(
    watch: Watch,
    window: Window,
    source: _Source,
    course: _Course,
    trends: tuple[Trend, Trend],
    level: float,
) -> Finding | None:
    own, _ = trends
    now, change = float(course.deviations[-1]), own.slope * (own.n - 1)
    size = abs(change) / course.spread if course.spread > 0 else math.inf
    rises = own.slope > 0
    p_value = max(one.p_rise if rises else one.p_fall for one in trends)
    away = abs(course.deviations[-2:].mean()) > abs(course.deviations[:2].mean())
    if not away or p_value > level or size < watch.project.monitors.shift:
        return None
    evidence = {
        "test": "slopes of least squares, alone and against the other sources, both one-sided",
        "p_value": p_value,
        "level": level,
        "column": source.column,
        "source": source.segment,
        "slope": own.slope,
        "windows": own.n,
        "observed": now,
        "elsewhere": float(course.others[-1]),
    }
    title = (
        f"the deviation from the truth where {source.column} is {source.segment!r} has been growing for "
        f"{own.n} windows, by {abs(change):.4g} to {now:+.4g}; elsewhere it is {course.others[-1]:+.4g}"
    )
    return watch.finding(
        window, "deviation", title, evidence, size, feature=f"{source.column}: {source.segment}"
    )
