"""What every event log promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.ports import EventLog


def read_all(events: EventLog, stream: str, limit: int = 1000) -> list[bytes]:
    """All records of a stream, segment by segment."""
    found: list[bytes] = []
    for segment in events.segments(stream):
        offset = 0
        while True:
            records, offset = events.read(stream, segment.name, offset, limit)
            if not records:
                break
            found += records
        assert offset >= segment.size_bytes
    return found


class EventLogSuite:
    """Fixture ``events``: an empty log."""

    @pytest.mark.requirement("MON-06")
    def test_records_come_back_in_order(self, events: EventLog) -> None:
        records = [b"one", b"", b"three" * 1000, bytes(range(256))]
        events.append("cars/predictions", records[:2])
        events.append("cars/predictions", records[2:])
        assert read_all(events, "cars/predictions") == records
        assert events.count("cars/predictions") == 4

    def test_a_reader_goes_on_where_it_stopped(self, events: EventLog) -> None:
        events.append("s", [b"%d" % n for n in range(10)])
        assert read_all(events, "s", limit=3) == [b"%d" % n for n in range(10)]
        (segment,) = events.segments("s")
        assert events.read("s", segment.name, segment.size_bytes, 10) == ([], segment.size_bytes)
        events.append("s", [b"late"])
        assert events.read("s", segment.name, segment.size_bytes, 10)[0] == [b"late"]

    def test_a_limit_of_zero_reads_nothing(self, events: EventLog) -> None:
        events.append("s", [b"one"])
        assert events.read("s", events.segments("s")[0].name, 0, 0) == ([], 0)

    def test_large_records_are_read_whole(self, events: EventLog) -> None:
        large = b"x" * 5_000_000
        events.append("s", [b"small", large, b"small"])
        assert read_all(events, "s") == [b"small", large, b"small"]

    def test_streams_are_apart(self, events: EventLog) -> None:
        events.append("a", [b"1"])
        events.append("a/b", [b"2"])
        assert read_all(events, "a") == [b"1"]
        assert read_all(events, "a/b") == [b"2"]

    def test_a_stream_without_records_is_empty(self, events: EventLog) -> None:
        events.append("s", [])
        assert events.segments("s") == []
        assert events.count("s") == 0

    def test_a_missing_segment_is_not_found(self, events: EventLog) -> None:
        events.append("s", [b"one"])
        for name in ("absent", "../s", ""):
            with pytest.raises(NotFound):
                events.read("s", name, 0, 10)

    def test_negative_offsets_and_limits_are_refused(self, events: EventLog) -> None:
        events.append("s", [b"one"])
        name = events.segments("s")[0].name
        with pytest.raises(InvalidInput):
            events.read("s", name, -1, 10)
        with pytest.raises(InvalidInput):
            events.read("s", name, 0, -1)

    @pytest.mark.parametrize("stream", ["", "/", "..", "../s", "a//b", "a/../../b"])
    def test_names_that_are_no_path_are_refused(self, events: EventLog, stream: str) -> None:
        with pytest.raises(InvalidInput):
            events.append(stream, [b"one"])

    @pytest.mark.requirement("MON-06")
    def test_threads_may_append_at_once(self, events: EventLog) -> None:
        def append(writer: int) -> None:
            for n in range(20):
                events.append("s", [b"%d:%d:a" % (writer, n), b"%d:%d:b" % (writer, n)])

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(append, range(8)))
        records = read_all(events, "s")
        assert events.count("s") == len(records) == 320
        for writer in range(8):
            mine = [r for r in records if r.startswith(b"%d:" % writer)]
            assert mine == [b"%d:%d:%s" % (writer, n, part) for n in range(20) for part in (b"a", b"b")]
        assert all(records[i][:-1] == records[i + 1][:-1] for i in range(0, 320, 2))

    @pytest.mark.requirement("PRV-02")
    def test_records_are_removed_and_shortened_where_they_lie(self, events: EventLog) -> None:
        records = [b"%d:" % n + b"x" * n for n in range(10)]
        events.append("s", records)
        (before,) = events.segments("s")
        changes: dict[bytes, bytes | None] = {
            records[0]: None,
            records[4]: b"4",
            records[5]: b"",
            records[9]: None,
        }
        assert events.rewrite("s", lambda record: changes.get(record, record)) == 4
        left = [*records[1:4], b"4", b"", *records[6:9]]
        assert read_all(events, "s") == read_all(events, "s", limit=1) == left
        assert events.count("s") == len(left)
        assert events.segments("s")[0].size_bytes == before.size_bytes, "the others stay where they were"
        assert events.rewrite("s", lambda record: changes.get(record, record)) == 0, "again changes nothing"
        events.append("s", [b"late"])
        assert read_all(events, "s") == [*left, b"late"]

    def test_a_stream_of_which_nothing_is_left_is_empty(self, events: EventLog) -> None:
        events.append("s", [b"one", b""])
        assert events.rewrite("s", lambda _: None) == 2
        assert events.segments("s") == []
        assert events.count("s") == 0
        assert events.rewrite("absent", lambda _: None) == 0
        events.append("s", [b"two"])
        assert read_all(events, "s") == [b"two"]

    def test_no_record_becomes_longer(self, events: EventLog) -> None:
        events.append("s", [b"one"])
        with pytest.raises(InvalidInput, match="3 bytes"):
            events.rewrite("s", lambda record: record + b"!")
        assert read_all(events, "s") == [b"one"]

    @pytest.mark.requirement("PRV-02")
    def test_nothing_that_is_written_meanwhile_is_lost(self, events: EventLog) -> None:
        def append(writer: int) -> None:
            for n in range(30):
                events.append("s", [b"%d:%d" % (writer, n)])

        with ThreadPoolExecutor(3) as threads:
            done = [threads.submit(append, writer) for writer in range(2)]
            while not all(future.done() for future in done):
                events.rewrite("s", lambda record: None if record.endswith(b"5") else record)
        events.rewrite("s", lambda record: None if record.endswith(b"5") else record)
        expected = {b"%d:%d" % (w, n) for w in range(2) for n in range(30) if n % 10 != 5}
        assert sorted(read_all(events, "s")) == sorted(expected)

    def test_a_closed_log_takes_nothing(self, events: EventLog) -> None:
        events.append("s", [b"one"])
        events.close()
        with pytest.raises(Conflict):
            events.append("s", [b"two"])
