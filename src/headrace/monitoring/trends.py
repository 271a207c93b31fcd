"""Where is each metric going? The line through its newest windows, beside its present value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from headrace.checks.trends import Trend, trend_of
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.metrics import NAME as METRIC
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window

NAME = "trend"
"""Name of the measurements: change per window; ``feature`` is the metric, ``detail`` has its value now."""
WINDOWS = 12
"""The newest windows of a release, through which the line goes."""
AHEAD = 4
"""Windows after which a metric is held against its limit."""


def newest(measured: Iterable[Measurement]) -> list[Measurement]:
    """Of each release and metric what was measured last."""
    found: dict[tuple[str | None, str | None], Measurement] = {}
    for one in measured:
        key = one.release_id, one.feature
        if key not in found or one.at >= found[key].at:
            found[key] = one
    return list(found.values())


def watch_trends(watch: Watch) -> Round:
    """Fit a line through the loss and each declared metric, release by release, whenever a window is new.

    A slow decay shows in no single window. The loss is a finding when the line is surely rising, and has
    risen by ``loss_ratio`` over the windows that it goes through, unless it is known to be worse already;
    a metric when the line is surely going towards its limit and is beyond it after four more.
    """
    found = Round([], [])
    worse = {finding.release_id for finding in watch.known if finding.kind == "performance"}
    seen = watch.measured(NAME)
    loss = watch.project.gates.model.metric
    series = [(loss, "", _by_release(watch.evidence.measurements(watch.project.name, name=loss)))]
    declared = watch.evidence.measurements(watch.project.name, name=METRIC)
    for spec in watch.project.metrics:
        mine = [measured for measured in declared if measured.feature == spec.name]
        series.append((spec.name, METRIC, _by_release(mine)))
    level = watch.level(len(series))
    for name, kind, by_release in series:
        for windows in by_release:
            trend = _trend(windows)
            measured = None if trend is None else _measured(watch, name, windows, trend)
            if trend is not None and measured is not None and measured.id not in seen:
                found.measurements.append(measured)
                late = not kind and measured.release_id in worse
                few = min(one.n_rows for one in windows) < watch.fewest
                finding = None if late or few else _heading(watch, name, kind, windows, trend, level)
                found.findings.extend([] if finding is None else [finding])
    return found


def _by_release(measured: Sequence[Measurement]) -> Iterator[list[Measurement]]:
    """The newest windows of each release, oldest first; of each window the one with the most labels."""
    present: dict[str, dict[object, Measurement]] = {}
    for one in measured:
        if one.release_id is None or one.window is None or one.value is None:
            continue
        windows = present.setdefault(one.release_id, {})
        if one.window not in windows or one.n_rows >= windows[one.window].n_rows:
            windows[one.window] = one
    for windows in present.values():
        yield list(windows.values())[-WINDOWS:]


def _trend(windows: Sequence[Measurement]) -> Trend | None:
    values = np.array([one.value for one in windows], dtype=np.float64)
    return trend_of(values, np.array([standard_error(one) for one in windows]), LEVEL)


def standard_error(measured: Measurement) -> float:
    """Of a mean with an interval at :data:`LEVEL`, 1.645 of them on either side; 0 without one."""
    return 0.0 if measured.interval is None else (measured.interval[1] - measured.interval[0]) / 3.29


def spanned(windows: Sequence[Measurement]) -> Window:
    """From the first of some measured windows of a release to the last, with all their rows."""
    first, last = windows[0], windows[-1]
    assert first.window is not None
    assert last.window is not None
    assert last.release_id is not None
    n_rows = sum(one.n_rows for one in windows)
    return Window(release_id=last.release_id, start=first.window[0], end=last.window[1], n_rows=n_rows)


def _measured(watch: Watch, name: str, windows: Sequence[Measurement], trend: Trend) -> Measurement:
    return watch.measurement(
        spanned(windows),
        NAME,
        trend.slope,
        key=f"{name}:{windows[-1].id}",
        feature=name,
        interval=(trend.low, trend.high),
        detail={"current": windows[-1].value, "windows": trend.n},
    )


def _heading(
    watch: Watch, name: str, kind: str, windows: Sequence[Measurement], trend: Trend, level: float
) -> Finding | None:
    now, change = float(windows[-1].value or 0.0), trend.slope * (trend.n - 1)
    evidence = {
        "test": "slope of least squares, one-sided",
        "p_value": min(trend.p_rise, trend.p_fall),
        "level": level,
        "slope": trend.slope,
        "windows": trend.n,
        "observed": now,
    }
    if not kind:
        begun = now - change
        if trend.p_rise > level or begun <= 0 or now < watch.project.monitors.loss_ratio * begun:
            return None
        title = f"{name} has been rising for {trend.n} windows, from {begun:.4g} to {now:.4g}"
        return watch.finding(
            spanned(windows), "performance", title, evidence, now / begun, feature=f"trend of {name}"
        )
    spec = next(one for one in watch.project.metrics if one.name == name)
    later = now + AHEAD * trend.slope
    for limit, sure, beyond in (
        (spec.max, trend.p_rise <= level, spec.max is not None and now <= spec.max < later),
        (spec.min, trend.p_fall <= level, spec.min is not None and now >= spec.min > later),
    ):
        if sure and beyond and limit is not None:
            title = f"{name} is {now:.4g} and on its way beyond its limit {limit:.4g} in {AHEAD} windows"
            return watch.finding(
                spanned(windows), "metric", title, evidence, later, feature=f"trend of {name}"
            )
    return None
