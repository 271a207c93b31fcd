"""Moments as people type them: a day, or how long from now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from headrace.core.errors import InvalidInput

_SPAN = re.compile(r"(\d{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def moment(text: str, now: datetime) -> datetime:
    """``90d``, ``12h`` or ``30m`` from ``now``, or a day such as ``2027-01-31`` (its beginning in UTC).

    >>> moment("90d", datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2026-04-01T00:00:00+00:00'

    Raises:
        InvalidInput: it is neither.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{text!r} is no moment. Expected a time from now such as 90d or 12h, or a day "
            "such as 2027-01-31."
        ) from error
