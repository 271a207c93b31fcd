"""How many calls came in each hour, from whom, and is that what the day and the week before let expect?

Calls are counted by the clock on the wall, not by event time: that nobody asks any more is found by an hour
that passes without a call. Each full hour is counted once; a round reads only what no round has counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.counts import count_p_value, dispersion_of
from headrace.core.ids import derived_id
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.hours import HOUR, NewHours, new_hours
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import as_utc

NAME = "calls"
"""Name of the measurements: one for each hour, of all consumers together."""
SPANS = (1, 6, 24)
"""Hours up to the present one that are compared together: a day of few calls tells what an hour cannot."""
DAY, WEEK = 24, 168
_HISTORY = 28 * DAY
_TESTED = 20
"""Consumers with the most calls that are also watched one by one."""
_LISTED = 100
"""Consumers that an hour names; the others are one."""
OTHERS = "(others)"
_EVERYBODY = ""

Floats = NDArray[np.float64]


class Change(NamedTuple):
    """Calls of some hours, beside the same hours of the day and of the week before."""

    span: int
    got: int
    day: int
    week: int
    p_value: float
    dispersion: float

    @property
    def expected(self) -> int:
        """Of the two, what is nearer to what came."""
        return min(self.day, self.week, key=lambda n: abs(n - self.got))

    @property
    def size(self) -> float:
        """Share by which the calls differ from what was expected: -1 where none came."""
        return (self.got - self.expected) / max(self.expected, 1)


@dataclass(frozen=True, kw_only=True)
class _Hours:
    """Calls by hour from ``begin`` on, of everybody and by consumer, and whose deviated in which hour."""

    begin: datetime
    total: Floats
    consumers: dict[str, Floats]
    deviating: list[set[str]]

    def of(self, series: str) -> Floats:
        return self.total if series == _EVERYBODY else self.consumers[series]


def watch_calls(watch: Watch) -> Round:
    """Count the calls of each hour that is over, by consumer, and compare them.

    A finding needs a change of ``calls_change`` against the same hours of the day and of the week before,
    both in the same direction, and evidence that neither is chance. So a weekend is no news, nor is the day
    after an outage; in its first week a project has no such hours, and nothing is concluded. What deviates is
    announced once, in its first hour, and anew after an hour that did not.
    """
    found = Round([], [])
    new = new_hours(watch, NAME)
    if new is None:
        return found
    rows = _counted(watch, new.first, new.until)
    hours = _hours(new, rows)
    for index in range(int((new.first - hours.begin) / HOUR), len(hours.total)):
        changes = dict(_changes(watch, hours, index))
        series = _announced(changes, hours.deviating[max(0, index - DAY) : index])
        hours.deviating[index] |= set(changes)
        start = hours.begin + index * HOUR
        found.measurements.append(_measured(watch, hours, index, rows.get(start, {})))
        if series is not None:
            found.findings.append(_finding(watch, hours, index, series, changes[series]))
    return found


def _announced(changes: dict[str, Change], before: Sequence[set[str]]) -> str | None:
    """What begins to deviate in this hour: everybody together, or else the consumer that is the furthest off.

    Args:
        before: what deviated in the hours of the last day. Several hours together are no news if one of them
            could have been announced already.
    """
    new = [
        name
        for name, change in changes.items()
        if not any({name, _EVERYBODY} & of_hour for of_hour in before[-1 if change.span == 1 else 0 :])
    ]
    if _EVERYBODY in new:
        return _EVERYBODY
    return max(new, key=lambda name: (abs(changes[name].got - changes[name].expected), name), default=None)


def _changes(watch: Watch, hours: _Hours, index: int) -> Iterator[tuple[str, Change]]:
    known = {name: values[max(0, index - _HISTORY) : index].sum() for name, values in hours.consumers.items()}
    busiest = sorted((name for name in known if name != OTHERS), key=lambda name: (-known[name], name))
    names = [_EVERYBODY, *busiest[:_TESTED]]
    hours_a_window = max(watch.project.monitors.window_s // int(HOUR.total_seconds()), 1)
    level = watch.level(hours_a_window * len(SPANS) * len(names))
    for name in names:
        usual = np.array([name not in deviating for deviating in hours.deviating[:index]], dtype=bool)
        changes = [_change(watch, hours.of(name), usual, index, span) for span in SPANS]
        shortest = next((one for one in changes if one is not None and one.p_value <= level), None)
        if shortest is not None and (shortest.expected or not name):
            yield name, shortest  # a consumer who is new is one of everybody


def _change(watch: Watch, calls: Floats, usual: NDArray[np.bool_], index: int, span: int) -> Change | None:
    """What is larger than allowed; None where it is not, or where nothing can be said yet."""
    if index + 1 - span - WEEK < 0:
        return None
    ends = (index + 1 - lag for lag in (0, DAY, WEEK))
    got, day, week = (int(calls[end - span : end].sum()) for end in ends)
    limit = watch.project.monitors.calls_change
    sides = {np.sign(got - one) if abs(got - one) >= limit * one else 0 for one in (day, week)}
    if sides not in ({1}, {-1}):
        return None
    dispersion = _dispersion(calls, usual, index, span)
    if dispersion is None:
        return None
    p_value = max(count_p_value(got, one, dispersion) for one in (day, week))
    return Change(span, got, day, week, p_value, dispersion)


def _dispersion(calls: Floats, usual: NDArray[np.bool_], index: int, span: int) -> float | None:
    """From pairs of hours before, a week apart because of the weekday, or a day apart until there are any.

    Hours that were found to deviate say nothing about how much calls vary by themselves, nor do those of the
    last day, which may be a part of what is only being found.
    """
    until = max(index + 1 - DAY, 0)
    before = np.where(usual[:until], calls[:until], np.nan)[max(0, index - _HISTORY) :]
    if before.size < span:
        return None
    summed = np.convolve(before, np.ones(span), "valid")
    for lag in (WEEK, DAY):
        dispersion = dispersion_of(summed[lag:], summed[:-lag], DAY) if summed.size > lag else None
        if dispersion is not None:
            return dispersion
    return None


def _measured(watch: Watch, hours: _Hours, index: int, rows: dict[str, dict[str, int]]) -> Measurement:
    start = hours.begin + index * HOUR
    detail = {
        "day_before": int(hours.total[index - DAY]) if index >= DAY else None,
        "week_before": int(hours.total[index - WEEK]) if index >= WEEK else None,
        "consumers": rows,
        "deviating": sorted(hours.deviating[index]),
    }
    return Measurement(
        id=derived_id(watch.project.name, NAME, start.isoformat()),
        project=watch.project.name,
        name=NAME,
        value=float(hours.total[index]),
        n_rows=sum(row["predictions"] for row in rows.values()),
        at=watch.now,
        window=(start, start + HOUR),
        detail=detail,
    )


def _finding(watch: Watch, hours: _Hours, index: int, series: str, change: Change) -> Finding:
    end = hours.begin + (index + 1) * HOUR
    start = end - change.span * HOUR
    parts = _parts(hours, index, change) if series == _EVERYBODY else []
    away = [part["consumer"] for part in parts if part["expected"] > 0 and part["got"] == 0]
    who = f"calls of {series!r}" if series else "calls"
    when = f"{start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC"
    title = f"{who}: {change.got:,} where {change.expected:,} were expected, {when}"
    if away:
        title += f"; none came from {', '.join(map(repr, away[:3]))}"
    evidence = {
        "test": "two negative-binomial counts, given their sum",
        "p_value": change.p_value,
        "hours": change.span,
        "got": change.got,
        "expected": change.expected,
        "day_before": change.day,
        "week_before": change.week,
        "limit": watch.project.monitors.calls_change,
        "dispersion": change.dispersion,
        "consumers": parts,
    }
    return Finding(
        id=derived_id("finding", watch.project.name, "traffic", series, end.isoformat()),
        project=watch.project.name,
        kind="traffic",
        release_id=_release(watch, end),
        title=title,
        window=(start, end),
        evidence=evidence,
        size=change.size,
        at=watch.now,
        feature=series or None,
    )


def _parts(hours: _Hours, index: int, change: Change) -> list[dict[str, Any]]:
    """How much of the change each consumer carries, the most first; at most five."""
    lag = DAY if change.expected == change.day else WEEK
    end, span = index + 1, change.span
    gaps = {
        name: (int(calls[end - span : end].sum()), int(calls[end - span - lag : end - lag].sum()))
        for name, calls in hours.consumers.items()
    }
    gone = (change.got - change.expected) or 1
    ranked = sorted(gaps, key=lambda name: ((gaps[name][1] - gaps[name][0]) / gone, name))
    return [
        {
            "consumer": name,
            "got": gaps[name][0],
            "expected": gaps[name][1],
            "share": (gaps[name][0] - gaps[name][1]) / gone,
        }
        for name in ranked[:5]
        if gaps[name][0] != gaps[name][1]
    ]


def _counted(watch: Watch, since: datetime, until: datetime) -> dict[datetime, dict[str, dict[str, int]]]:
    """Calls and rows by hour and consumer; the least busy of more than a hundred are one."""
    rows = watch.tables.query(
        """
        select date_trunc('hour', "at") as hour, principal,
               count(distinct prediction_id) as calls, count(*) as n
        from p where "at" >= ? and "at" < ? group by 1, 2 order by hour, calls desc, principal
        """,
        {"p": (predictions_table(watch.project.name), None)},
        [since.replace(tzinfo=None), until.replace(tzinfo=None)],
    )
    counted: dict[datetime, dict[str, dict[str, int]]] = {}
    for hour, principal, n_calls, n_rows in zip(*rows.values(), strict=True):
        of_hour = counted.setdefault(as_utc(hour), {})
        name = str(principal) if len(of_hour) < _LISTED else OTHERS
        sums = of_hour.setdefault(name, {"calls": 0, "predictions": 0})
        sums["calls"] += int(n_calls)
        sums["predictions"] += int(n_rows)
    return counted


def _hours(new: NewHours, rows: dict[datetime, dict[str, dict[str, int]]]) -> _Hours:
    kept = {m.window[0]: m.detail for m in new.kept if m.window is not None}
    begin = min([new.first, *kept])
    n_hours = int((new.until - begin) / HOUR)
    deviating: list[set[str]] = [set() for _ in range(n_hours)]
    hours = _Hours(begin=begin, total=np.zeros(n_hours), consumers={}, deviating=deviating)
    for start, consumers in ({at: detail["consumers"] for at, detail in kept.items()} | rows).items():
        index = int((start - begin) / HOUR)
        for name, sums in consumers.items():
            hours.consumers.setdefault(name, np.zeros(n_hours))[index] = sums["calls"]
            hours.total[index] += sums["calls"]
    for start, detail in kept.items():
        deviating[int((start - begin) / HOUR)] |= set(detail["deviating"])
    return hours


def _release(watch: Watch, until: datetime) -> str:
    """The release that answered the last call before ``until``."""
    newest = watch.tables.query(
        'select arg_max(release_id, ("at", prediction_id)) as r from p where "at" < ?',
        {"p": (predictions_table(watch.project.name), None)},
        [until.replace(tzinfo=None)],
    )
    return str(newest["r"][0])
