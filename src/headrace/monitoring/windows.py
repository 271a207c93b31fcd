"""Event-time windows, closed by the watermark: the newest event time among the answers.

An answer may be about any moment that its caller names. One about the future does not move the watermark
beyond the moment at which it was given: otherwise one request would close all windows before their rows come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from headrace.core.ports import TableStore
from headrace.monitoring.ingest import predictions_table

MOST_ROWS = 200_000
"""So many rows of a window are in memory at once."""
FAIR_SHARE = 0.4
"""Least share of a window's rows by which a release can be compared: half of them, with some room."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Rows one release answered as the live one from ``start`` up to, not including, ``end`` (event time)."""

    release_id: str
    start: datetime
    end: datetime
    n_rows: int


def watermark(project: str, tables: TableStore) -> datetime | None:
    """The newest event time that has come, of those answered so far; None before the first answer."""
    if tables.version(predictions_table(project)) is None:
        return None
    newest = tables.query(
        'select max(least(event_time, "at")) as t from p', {"p": (predictions_table(project), None)}
    )["t"]
    return as_utc(newest[0]) if len(newest) and not np.isnat(newest[0]) else None


def first_answer(
    project: str, tables: TableStore, release_id: str, window: tuple[datetime, datetime]
) -> datetime | None:
    """When the first answer about a window (event time) was given by a release; None without any.

    It is the earliest of what is found in that window that can have been wrong.
    """
    if tables.version(predictions_table(project)) is None:
        return None
    sql = 'select min("at") as t from p where release_id = ? and event_time >= ? and event_time < ?'
    start, end = (moment.astimezone(UTC).replace(tzinfo=None) for moment in window)
    found = tables.query(sql, {"p": (predictions_table(project), None)}, [release_id, start, end])["t"]
    return as_utc(found[0]) if len(found) and not np.isnat(found[0]) else None


def origin_of(project: str, tables: TableStore, window_s: int) -> datetime | None:
    """Where the first window begins: the day (or shorter window) of the first answer's event time.

    So a week is seven full days from the first day of traffic, not the rest of a calendar week.
    """
    if tables.version(predictions_table(project)) is None:
        return None
    # The first answer by arrival, not the earliest event: one that comes late must not move the windows.
    first = tables.query(
        'select arg_min(event_time, ("at", prediction_id)) as t from p',
        {"p": (predictions_table(project), None)},
    )["t"]
    if not len(first) or np.isnat(first[0]):
        return None
    grain_s = min(window_s, 86_400)
    return datetime.fromtimestamp(int(as_utc(first[0]).timestamp() // grain_s) * grain_s, UTC)


def closed_windows(project: str, tables: TableStore, window_s: int) -> list[Window]:
    """All windows whose end the watermark has passed, oldest first.

    A release has a window in which it was live and answered a fair share of the rows. A canary has none,
    nor a release that came in the last hours of one: a few hours of a week are no sample of the week. What
    is fair is less while an A/B test shares the rows among releases.
    """
    newest, origin = watermark(project, tables), origin_of(project, tables, window_s)
    if newest is None or origin is None:
        return []
    origin_s = origin.timestamp()
    rows = tables.query(
        """
        with slotted as (
          select release_id, arm, cast(floor((epoch(event_time) - ?) / ?) as bigint) as slot from p
        ),
        counted as (
          select release_id, slot, count(*) filter (arm not in ('canary', 'shadow')) as n,
                 sum(count(*)) over (partition by slot) as total,
                 sum(cast(bool_or(arm not in ('live', 'canary', 'shadow')) as int)) over (partition by slot)
                   as n_arms
          from slotted where (slot + 1) * ? + ? <= ? group by release_id, slot
        )
        select release_id, slot, n from counted where n > 0 and n >= ? * total / greatest(n_arms, 1)
        order by slot, release_id
        """,
        {"p": (predictions_table(project), None)},
        [origin_s, window_s, window_s, origin_s, newest.timestamp(), FAIR_SHARE],
    )
    return [
        Window(
            release_id=str(release_id),
            start=_begin_of(int(slot), window_s, origin),
            end=_begin_of(int(slot) + 1, window_s, origin),
            n_rows=int(n),
        )
        for release_id, slot, n in zip(rows["release_id"], rows["slot"], rows["n"], strict=True)
    ]


def window_of(moment: datetime, window_s: int, origin: datetime) -> tuple[datetime, datetime]:
    """The window that holds ``moment``, counted from ``origin``.

    >>> day = datetime(2026, 1, 1, tzinfo=UTC)
    >>> window_of(day + timedelta(days=8), 604_800, day)[0].day
    8
    """
    slot = (moment - origin) // timedelta(seconds=window_s)
    return _begin_of(slot, window_s, origin), _begin_of(slot + 1, window_s, origin)


def _begin_of(slot: int, window_s: int, origin: datetime) -> datetime:
    """Where a window begins; the first and the last one end with what a time can be."""
    try:
        return origin + timedelta(seconds=slot * window_s)
    except OverflowError:
        return _FIRST if slot < 0 else _LAST


def window_rows(project: str, tables: TableStore, window: Window, *, most: int = MOST_ROWS) -> dict[str, Any]:
    """The window's live rows: ``in_*``, ``out_*`` and the record's own columns.

    Of a window of more than ``most`` rows it is a sample of about as many: those whose subjects' hashes
    fall so, which has nothing to do with what they say. :func:`window_parts` gives all of them.
    """
    one_in = -(-window.n_rows // most) or 1
    return _rows_between(project, tables, window, (window.start, window.end), one_in)


def window_parts(
    project: str, tables: TableStore, window: Window, *, most: int = MOST_ROWS
) -> Iterator[dict[str, Any]]:
    """All of :func:`window_rows`, in spans of time that hold about ``most`` rows if traffic is even."""
    n_parts = -(-window.n_rows // most) or 1
    length = (window.end - window.start) / n_parts
    edges = [*(window.start + number * length for number in range(n_parts)), window.end]
    for span in pairwise(edges):
        yield _rows_between(project, tables, window, span, 1)


def _rows_between(
    project: str, tables: TableStore, window: Window, span: tuple[datetime, datetime], one_in: int
) -> dict[str, Any]:
    start, end = (moment.replace(tzinfo=None) for moment in span)
    return tables.query(
        "select * from p where release_id = ? and arm not in ('canary', 'shadow') "
        "and event_time >= ? and event_time < ? and hash(subject) % ? = 0",
        {"p": (predictions_table(project), None)},
        [window.release_id, start, end, one_in],
    )


def rows_by_release(project: str, tables: TableStore, span: tuple[datetime, datetime]) -> dict[str, int]:
    """How many live rows each release has answered about a span of event time."""
    start, end = (moment.replace(tzinfo=None) for moment in span)
    found = tables.query(
        "select release_id, count(*) as n from p where arm not in ('canary', 'shadow') "
        "and event_time >= ? and event_time < ? group by 1 order by 1",
        {"p": (predictions_table(project), None)},
        [start, end],
    )
    return dict(zip(found["release_id"].tolist(), found["n"].tolist(), strict=True))


def as_utc(moment: Any) -> datetime:
    """A numpy time as an aware datetime."""
    return _EPOCH + timedelta(microseconds=int(np.datetime64(moment, "us").astype(np.int64)))
