"""Whether a model was there to be asked: hours of the clock with failures and downtime, and the error budget.

Requests that fail are on record. A request that came while nobody could answer is not: nothing was there to
record it. So the two are measured apart, failures by request and downtime by time, and put together as the
chance that a request at any moment is answered:

    availability = (share of the time with a server) * (share of the requests that it answered)

The error budget is what a declared availability leaves of a period, as in Beyer and others, Site Reliability
Engineering (2016), chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from headrace.core.alerts import Period
from headrace.core.ids import derived_id
from headrace.core.ports import EventLog, EvidenceStore, TableStore
from headrace.core.project import Project, ServiceLevel
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.calls import NAME as CALLS
from headrace.monitoring.hours import GRACE, HOUR, MEMORY, hour_of
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.watch import Round
from headrace.monitoring.windows import as_utc
from headrace.monitoring.wording import lasting
from headrace.store.records import decode_failure

NAME = "availability"
"""Name of the measurements: one for each hour since a project first answered."""
KIND = "service_level"
PERIOD = timedelta(days=30)
"""Over which a declared availability is held, up to now."""
_DAY = timedelta(days=1)
_BATCH = 20_000
_HOUR_S = HOUR.total_seconds()

Interval = tuple[datetime, datetime]


class Counts(NamedTuple):
    """What happened in some time.

    Attributes:
        answered, failed: valid requests; those that failed in a maintenance window are not among them.
        observed_s: seconds of that time, without those of maintenance windows.
        down_s: seconds of them in which no server was there.
    """

    answered: int = 0
    failed: int = 0
    observed_s: float = 0.0
    down_s: float = 0.0

    @property
    def failing(self) -> float:
        """Share of the requests that failed; 0 where there were none."""
        n = self.answered + self.failed
        return self.failed / n if n else 0.0

    @property
    def availability(self) -> float | None:
        """The chance that a request at any moment of that time was answered; None of no time at all.

        >>> Counts(answered=90, failed=10, observed_s=1000.0, down_s=100.0).availability
        0.81
        """
        if not self.observed_s:
            return None
        return (1.0 - self.down_s / self.observed_s) * (1.0 - self.failing)

    def plus(self, other: Counts) -> Counts:
        """Both times together."""
        return Counts(
            self.answered + other.answered,
            self.failed + other.failed,
            self.observed_s + other.observed_s,
            self.down_s + other.down_s,
        )


class Budget(NamedTuple):
    """What is left of a declared availability over :data:`PERIOD`.

    Attributes:
        allowed_s: seconds of not answering that the period allows.
        used_s: seconds of downtime, and of the rest of the time the share in which requests failed.
    """

    allowed_s: float
    used_s: float

    @property
    def left(self) -> float:
        """Share of the budget that is left; negative once more is used up than there is."""
        return 1.0 - self.used_s / self.allowed_s if self.allowed_s else -float(self.used_s > 0)


def budget(level: ServiceLevel, counts: Counts) -> Budget:
    """The budget of ``level``, of which ``counts`` says what the period has used so far.

    >>> level = ServiceLevel(p99_ms=50, requests_per_s=1, availability=0.999)
    >>> spent = budget(level, Counts(observed_s=30 * 86400.0, down_s=648.0))
    >>> round(spent.allowed_s), round(spent.left, 3)
    (2592, 0.75)
    """
    availability = counts.availability
    bad = 0.0 if availability is None else 1.0 - availability
    return Budget((1.0 - level.availability) * PERIOD.total_seconds(), bad * counts.observed_s)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a model was there over the last 30 days, up to the last full hour.

    Attributes:
        until: the end of that hour.
        availability: chance that a request at any moment was answered, of the time that was observed; None
            where all of it was maintenance.
        observed_s: seconds that were observed; less than 30 days for what is young, and without maintenance.
        down_s: of them, seconds without any server.
        answered, failed: valid requests.
        failing_day: share of the requests of the last 24 hours that failed; None where none came.
        p99_ms: 99th percentile of the model's own time in the last full hour with a request.
        declared: None where no level is.
        allowed_s, used_s: the error budget in seconds of not answering, and how much of it is used up.
        left: share of it that is left; negative once more is used up than there is. None without a level.
    """

    project: str
    until: datetime
    availability: float | None
    observed_s: float
    down_s: float
    answered: int
    failed: int
    failing_day: float | None
    p99_ms: float | None
    declared: float | None
    allowed_s: float | None = None
    used_s: float | None = None
    left: float | None = None


