"""Hours of the clock on the wall: which of them are over, and which of those no round has looked at yet.

Event time closes windows; but that nothing comes any more, or comes as nonsense, has to show when it happens.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from headrace.core.release import Measurement
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.watch import Watch
from headrace.monitoring.windows import as_utc

HOUR = timedelta(hours=1)
GRACE = timedelta(minutes=5)
"""How long after its end an hour is looked at: what was answered last is in the record by then."""
MEMORY = timedelta(days=36)
"""Earlier hours are not looked at any more."""


class NewHours(NamedTuple):
    """Full hours from ``first`` up to, not including, ``until``; what was ``kept`` of the hours before."""

    first: datetime
    until: datetime
    kept: list[Measurement]


def new_hours(watch: Watch, name: str) -> NewHours | None:
    """The hours that have no measurement ``name`` yet, each of which is to get one; None without any.

    A project begins with the first full hour after its first answer.
    """
    until = hour_of(watch.now - GRACE)
    if watch.evidence.measurements(watch.project.name, name=name, since=until - HOUR):
        return None
    kept = watch.evidence.measurements(watch.project.name, name=name, since=until - HOUR - MEMORY)
    ends = [measured.window[1] for measured in kept if measured.window is not None]
    begun = max(ends) if ends else _beginning(watch)
    if begun is None:
        return None
    first = max(begun, until - HOUR - MEMORY)
    return NewHours(first, until, kept) if first < until else None


def hour_of(moment: datetime) -> datetime:
    """The beginning of its hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _beginning(watch: Watch) -> datetime | None:
    table = predictions_table(watch.project.name)
    if watch.tables.version(table) is None:
        return None
    first = watch.tables.query('select min("at") as t from p', {"p": (table, None)})["t"]
    return hour_of(as_utc(first[0])) + HOUR if len(first) and not np.isnat(first[0]) else None
