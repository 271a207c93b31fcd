from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.llm.sse import Event, EventReader, UpstreamBroken

_DATA = st.binary(max_size=40).filter(lambda data: not set(data) & set(b"\r\n"))
_EVENTS = st.lists(st.builds(Event, st.sampled_from([b"", b"message_stop", b"ping"]), _DATA), max_size=6)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def _written(events: list[Event], end: bytes, comments: bool) -> bytes:
    text = b""
    for event in events:
        text += b": keep-alive" + end + end if comments else b""
        text += b"event: " + event.name + end if event.name else b""
        text += b"data: " + event.data + end + end
    return text


def _read(reader: EventReader, data: bytes, cuts: list[int]) -> list[Event]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found: list[Event] = []
    for start, end in itertools.pairwise(places):
        found += reader.feed(data[start:end])
    return found


@given(events=_EVENTS, end=_ENDS, comments=st.booleans(), cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_events_are_the_same_however_they_arrive(
    events: list[Event], end: bytes, comments: bool, cuts: list[int]
) -> None:
    reader = EventReader()
    assert _read(reader, _written(events, end, comments) + b": the end\n", cuts) == events


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=8))
def test_nothing_that_arrives_is_more_than_refused(data: bytes, cuts: list[int]) -> None:
    try:
        whole = EventReader().feed(data)
    except UpstreamBroken:
        whole = None
    try:
        assert _read(EventReader(), data, cuts) == whole
    except UpstreamBroken:
        assert whole is None


def test_an_event_may_have_several_lines_of_data_and_fields_that_nobody_reads() -> None:
    (event,) = EventReader().feed(b"id: 7\nretry: 10\nevent: x\ndata: one\ndata:two\n\n")
    assert event == Event(b"x", b"one\ntwo")


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_event() -> None:
    assert EventReader().feed(b"\xef\xbb\xbfdata: 1\n\n") == [Event(b"", b"1")]


@pytest.mark.parametrize("text", [b"nonsense\n\n", b'data: {}\n{"a": 1}\n\n', b"<html>\n\n"])
def test_what_is_no_event_is_an_error(text: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="no server-sent event"):
        EventReader().feed(text)


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_an_event_is_bounded(end: bytes) -> None:
    reader = EventReader(most_bytes=1000)
    with pytest.raises(UpstreamBroken, match="more than 1000 bytes"):
        reader.feed(b"data: " + b"x" * 1000 + end)


def test_many_events_at_once_are_not_one_large_one() -> None:
    assert len(EventReader(most_bytes=100).feed(b"data: 1\n\n" * 1000)) == 1000


def test_it_knows_whether_an_event_has_begun() -> None:
    reader = EventReader()
    assert reader.is_between
    reader.feed(b"data: 1\n\ndata: 2\n")
    assert not reader.is_between
    reader.feed(b"\n\n")
    assert reader.is_between
