from __future__ import annotations

from collections.abc import Sequence

from headrace.serving.until_erased import Late, append_until_erased
from headrace.testing import MemoryEvents

STREAM = "cars/explanations"
OLD, NEW = Late(10.0, b"old"), Late(30.0, b"new")


def kept(events: MemoryEvents) -> list[bytes]:
    return [
        record
        for segment in events.segments(STREAM)
        for record in events.read(STREAM, segment.name, 0, 100)[0]
    ]


def test_what_was_asked_before_an_erasure_is_not_written_after_it() -> None:
    events = MemoryEvents()
    append_until_erased(events, STREAM, [OLD, NEW], {"cars": 20.0}.__getitem__)
    assert kept(events) == [b"new"]
    append_until_erased(events, STREAM, [OLD], {"cars": 20.0}.__getitem__)
    assert kept(events) == [b"new"]


def test_what_an_erasure_that_began_meanwhile_cannot_have_seen_is_taken_out_again() -> None:
    marks = {"cars": 0.0}

    class Erased(MemoryEvents):
        """An erasure begins, and has looked here, just before the records arrive."""

        def append(self, stream: str, records: Sequence[bytes]) -> None:
            marks["cars"] = 20.0
            super().append(stream, records)

    events = Erased()
    append_until_erased(events, STREAM, [OLD, NEW], marks.__getitem__)
    assert kept(events) == [b"new"]
