"""What an id says: when it was made."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID


def made_at(record_id: str) -> datetime | None:
    """When :func:`headrace.core.ids.new_id` made this id, to the millisecond; None of any other text.

    >>> made_at("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")  # the example of RFC 9562, A.6
    datetime.datetime(2022, 2, 22, 19, 22, 22, tzinfo=datetime.timezone.utc)
    """
    try:
        known = UUID(record_id)
    except ValueError:
        return None
    return datetime.fromtimestamp((known.int >> 80) / 1000, UTC) if known.version == 7 else None