def standing(project: Project, measured: Measurement) -> Standing:
    """From the measurement of the last full hour, which has what happened in the period before."""
    period, day = Counts(*measured.detail["period"]), Counts(*measured.detail["day"])
    level: ServiceLevel | None = project.serving.level
    spent = None if level is None else budget(level, period)
    return Standing(
        project=project.name,
        until=measured.at if measured.window is None else measured.window[1],
        availability=period.availability,
        observed_s=period.observed_s,
        down_s=period.down_s,
        answered=period.answered,
        failed=period.failed,
        failing_day=day.failing if day.answered + day.failed else None,
        p99_ms=measured.detail.get("p99_ms"),
        declared=None if level is None else level.availability,
        allowed_s=None if spent is None else spent.allowed_s,
        used_s=None if spent is None else spent.used_s,
        left=None if spent is None else spent.left,
    )


@dataclass(frozen=True, kw_only=True)
class Service:
    """One project, as it is watched for being there.

    Attributes:
        release_id: what is live now.
        begun: when it first answered here, and servers were first heard of; None before.
        uptime: when servers were there since a moment, in any order; they may overlap.
        periods: what people have named; of these the maintenance windows count.
    """

    project: Project
    release_id: str
    begun: Callable[[], datetime | None]
    uptime: Callable[[datetime], Sequence[Interval]]
    periods: Sequence[Period]
    evidence: EvidenceStore
    events: EventLog
    tables: TableStore
    now: datetime


def watch_service(service: Service) -> Round:
    """Count each hour that is over and that no round has counted; a finding where the budget is used up.

    An hour without a server is counted afterwards, by the first round once there is one again.
    """
    name, until = service.project.name, hour_of(service.now - GRACE)
    if service.evidence.measurements(name, name=NAME, since=until - HOUR):
        return Round([], [])
    calls = service.evidence.measurements(name, name=CALLS, since=until - HOUR - MEMORY)
    if calls:  # an hour whose answers are not counted yet is left to the next round
        until = min(until, max(m.window[1] for m in calls if m.window is not None))
    kept = service.evidence.measurements(name, name=NAME, since=until - HOUR - MEMORY)
    begun = max((m.window[1] for m in kept if m.window is not None), default=None) or _beginning(service)
    first = until if begun is None else max(begun, until - MEMORY)
    if first >= until:
        return Round([], [])
    return Round(*_counted(service, kept, first, until))


def _beginning(service: Service) -> datetime | None:
    """The first full hour after it was there."""
    begun = service.begun()
    return None if begun is None else hour_of(begun) + HOUR


def _counted(
    service: Service, kept: Sequence[Measurement], first: datetime, until: datetime
) -> tuple[list[Measurement], list[Finding]]:
    name, level = service.project.name, service.project.serving.level
    failures, offsets = _failures(service, kept, first, until)
    calls = {
        m.window[0]: int(m.value or 0)
        for m in service.evidence.measurements(name, name=CALLS, since=first)
        if m.window is not None
    }
    times = _times(service, first, until)
    known = {m.window[0]: Counts(*m.detail["hour"]) for m in kept if m.window is not None}
    planned = maintenance(service.periods)
    covered = _merged([*planned, *service.uptime(first)])
    measured: list[Measurement] = []
    findings: list[Finding] = []
    before = budget(level, _sum(known, first - PERIOD, first)).left if level is not None else 0.0
    start = first
    while start < until:
        end = start + HOUR
        excused = _seconds(_within(planned, start, end))
        down = _without(covered, start, end)
        counts = Counts(calls.get(start, 0), failures.get(start, 0), _HOUR_S - excused, down)
        known[start] = counts
        period, day = _sum(known, end - PERIOD, end), _sum(known, end - _DAY, end)
        last = end == until
        detail = {"hour": list(counts), "period": list(period), "day": list(day), "maintenance_s": excused,
                  "p99_ms": times.get(start)}  # fmt: skip
        measured.append(_measured(service, start, counts, detail | ({"offsets": offsets} if last else {})))
        if level is not None:
            spent = budget(level, period)
            if spent.left < 0 <= before:
                findings.append(_finding(service, level, start, period, spent))
            before = spent.left
        start = end
    return measured, findings


def maintenance(periods: Iterable[Period]) -> list[Interval]:
    """The windows that were announced before they began: nobody takes downtime back afterwards."""
    return _merged(
        (one.starts_at, one.ends_at)
        for one in periods
        if one.kind == "maintenance" and one.at <= one.starts_at
    )


