"""What is written down a while after it was asked, unless an erasure began in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headrace.core.ports import EventLog


class Late(NamedTuple):
    """A record, and when what it is about was asked, in seconds since 1970."""

    asked_s: float
    record: bytes


def append_until_erased(
    events: EventLog, stream: str, records: Sequence[Late], erased_s: Callable[[str], float]
) -> None:
    """Append those that were asked after the last erasure began; none that a later one would have to find.

    Args:
        stream: ``<project>/<kind>``.
        erased_s: project to when an erasure last began in it; 0.0 before the first.
    """
    project = stream.rpartition("/")[0]
    before_s = erased_s(project)
    kept = [one for one in records if one.asked_s > before_s]
    if not kept:
        return
    events.append(stream, [one.record for one in kept])
    now_s = erased_s(project)
    if now_s != before_s:
        # An erasure began meanwhile, and may have looked here before these were written.
        gone = {one.record for one in kept if one.asked_s <= now_s}
        events.rewrite(stream, lambda record: None if record in gone else record)
