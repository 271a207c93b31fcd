"""How a shift that a window shows came: what the windows before, holidays and known events say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.courses import Course, Cycle, course_of
from headrace.checks.localising import codes_of
from headrace.checks.profiles import FeatureProfile
from headrace.core.alerts import Period
from headrace.core.ports import Columns
from headrace.core.release import Measurement
from headrace.data.holidays import days_from_holiday
from headrace.monitoring.ingest import predictions_table, quoted
from headrace.monitoring.watch import Watch
from headrace.monitoring.windows import MOST_ROWS, Window

_HOUR, _DAY, _WEEK = 3_600, 86_400, 604_800
_SLOTS = (_HOUR, 3 * _HOUR, 6 * _HOUR, _DAY, _WEEK)
_FEWEST_IN_WINDOW = 4
_WINDOWS, _LEAST_S = 12, 4 * _WEEK
"""How far back is looked: twelve windows, and four weeks at least."""
_YEAR_S = 52 * _WEEK
"""Years are counted in weeks, so that weekdays meet."""
_NEAR_HOLIDAY = (0, 1, 3)
_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Prepared = Callable[[Columns], Any]


@dataclass(frozen=True, kw_only=True)
class History:
    """Live rows of the windows before one, and that one, in slots of time; times are UTC.

    Attributes:
        slot_s: a quarter of a window or less: an hour, 3, 6, a day or a week.
    """

    watch: Watch
    window: Window
    slot_s: int

    @classmethod
    def of(cls, watch: Watch, window: Window) -> History | None:
        """None where a window is too short to be told apart in time: less than four hours."""
        length_s = int((window.end - window.start).total_seconds())
        slots = [one for one in _SLOTS if one * _FEWEST_IN_WINDOW <= length_s]
        return cls(watch=watch, window=window, slot_s=slots[-1]) if slots else None

    @property
    def n_window(self) -> int:
        """Slots of the window."""
        return int((self.window.end - self.window.start).total_seconds()) // self.slot_s

    @property
    def n(self) -> int:
        """Slots of all that is looked at, but for the year before."""
        return max(_WINDOWS * self.n_window, _LEAST_S // self.slot_s)

    @cached_property
    def starts(self) -> NDArray[np.datetime64]:
        """Where each slot begins, those of the year before first, ``(2 * n,)``, to the second."""
        end = np.datetime64(self.window.end.replace(tzinfo=None), "s")
        near = end + (np.arange(self.n) - self.n) * np.timedelta64(self.slot_s, "s")
        return np.concatenate([near - np.timedelta64(_YEAR_S, "s"), near])

    def course(self, profile: FeatureProfile, column: str, prepared: Prepared, *, own: bool) -> Course:
        """The course of one feature.

        Args:
            column: of the table of answers; ``prepared`` makes values of it, as ``profile`` has them.
            own: of the window's release alone: another one answers in another way.
        """
        found = [self._counts(profile, column, prepared, far=far, own=own) for far in (False, True)]
        near, far = found if found[1].any() else (found[0], None)
        reference = codes_of(profile, np.empty(0))[1]
        return course_of(near, reference, self.n_window, self._cycles(), self._occasions(far is None), far)

    def _counts(
        self, profile: FeatureProfile, column: str, prepared: Prepared, *, far: bool, own: bool
    ) -> NDArray[np.float64]:
        starts = self.starts[: self.n] if far else self.starts[self.n :]
        reference = codes_of(profile, np.empty(0))[1]
        table = np.zeros((self.n, reference.size))
        until = starts[-1] + np.timedelta64(self.slot_s, "s")
        rows = self._rows(column, starts[0].item(), until.item(), own=own)
        if rows is not None and len(rows["event_time"]):
            slots = (rows["event_time"].astype("datetime64[s]") - starts[0]).astype(np.int64) // self.slot_s
            np.add.at(table, (slots, codes_of(profile, prepared(rows[column]))[0]), 1.0)
        return table

    def _rows(self, column: str, since: datetime, until: datetime, *, own: bool) -> dict[str, Any] | None:
        """Of very many rows, a share that follows from their ids. None where no row has the column."""
        place = {"p": (predictions_table(self.watch.project.name), None)}
        if column not in self.watch.tables.query("select * from p limit 0", place):
            return None
        where = "arm not in ('canary', 'shadow') and event_time >= ? and event_time < ?"
        given: list[Any] = [since, until]
        if own:
            where, given = f"{where} and release_id = ?", [*given, self.window.release_id]
        n = int(self.watch.tables.query(f"select count(*) as n from p where {where}", place, given)["n"][0])
        return self.watch.tables.query(
            f"select event_time, {quoted(column)} from p where {where} and hash(subject) % ? = 0",
            place,
            [*given, -(-n // MOST_ROWS) or 1],
        )

    def _cycles(self) -> dict[str, Cycle]:
        """Days and weeks, where slots fit into them: by the clock of UTC, weeks from Monday on."""
        first = int(self.starts[self.n].astype(np.int64))
        if first % self.slot_s or _DAY % self.slot_s:
            return {}
        a_day = _DAY // self.slot_s
        monday = first - 4 * _DAY  # 1970-01-05 was one
        week = Cycle(7 * a_day, monday % _WEEK // self.slot_s, a_day)
        return {"week": week} | ({"day": Cycle(a_day, first % _DAY // self.slot_s)} if a_day > 1 else {})

    def _occasions(self, near_alone: bool) -> dict[str, NDArray[np.bool_]]:
        starts = self.starts[self.n :] if near_alone else self.starts
        found = _events(self.watch.periods, starts, self.slot_s)
        if self.slot_s <= _DAY:
            away = np.abs(days_from_holiday(starts.astype("datetime64[D]")))
            found |= {_near(reach): away <= reach for reach in _NEAR_HOLIDAY}
        return found

    def words(self, course: Course) -> str:
        """How a course follows on what was found, such as ``slowly since 2026-03-05``; empty if undecided."""
        first, last = (None if slot is None else self.moment(slot) for slot in (course.first, course.last))
        if course.name == "recurring":
            return f"as {self._again(course)}"
        if course.name == "gradual":
            return f"slowly since {first}" + (f" until {last}" if last else "")
        if course.name == "abrupt":
            return f"all at once, from {first} to {last}" if last else f"since {first}, all at once"
        return ""

    def _again(self, course: Course) -> str:
        if course.cycle == "week" and course.phases is not None:
            a_day = _DAY // self.slot_s
            first, last = course.phases[0] // a_day, (course.phases[1] // a_day - 1) % 7
            return f"every {_NAMES[first]}" + ("" if first == last else f" to {_NAMES[last]}")
        if course.cycle == "day" and course.phases is not None:
            first, last = (phase * self.slot_s // _HOUR for phase in course.phases)
            return f"every day from {first:02}:00 to {last:02}:00"
        return "a year before" if course.cycle == "year" else f"before: {course.cycle}"

    def moment(self, slot: int) -> str:
        """Where a slot begins, to the day where slots are days."""
        at = self.began(slot)
        return f"{at:%Y-%m-%d}" if self.slot_s >= _DAY else f"{at:%Y-%m-%d %H:%M}"

    def began(self, slot: int) -> datetime:
        """The moment at which a slot begins."""
        return self.window.end.astimezone(UTC) + timedelta(seconds=(slot - self.n) * self.slot_s)


def came(shifts: Sequence[Measurement]) -> dict[tuple[str | None, str, str | None], str]:
    """How each shift came, in words, by release, kind and feature, as the newest window that tells has it.

    When a slow shift is first found, little of it is there: its course shows in later windows.

    Args:
        shifts: measurements named ``shift``, the oldest window first.
    """
    return {
        (one.release_id, one.detail["kind"], one.feature): one.detail["came"]
        for one in shifts
        if one.detail.get("came")
    }


def _near(reach: int) -> str:
    days = {0: "on", 1: "within a day of"}.get(reach, f"within {reach} days of")
    return f"{days} federal holidays of the United States"


def _events(
    periods: Iterable[Period], starts: NDArray[np.datetime64], slot_s: int
) -> dict[str, NDArray[np.bool_]]:
    """Slots by the title of known events: those whose middle lies in one."""
    middles = starts + np.timedelta64(slot_s // 2, "s")
    found: dict[str, NDArray[np.bool_]] = {}
    for one in periods:
        if one.kind != "event" or one.state != "named":
            continue
        start, end = (
            np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s")
            for moment in (one.starts_at, one.ends_at)
        )
        title = " ".join(one.title.split())
        inside = (middles >= start) & (middles < end)
        found[title] = found.get(title, np.zeros(len(starts), dtype=bool)) | inside
    return found
