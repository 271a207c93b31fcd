"""What the answers look like, by hour and by day: impossible, all alike, or out of their usual range?

An answer that no such model may give is a finding at once. Everything else varies by itself, so that a
finding needs evidence and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.profiles import NumericProfile
from headrace.checks.ranges import Reference, Seen, beyond_p_value, expected_range, references
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.answered import Described, Grain, describe, usual_limits
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.hours import HOUR, new_hours
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import Window

HOURS, DAYS = "answers", "answers_by_day"
"""Names of the measurements: what a release answered in an hour, and in a day."""
_MOST_BEYOND = 0.01
"""Share of answers beyond all of those on the test rows that is still no finding."""
_TESTS = 7
"""Of one window: mean, median, deviation, confidence, either end, and whether all are alike."""


class _Part(NamedTuple):
    """How long a part of the time is, and what its measurements are called."""

    grain: Grain
    words: str
    name: str
    length: timedelta

    def begin(self, moment: datetime) -> datetime:
        """The beginning of the part that holds a full hour."""
        return moment.replace(hour=0) if self.grain == "day" else moment


_PARTS = (_Part("hour", "an hour", HOURS, HOUR), _Part("day", "a day", DAYS, timedelta(days=1)))


class Outside(NamedTuple):
    """A statistic that is not where it is expected; ``size`` is in standard deviations of single answers."""

    name: str
    value: float
    low: float
    high: float
    size: float


def watch_answers(watch: Watch) -> Round:
    """Describe what each release answered in each hour that is over, and in each day.

    An impossible answer is a finding by itself: no number, infinite, of no known class, beyond ``outputs``.
    Mean, median, deviation and confidence are held against the range to be expected from the test rows and
    from the release's own windows before. Hours and days are those in which the answers were given (UTC).
    """
    found = Round([], [])
    for part in _PARTS:
        _watch_part(watch, part, found)
    return found


def _watch_part(watch: Watch, part: _Part, found: Round) -> None:
    new = new_hours(watch, part.name)
    if new is None:
        return
    start, until = part.begin(new.first), part.begin(new.until)
    if start < new.first:  # half a day is no day
        start += part.length
    kept = [measured for measured in new.kept if measured.release_id]
    answered: dict[datetime, list[Described]] = {}
    for one in describe(watch, part.grain, start, until) if start < until else ():
        answered.setdefault(one.start, []).append(one)
    while start < until:
        for one in answered.get(start, ()):
            measured, findings = _looked_at(watch, part, one, kept)
            kept.append(measured)
            found.measurements.append(measured)
            found.findings.extend(findings)
        if start not in answered:
            nobody = Window(release_id="", start=start, end=start + part.length, n_rows=0)
            found.measurements.append(replace(watch.measurement(nobody, part.name, None), release_id=None))
        start += part.length


def _looked_at(
    watch: Watch, part: _Part, one: Described, kept: Sequence[Measurement]
) -> tuple[Measurement, list[Finding]]:
    window = Window(
        release_id=one.release_id, start=one.start, end=one.start + part.length, n_rows=one.n_rows
    )
    baseline, level = watch.baseline_of(one.release_id), _level(watch)
    earlier = [measured for measured in kept if measured.release_id == one.release_id]
    ranges = dict(_ranges(one, baseline, earlier, level))
    detail: dict[str, Any] = one.statistics | {
        "n_inputs": one.n_inputs,
        "n_different": one.n_different,
        "impossible": one.impossible,
        "classes": one.classes,
        "expected": {name: [low, high] for name, (low, high, _) in ranges.items()},
    }
    measured = watch.measurement(window, part.name, one.statistics.get("mean"), detail=detail)
    findings = list(_impossible(watch, window, one)) if part.grain == "hour" else []
    if one.n_inputs >= watch.fewest:
        outside = [*_outside(watch, one, ranges), *_beyond(one, baseline, level)]
        findings += [_unusual(watch, window, part, outside)] if outside else []
        findings += _alike(watch, window, part, one, baseline, level)
    return measured, findings


def _level(watch: Watch) -> float:
    n_parts = sum(max(watch.project.monitors.window_s // int(p.length.total_seconds()), 1) for p in _PARTS)
    return watch.level(n_parts * _TESTS)


def _impossible(watch: Watch, window: Window, one: Described) -> Iterator[Finding]:
    for reason, n in one.impossible.items():
        if n:
            evidence = {
                "answers": n,
                "n_rows": one.n_rows,
                "first": None if one.since is None else one.since.isoformat(),
            }
            title = f"{n:,} of {one.n_rows:,} answers are impossible: {reason}"
            yield watch.finding(window, "answers", title, evidence, n / one.n_rows, feature=reason)


def _ranges(
    one: Described, baseline: Baseline, earlier: Sequence[Measurement], level: float
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """By statistic: where it is expected, and the deviation of single values, by which a size is measured."""
    profile = baseline.outputs.features.get("prediction")
    known: dict[str, Reference] = {}
    if isinstance(profile, NumericProfile) and profile.summary:
        summary, n = profile.summary, profile.n - profile.n_missing
        known = references(profile.quantiles, n, summary["mean"], summary["deviation"])
    scale = dict.fromkeys(known, known["mean"].spread) if known else {}
    confidence = _usual_confidence(earlier)
    if confidence is not None:
        known["confidence"], scale["confidence"] = confidence, confidence.spread
    for name, reference in known.items():
        seen = [Seen(m.detail[name], m.n_rows) for m in earlier if name in m.detail]
        limits = expected_range(reference, seen, one.n_rows, level)
        if limits is not None and name in one.statistics:
            yield name, (*limits, scale[name])


def _usual_confidence(earlier: Sequence[Measurement]) -> Reference | None:
    """No release keeps how sure it was on its test rows: what it was before is the reference."""
    seen = [m for m in earlier if "confidence" in m.detail]
    n = sum(m.n_rows for m in seen)
    if not n:
        return None
    mean, square = (
        sum(m.n_rows * value for m, value in zip(seen, values, strict=True)) / n
        for values in (
            [m.detail["confidence"] for m in seen],
            [m.detail["confidence_deviation"] ** 2 for m in seen],
        )
    )
    return Reference(float(mean), float(np.sqrt(square)), n)


def _outside(
    watch: Watch, one: Described, ranges: Mapping[str, tuple[float, float, float]]
) -> Iterator[Outside]:
    for name, (low, high, scale) in ranges.items():
        value = one.statistics[name]
        size = abs(value - (low + high) / 2) / (scale or 1.0)
        if not low <= value <= high and size >= watch.project.monitors.shift:
            yield Outside(name, value, low, high, size)


def _beyond(one: Described, baseline: Baseline, level: float) -> Iterator[Outside]:
    """More answers far beyond all of those on the test rows than chance brings."""
    profile, limits = baseline.outputs.features.get("prediction"), usual_limits(baseline)
    if not isinstance(profile, NumericProfile) or limits is None:
        return
    n, scale = profile.n - profile.n_missing, profile.summary["deviation"] or 1.0
    for name, n_beyond, limit in zip(("min", "max"), one.beyond, limits, strict=True):
        if n_beyond > _MOST_BEYOND * one.n_rows and beyond_p_value(n_beyond, one.n_rows, n) <= level:
            value = one.statistics[name]
            yield Outside(name, value, *limits, abs(value - limit) / scale)


def _unusual(watch: Watch, window: Window, part: _Part, outside: Sequence[Outside]) -> Finding:
    worst = max(outside, key=lambda one: one.size)
    evidence = {
        "test": "range expected from the test rows and the windows before",
        "level": _level(watch),
        "outside": [one._asdict() for one in outside],
        "n_rows": window.n_rows,
    }
    title = (
        f"{worst.name} of the predictions in {part.words} is {worst.value:.4g}, "
        f"expected {worst.low:.4g} to {worst.high:.4g}"
    )
    return watch.finding(window, "answers", title, evidence, worst.size, feature=f"range by {part.grain}")


def _alike(
    watch: Watch, window: Window, part: _Part, one: Described, baseline: Baseline, level: float
) -> Iterator[Finding]:
    """Different rows that all get one answer, where the test rows did not."""
    profile = baseline.outputs.features.get("prediction")
    if one.n_different != 1 or profile is None:
        return
    if isinstance(profile, NumericProfile):
        same = np.unique(profile.quantiles, return_counts=True)[1]
        share = float(same.max(initial=0)) / max(profile.quantiles.size, 1)
    else:
        share = max(profile.counts.values(), default=0) / max(profile.n, 1)
    p_value = share ** (one.n_inputs - 1)
    if p_value <= level:
        evidence = {"p_value": p_value, "level": level, "n_inputs": one.n_inputs, "share_before": share}
        title = f"{one.n_inputs:,} different rows in {part.words} all got the same answer"
        yield watch.finding(window, "answers", title, evidence, 1 - share, feature="all alike")
