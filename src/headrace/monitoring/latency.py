"""Does a model answer more slowly than its service level declares? Hours of the clock on the wall.

What is on record is the model's own time: reading the rows, and answering. A caller waits for that at least;
of a request of several rows, for that of one of them at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from headrace.core.project import ServiceLevel
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.hours import HOUR, new_hours
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import Window, as_utc

NAME = KIND = "latency"
"""Name of the measurements, one for each hour and release that answered in it; and kind of the findings."""
ALLOWED, LIMIT = 0.01, 0.05
"""Share of requests that a declared 99th percentile lets take longer, and from which on it is a finding."""


class _Hour(NamedTuple):
    """Requests of one release in one hour, how many of them were slow, and their times in milliseconds."""

    window: Window
    n_slow: int
    median_ms: float
    p99_ms: float


def watch_latency(watch: Watch) -> Round:
    """Count the requests of each hour that took longer than ``serving.level.p99_ms``, by release.

    A finding needs a share of slow requests of at least 5 %, and evidence that it is more than the declared
    one in a hundred: an exact binomial test. What goes on is announced once, and anew after an hour with
    requests that was not slow. Without a declared level nothing is too slow.
    """
    found = Round([], [])
    level = watch.project.serving.level
    new = None if level is None else new_hours(watch, NAME)
    if level is None or new is None:
        return found
    slow = _slow(new.kept)
    start, hours = new.first, _hours(watch, new.first, new.until, level.p99_ms)
    while start < new.until:
        of_hour = [one for one in hours if one.window.start == start]
        for one in of_hour:
            release_id, was_slow = one.window.release_id, one.window.release_id in slow
            p_value = _p_value(one)
            is_slow = p_value <= watch.level(_n_hours(watch) * len(of_hour)) and _share(one) >= LIMIT
            (slow.add if is_slow else slow.discard)(release_id)
            if is_slow and not was_slow:
                found.findings.append(_finding(watch, level, one, p_value))
            detail = {"median_ms": one.median_ms, "n_slow": one.n_slow, "slow": is_slow}
            detail["limit_ms"] = level.p99_ms
            found.measurements.append(watch.measurement(one.window, NAME, one.p99_ms, detail=detail))
        if not of_hour:
            nobody = Window(release_id="", start=start, end=start + HOUR, n_rows=0)
            found.measurements.append(replace(watch.measurement(nobody, NAME, None), release_id=None))
        start += HOUR
    return found


def _slow(kept: Sequence[Measurement]) -> set[str]:
    """Releases that were slow in the last hour in which they answered."""
    answered = [one for one in kept if one.release_id is not None and one.window is not None]
    newest = {one.release_id: one for one in sorted(answered, key=lambda one: one.window or (one.at, one.at))}
    return {release_id for release_id, one in newest.items() if release_id and one.detail["slow"]}


def _n_hours(watch: Watch) -> int:
    return max(watch.project.monitors.window_s // int(HOUR.total_seconds()), 1)


def _share(hour: _Hour) -> float:
    return hour.n_slow / hour.window.n_rows


def _p_value(hour: _Hour) -> float:
    """Chance of so many slow requests, or more, where one in a hundred is."""
    from scipy.special import bdtrc

    return float(bdtrc(hour.n_slow - 1, hour.window.n_rows, ALLOWED)) if hour.n_slow else 1.0


def _hours(watch: Watch, first: datetime, until: datetime, limit_ms: float) -> list[_Hour]:
    """Times by row: a table that is scored at once is no slow request."""
    table = predictions_table(watch.project.name)
    found = watch.tables.query(
        """
        with requests as (
            select any_value("at") as moment, any_value(release_id) as release_id,
                   any_value(prepare_ms + infer_ms) / count(*) as ms
            from p where "at" >= ? and "at" < ? group by prediction_id
        )
        select date_trunc('hour', moment) as hour, release_id, count(*) as n,
               count(*) filter (where ms > ?) as slow, median(ms) as half, quantile_disc(ms, 0.99) as p99
        from requests where isfinite(ms) group by 1, 2 order by 1, 2
        """,
        {"p": (table, None)},
        [first.replace(tzinfo=None), until.replace(tzinfo=None), limit_ms],
    )
    return [
        _Hour(
            Window(release_id=str(release), start=as_utc(hour), end=as_utc(hour) + HOUR, n_rows=int(n)),
            int(n_slow), float(median), float(p99),
        )
        for hour, release, n, n_slow, median, p99 in zip(*found.values(), strict=True)
    ]  # fmt: skip


def _finding(watch: Watch, level: ServiceLevel, hour: _Hour, p_value: float) -> Finding:
    window, share = hour.window, _share(hour)
    title = (
        f"slow: {hour.n_slow:,} of {window.n_rows:,} requests took longer than the declared {level.p99_ms:g} "
        f"ms, {window.start:%Y-%m-%d %H:%M} to {window.end:%H:%M} UTC; half of them {hour.median_ms:.3g} ms "
        "or more"
    )
    evidence = {
        "test": "exact binomial",
        "p_value": p_value,
        "slow": hour.n_slow,
        "requests": window.n_rows,
        "allowed": ALLOWED,
        "limit": LIMIT,
        "limit_ms": level.p99_ms,
        "median_ms": hour.median_ms,
        "p99_ms": hour.p99_ms,
    }
    return watch.finding(window, KIND, title, evidence, share, since=window.start)