def _sum(known: Mapping[datetime, Counts], since: datetime, until: datetime) -> Counts:
    found = Counts()
    for start, counts in known.items():
        if since <= start < until:
            found = found.plus(counts)
    return found


def _measured(service: Service, start: datetime, counts: Counts, detail: Mapping[str, Any]) -> Measurement:
    name = service.project.name
    return Measurement(
        id=derived_id(name, NAME, start.isoformat()),
        project=name,
        name=NAME,
        value=counts.availability,
        n_rows=counts.answered + counts.failed,
        at=service.now,
        release_id=service.release_id,
        window=(start, start + HOUR),
        detail=dict(detail),
    )


def _finding(
    service: Service, level: ServiceLevel, start: datetime, period: Counts, spent: Budget
) -> Finding:
    name, availability = service.project.name, period.availability or 0.0
    title = (
        f"the error budget of {PERIOD.days} days is used up: available {availability:.3%}, declared "
        f"{level.availability:.3%}; {lasting(period.down_s)} without a server, {period.failed:,} of "
        f"{period.answered + period.failed:,} requests failed"
    )
    evidence = {
        "availability": availability,
        "declared": level.availability,
        "allowed_s": spent.allowed_s,
        "used_s": spent.used_s,
        "down_s": period.down_s,
        "failed": period.failed,
        "answered": period.answered,
        "observed_s": period.observed_s,
    }
    return Finding(
        id=derived_id("finding", name, KIND, start.isoformat()),
        project=name,
        kind=KIND,
        release_id=service.release_id,
        title=title,
        window=(start, start + HOUR),
        evidence=evidence,
        size=spent.used_s / spent.allowed_s if spent.allowed_s else spent.used_s,
        at=service.now,
    )


def _failures(
    service: Service, kept: Sequence[Measurement], first: datetime, until: datetime
) -> tuple[dict[datetime, int], dict[str, int]]:
    """Failed requests by hour, and how far each segment of the log has been read.

    Each segment has the requests of one process, nearly in their order: it is read on from where the hour
    before has left it, up to the first of an hour that is still to come. A late one counts in the first hour;
    those from before anything was counted are left out.
    """
    stream = f"{service.project.name}/failures"
    offsets: dict[str, int] = dict(kept[-1].detail.get("offsets", {})) if kept else {}
    planned, counted = maintenance(service.periods), dict[datetime, int]()
    for segment in service.events.segments(stream):
        offset = offsets.get(segment.name, 0)
        while offset < segment.size_bytes:
            records, after = service.events.read(stream, segment.name, offset, _BATCH)
            failures = [decode_failure(record) for record in records]
            late = next((n for n, one in enumerate(failures) if one.at >= until), len(failures))
            for one in failures[:late]:
                if one.at < first and not kept:
                    continue
                if one.arm != "shadow" and not any(start <= one.at < end for start, end in planned):
                    hour = max(hour_of(one.at), first)
                    counted[hour] = counted.get(hour, 0) + 1
            if late < len(failures):
                offset = service.events.read(stream, segment.name, offset, late)[1] if late else offset
                break
            if not records:
                break
            offset = after
        offsets[segment.name] = offset
    return counted, offsets


def _times(service: Service, first: datetime, until: datetime) -> dict[datetime, float]:
    """99th percentile of the model's own time in milliseconds, by hour: reading the rows, and answering."""
    table = predictions_table(service.project.name)
    if service.tables.version(table) is None:
        return {}
    found = service.tables.query(
        """
        select date_trunc('hour', "at") as hour, quantile_disc(prepare_ms + infer_ms, 0.99) as p99
        from p where "row" = 0 and "at" >= ? and "at" < ? group by 1
        """,
        {"p": (table, None)},
        [first.replace(tzinfo=None), until.replace(tzinfo=None)],
    )
    return {
        as_utc(hour): float(p99)
        for hour, p99 in zip(found["hour"], found["p99"], strict=True)
        if np.isfinite(p99)
    }


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Without overlaps, the earliest first."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _within(intervals: Iterable[Interval], start: datetime, end: datetime) -> Iterator[Interval]:
    for begin, stop in intervals:
        if begin < end and stop > start:
            yield max(begin, start), min(stop, end)


def _seconds(intervals: Iterable[Interval]) -> float:
    return sum((stop - begin).total_seconds() for begin, stop in intervals)


def _without(merged: Sequence[Interval], start: datetime, end: datetime) -> float:
    """Seconds of ``start`` to ``end`` that none of the intervals covers."""
    return max((end - start).total_seconds() - _seconds(_within(merged, start, end)), 0.0)
