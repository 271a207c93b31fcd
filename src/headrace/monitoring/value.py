"""What a model has really been worth in its first year, by month, beside what was expected of it.

Each window of a KPI is worth its answers times how far the KPI is from where it would be without the model,
times what one unit of it is worth. Windows are independent, so the interval of their sum recovers each one's
variance from its own interval (G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). It holds for one
look.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from headrace.core.release import Measurement
from headrace.projects.intake import ValueCase

FIRST_YEAR = 12
"""Months of production that are reported."""
Conclusion = Literal["above", "below", "undecided", "unmeasured"]


@dataclass(frozen=True, kw_only=True)
class Month:
    """One month since the first answer.

    Attributes:
        number: from 1 on; ``start`` and ``end`` in event time.
        realised: value of the answers in it; None where nothing was measured.
        interval: of ``realised``; None where one of its windows has none.
        expected: what the hypothesis says of this month, of all of it.
        so_far, so_far_interval, expected_so_far: the same of all months up to the end of this
            one, or up to what was measured last.
        n_answers: that it is of; ``n_covered``: of those, answers that something was told of.
    """

    number: int
    start: datetime
    end: datetime
    realised: float | None
    interval: tuple[float, float] | None
    expected: float
    so_far: float | None
    so_far_interval: tuple[float, float] | None
    expected_so_far: float
    n_answers: int
    n_covered: int


@dataclass(frozen=True, kw_only=True)
class Realised:
    """The value of a model against its hypothesis.

    Attributes:
        months: those that have begun, at most twelve and no more than the hypothesis is of.
        total, interval, expected: over all of them, up to what was measured last.
        confidence: of the intervals.
        conclusion: ``above`` or ``below`` where ``expected`` is outside of the interval; ``undecided`` where
            it is inside, or there is no interval; ``unmeasured`` where nothing says anything.
        why: of the conclusion, in words.
    """

    project: str
    case: ValueCase | None
    months: list[Month]
    total: float | None
    interval: tuple[float, float] | None
    expected: float | None
    confidence: float | None
    conclusion: Conclusion
    why: str


class _Worth(NamedTuple):
    value: float
    interval: tuple[float, float] | None
    n: int
    covered: int


def unmeasured(project: str, case: ValueCase | None, why: str) -> Realised:
    """Nothing can be told, and why."""
    return Realised(
        project=project, case=case, months=[], total=None, interval=None, expected=None, confidence=None,
        conclusion="unmeasured", why=why,
    )  # fmt: skip


def realised_value(
    project: str, case: ValueCase, measured: Sequence[Measurement], begun_at: datetime
) -> Realised:
    """The value month by month.

    Args:
        measured: of the KPI that the hypothesis names, over all answers: one of each window and release.
        begun_at: when the first answer was given, in event time.
    """
    known = [one for one in measured if one.window is not None and one.value is not None]
    if not known:
        return unmeasured(project, case, f"nothing has been told yet that the KPI {case.kpi!r} is made of")
    until = max(one.window[1] for one in known if one.window is not None)
    months, so_far = [], list[_Worth]()
    for number in range(1, min(FIRST_YEAR, case.months) + 1):
        start, end = months_after(begun_at, number - 1), months_after(begun_at, number)
        if start >= until:
            break
        mine = [_worth(case, one) for one in known if one.window is not None and start <= one.window[0] < end]
        so_far += mine
        part = min((until - start) / (end - start), 1.0)
        months.append(_month(case, number, (start, end), mine, so_far, number - 1 + part))
    last = months[-1]
    conclusion, why = _concluded(case, last, so_far)
    unknown = sum(one.window is not None and one.value is None and one.window[1] <= until for one in measured)
    if unknown and conclusion in ("above", "below"):
        # What could not be measured is neither a gain nor a loss.
        conclusion, why = "undecided", f"{why}; but {unknown} windows until then could not be measured"
    return Realised(
        project=project,
        case=case,
        months=months,
        total=last.so_far,
        interval=last.so_far_interval,
        expected=last.expected_so_far,
        confidence=known[-1].confidence,
        conclusion=conclusion,
        why=why,
    )


def _month(
    case: ValueCase, number: int, span: tuple[datetime, datetime], mine: Sequence[_Worth],
    so_far: Sequence[_Worth], elapsed: float,
) -> Month:  # fmt: skip
    return Month(
        number=number,
        start=span[0],
        end=span[1],
        realised=math.fsum(one.value for one in mine) if mine else None,
        interval=sum_interval(mine),
        expected=case.expected / case.months,
        so_far=math.fsum(one.value for one in so_far) if so_far else None,
        so_far_interval=sum_interval(so_far),
        expected_so_far=case.expected * elapsed / case.months,
        n_answers=sum(one.n for one in mine),
        n_covered=sum(one.covered for one in mine),
    )


def _worth(case: ValueCase, one: Measurement) -> _Worth:
    """What the answers of one window were worth."""

    def worth(value: float) -> float:
        return one.n_rows * (value - case.without) * case.worth

    ends = None if one.interval is None else sorted(worth(end) for end in one.interval)
    return _Worth(
        value=worth(one.value or 0.0),
        interval=None if ends is None else (ends[0], ends[1]),
        n=one.n_rows,
        covered=int(one.detail.get("n_covered", 0)),
    )


def sum_interval(parts: Iterable[_Worth]) -> tuple[float, float] | None:
    """The interval of a sum of independent values; None of none, and where one has no interval."""
    parts = list(parts)
    if not parts or any(one.interval is None for one in parts):
        return None
    total = math.fsum(one.value for one in parts)
    down = math.hypot(*(one.value - one.interval[0] for one in parts if one.interval is not None))
    up = math.hypot(*(one.interval[1] - one.value for one in parts if one.interval is not None))
    return total - down, total + up


def _concluded(case: ValueCase, last: Month, so_far: Sequence[_Worth]) -> tuple[Conclusion, str]:
    if last.so_far is None:
        return "unmeasured", "nothing was measured in these months"
    known = f"{amount(last.so_far)} {case.unit} of {amount(last.expected_so_far)} expected by then"
    if last.so_far_interval is None:
        few = sum(one.interval is None for one in so_far)
        return "undecided", f"{known}; in {few} of {len(so_far)} windows too little was told for an interval"
    low, high = last.so_far_interval
    between = f"{known}, between {amount(low)} and {amount(high)}"
    if low > last.expected_so_far:
        return "above", between
    if high < last.expected_so_far:
        return "below", between
    return "undecided", f"{between}: it may be more or less than expected"


def amount(value: float) -> str:
    """As people write it: whole from 1,000 on.

    >>> amount(23238.9), amount(-3.14159)
    ('23,239', '-3.142')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def months_after(moment: datetime, n_months: int) -> datetime:
    """The same day and time ``n_months`` later, or the month's last day where it has no such day.

    >>> from datetime import UTC
    >>> months_after(datetime(2026, 1, 31, tzinfo=UTC), 1).date().isoformat()
    '2026-02-28'
    """
    year, month = divmod(moment.month - 1 + n_months, 12)
    year, month = moment.year + year, month + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
