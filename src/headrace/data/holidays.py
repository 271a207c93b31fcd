"""Days that change how many people travel and buy: the federal holidays of the United States, by rule.

Source: 5 U.S.C. 6103. Juneteenth counts from its first year, 2021. Days on which a holiday is observed
instead (when it falls on a weekend) are not moved: people travel around the day itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.datetime64]

REACH_DAYS = 4
"""How far around a holiday a day counts as near it."""
NOT_NEAR = REACH_DAYS + 1

_FIXED = ("01-01", "07-04", "11-11", "12-25")
_NTH_MONDAY = (("01", 3), ("02", 3), ("09", 1), ("10", 2))


def federal_holidays(year: int) -> Days:
    """The holidays of one year in order, ``datetime64[D]``.

    >>> str(federal_holidays(2020)[1])
    '2020-01-20'
    """
    found = [np.datetime64(f"{year:04}-{day}") for day in _FIXED]
    found += [_nth(f"{year:04}-{month}", nth - 1, "Mon") for month, nth in _NTH_MONDAY]
    found.append(_nth(f"{year:04}-11", 3, "Thu"))
    found.append(_nth(f"{year:04}-06", 0, "Mon") - np.timedelta64(7, "D"))
    if year >= 2021:
        found.append(np.datetime64(f"{year:04}-06-19"))
    return np.sort(np.array(found, dtype="datetime64[D]"))


def days_from_holiday(days: Days) -> NDArray[np.float64]:
    """Days since the nearest holiday, negative before it; 5 beyond four days either side.

    Args:
        days: ``datetime64[D]``, shape ``(n_rows,)``, no NaT.
    """
    if not len(days):
        return np.empty(0)
    years = days.astype("datetime64[Y]").astype(np.int64) + 1970
    known = np.concatenate([federal_holidays(year) for year in range(years.min() - 1, years.max() + 2)])
    after = np.searchsorted(known, days)
    since = (days - known[np.maximum(after - 1, 0)]).astype(np.int64)
    until = (known[np.minimum(after, len(known) - 1)] - days).astype(np.int64)
    nearest = np.where(until <= since, -until, since)
    return np.where(np.abs(nearest) <= REACH_DAYS, nearest, NOT_NEAR).astype(np.float64)


def _nth(month: str, offset: int, weekday: str) -> np.datetime64:
    return np.busday_offset(month, offset, roll="forward", weekmask=weekday)
