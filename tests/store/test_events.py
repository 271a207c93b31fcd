from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from headrace.core.clock import SystemClock
from headrace.core.errors import InternalError, InvalidInput, Unavailable
from headrace.core.ids import new_id
from headrace.core.ports import EventLog
from headrace.store.events import SegmentLog
from headrace.store.framing import encode
from headrace.testing import START, EventLogSuite, MemoryKeys
from headrace.testing.suites.events import read_all
from tests.store.children import Child, append_events, running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "events"


def _log(folder: Path, *, segment_bytes: int = 64 << 20) -> SegmentLog:
    return SegmentLog(folder, new_id(START), segment_bytes=segment_bytes)


def _only_file(folder: Path) -> Path:
    (path,) = folder.rglob("*.seg")
    return path


class TestSegmentLog(EventLogSuite):
    @pytest.fixture
    def events(self, folder: Path) -> EventLog:
        return _log(folder)


class TestEncryptedSegmentLog(EventLogSuite):
    @pytest.fixture
    def events(self, folder: Path) -> EventLog:
        return SegmentLog(folder, new_id(START), keys=MemoryKeys())


class TestSegmentLogThatRotatesAllTheTime(EventLogSuite):
    @pytest.fixture
    def events(self, folder: Path) -> EventLog:
        return _log(folder, segment_bytes=1)

    def test_a_reader_goes_on_where_it_stopped(self, events: EventLog) -> None:
        events.append("s", [b"one"])
        (first,) = events.segments("s")
        events.append("s", [b"two"])
        assert events.read("s", first.name, first.size_bytes, 10) == ([], first.size_bytes)
        assert events.segments("s")[0] == first
        assert read_all(events, "s") == [b"one", b"two"]


def test_segments_rotate_and_stay_in_order(folder: Path) -> None:
    log = _log(folder, segment_bytes=100)
    records = [b"%04d" % n * 10 for n in range(50)]
    for record in records:
        log.append("s", [record])
    assert len(log.segments("s")) > 10
    assert all(segment.size_bytes < 200 for segment in log.segments("s"))
    assert read_all(log, "s") == records
    assert log.count("s") == 50


@pytest.mark.requirement("MON-06")
def test_another_process_reads_what_was_acknowledged(folder: Path) -> None:
    writer, reader = _log(folder), _log(folder)
    assert reader.count("s") == 0
    writer.append("s", [b"one"])
    assert reader.count("s") == 1
    writer.append("s", [b"two", b"three"])
    assert reader.count("s") == 3
    assert read_all(reader, "s") == [b"one", b"two", b"three"]


def test_each_writer_has_files_of_its_own(folder: Path) -> None:
    logs = [_log(folder) for _ in range(3)]
    for n in range(9):
        logs[n % 3].append("s", [b"%d" % n])
    assert len(list(folder.rglob("*.seg"))) == 3
    assert [segment.name for segment in logs[0].segments("s")] == sorted(
        path.name for path in folder.rglob("*.seg")
    )
    assert read_all(logs[0], "s") == [b"0", b"3", b"6", b"1", b"4", b"7", b"2", b"5", b"8"]


def test_a_writer_that_comes_back_starts_a_new_file(folder: Path) -> None:
    name = new_id(START)
    for n in range(3):
        log = SegmentLog(folder, name)
        log.append("s", [b"%d" % n])
        log.close()
    assert len(list(folder.rglob("*.seg"))) == 3
    assert read_all(_log(folder), "s") == [b"0", b"1", b"2"]


@pytest.mark.requirement("MON-06")
@pytest.mark.parametrize("tail", [b"\x05", b"\x05\x00\x00\x00\x01\x02\x03\x04ab", bytes(64), b"\xff" * 64])
def test_a_torn_tail_is_no_record(folder: Path, tail: bytes) -> None:
    log = _log(folder)
    log.append("s", [b"one", b"two"])
    log.close()
    with _only_file(folder).open("ab") as file:
        file.write(tail)
    later = _log(folder)
    assert later.count("s") == 2
    assert later.segments("s")[0].size_bytes == len(encode([b"one", b"two"]))
    later.append("s", [b"three"])
    assert read_all(later, "s") == [b"one", b"two", b"three"]
    assert later.count("s") == 3


def test_a_record_cut_short_anywhere_is_no_record(folder: Path) -> None:
    log = _log(folder)
    log.append("s", [b"one", b"two"])
    log.close()
    path = _only_file(folder)
    whole = path.read_bytes()
    for size in range(len(encode([b"one"])), len(whole)):
        path.write_bytes(whole[:size])
        assert read_all(_log(folder), "s") == [b"one"], size


def test_a_changed_byte_hides_the_rest_of_its_file_only(folder: Path) -> None:
    log = _log(folder)
    log.append("s", [b"one", b"two", b"three"])
    log.close()
    path = _only_file(folder)
    data = bytearray(path.read_bytes())
    data[len(encode([b"one"])) + 9] ^= 1
    path.write_bytes(data)
    later = _log(folder)
    later.append("s", [b"four"])
    assert read_all(later, "s") == [b"one", b"four"]


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "x" * 65])
def test_a_writer_needs_a_plain_name(folder: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        SegmentLog(folder, name)


def test_threads_share_syncs_and_see_their_own_records_at_once(folder: Path) -> None:
    log = _log(folder)
    barrier = threading.Barrier(16)
    missing: list[int] = []

    def work(n: int) -> None:
        barrier.wait()
        for i in range(10):
            record = b"%d:%d" % (n, i)
            log.append("s", [record])
            if record not in read_all(log, "s"):
                missing.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missing
    assert log.count("s") == 160


_FULL = """
import resource, sys
from pathlib import Path
from headrace.core.errors import Unavailable
from headrace.store.events import SegmentLog
log = SegmentLog(Path(sys.argv[1]), "writer")
log.append("s", [b"kept"])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
try:
    log.append("s", [b"small", b"x" * 5000])
except Unavailable as error:
    print(error)
print(log.count("s"))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
log.append("s", [b"after"])
print(log.count("s"))
"""


@pytest.mark.requirement("MON-06")
def test_what_the_disk_refused_is_not_there_and_the_log_goes_on(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(folder)], capture_output=True, text=True, check=True
    )
    told, count, later = done.stdout.splitlines()
    assert told.startswith("Could not append to")
    assert "Nothing was acknowledged." in told
    assert (count, later) == ("1", "2")
    assert read_all(_log(folder), "s") == [b"kept", b"after"]
    assert len(list(folder.rglob("*.seg"))) == 2


_FORK = """
import os, sys
from pathlib import Path
from headrace.store.events import SegmentLog
log = SegmentLog(Path(sys.argv[1]), "writer")
log.append("s", [b"parent"])
child = os.fork()
if child == 0:
    log.append("s", [b"child"])
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
log.append("s", [b"parent again"])
print(log.count("s"))
"""


def test_a_forked_child_writes_a_file_of_its_own(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORK, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "3"
    assert read_all(_log(folder), "s") == [b"parent", b"parent again", b"child"]


@pytest.mark.requirement("MON-06", "PRV-02")
@pytest.mark.parametrize("keys", [None, MemoryKeys()], ids=["clear", "encrypted"])
def test_kill_9_loses_nothing_that_was_acknowledged(folder: Path, keys: MemoryKeys | None) -> None:
    """Twenty times, at a random moment: all acknowledged records are there, once, in order; none is torn."""
    randomly = random.Random(20)
    acknowledged: list[bytes] = []
    reader = SegmentLog(folder, new_id(START), keys=keys)
    for _ in range(20):
        child = Child(append_events, folder, "cars/predictions", keys)
        with running(child):
            batches = [child.next()]
            SystemClock().sleep(randomly.uniform(0, 0.05))
            batches += child.kill()
        assert all(len(batch) == 3 for batch in batches)
        acknowledged += [record for batch in batches for record in batch]
    found = read_all(reader, "cars/predictions")
    assert len(found) == reader.count("cars/predictions")
    assert max(Counter(found).values()) == 1
    assert set(acknowledged) <= set(found)
    order = {record: n for n, record in enumerate(found)}
    by_thread: dict[bytes, list[int]] = {}
    for record in acknowledged:
        by_thread.setdefault(b":".join(record.split(b":", 2)[:2]), []).append(order[record])
    assert all(positions == sorted(positions) for positions in by_thread.values())


@pytest.mark.requirement("PRV-02")
def test_another_process_goes_on_in_a_new_file_after_its_own_was_rewritten(tmp_path: Path) -> None:
    here, there = SegmentLog(tmp_path, "here"), SegmentLog(tmp_path, "there")
    here.append("s", [b"keep", b"remove"])
    assert (here.count("s"), there.count("s")) == (2, 2)
    (tmp_path / "s" / ".here-000001.seg.rewriting").write_bytes(b"left by a process that was killed")
    assert there.rewrite("s", lambda record: None if record == b"remove" else record) == 1
    assert (here.count("s"), there.count("s")) == (1, 1)
    here.append("s", [b"later"])
    assert [segment.name for segment in there.segments("s")] == ["here-000001.seg", "here-000002.seg"]
    assert read_all(there, "s") == read_all(here, "s") == [b"keep", b"later"]
    assert not any(b"remove" in path.read_bytes() for path in (tmp_path / "s").iterdir())
    here.close()
    there.close()


@pytest.mark.requirement("PRV-02")
def test_the_name_of_a_segment_that_was_removed_is_not_used_again(folder: Path) -> None:
    log = _log(folder)
    log.append("s", [b"one"])
    (first,) = log.segments("s")
    assert log.rewrite("s", lambda _: None) == 1
    log.append("s", [b"two"])
    (second,) = log.segments("s")
    assert second.name > first.name
    log.close()


CANARY = b"ada@example.org"


def _on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def _switched(folder: Path) -> tuple[SegmentLog, MemoryKeys]:
    """A log with three segments: in clear, under one key, under the next."""
    keys = MemoryKeys()
    keys.encrypts = False
    log = SegmentLog(folder, new_id(START), keys=keys)
    log.append("s", [b"clear " + CANARY, b"clear 2"])
    keys.encrypts = True
    log.append("s", [b"first " + CANARY])
    keys.rotate()
    log.append("s", [b"second " + CANARY])
    return log, keys


@pytest.mark.requirement("PRV-02")
def test_what_is_encrypted_is_nowhere_in_clear(folder: Path) -> None:
    keys = MemoryKeys()
    log = SegmentLog(folder, new_id(START), keys=keys)
    for n in range(5):
        log.append("s", [CANARY, b"%d" % n + CANARY * 1000])
    assert CANARY not in _on_disk(folder)
    assert log.count("s") == 10
    assert read_all(SegmentLog(folder, new_id(START), keys=keys), "s")[0] == CANARY
    with pytest.raises(
        InvalidInput, match="encrypted with key 0{16}, and this store was opened without keys"
    ):
        read_all(_log(folder), "s")


@pytest.mark.requirement("PRV-02")
def test_switching_and_rotating_hold_from_then_on_and_all_stays_readable(folder: Path) -> None:
    log, keys = _switched(folder)
    assert len(log.segments("s")) == 3
    expected = [b"clear " + CANARY, b"clear 2", b"first " + CANARY, b"second " + CANARY]
    assert read_all(log, "s") == expected
    assert _on_disk(folder).count(CANARY) == 1
    keys.encrypts = False
    log.append("s", [b"clear again"])
    assert read_all(SegmentLog(folder, new_id(START), keys=keys), "s") == [*expected, b"clear again"]


@pytest.mark.requirement("PRV-02")
def test_rewriting_brings_old_segments_under_the_current_key_and_keeps_positions(folder: Path) -> None:
    log, keys = _switched(folder)
    before = log.segments("s")
    _, second = log.read("s", before[0].name, 0, 1)
    expected = read_all(log, "s")
    assert log.rewrite("s", lambda record: record) == 0
    assert log.segments("s") == before
    assert log.read("s", before[0].name, second, 10)[0] == [b"clear 2"]
    assert read_all(log, "s") == expected
    assert CANARY not in _on_disk(folder)
    keys.lose()
    assert read_all(log, "s") == expected
    keys.encrypts = False
    log.rewrite("s", lambda record: record)
    assert read_all(_log(folder), "s") == expected


@pytest.mark.requirement("PRV-02")
def test_a_record_is_taken_out_of_an_encrypted_segment(folder: Path) -> None:
    keys = MemoryKeys()
    log = SegmentLog(folder, new_id(START), keys=keys)
    log.append("s", [b"keep", CANARY, b"last"])
    (segment,) = log.segments("s")
    _, second = log.read("s", segment.name, 0, 2)
    assert log.rewrite("s", lambda record: None if record == CANARY else record) == 1
    assert read_all(log, "s") == [b"keep", b"last"]
    assert log.segments("s") == [segment]
    assert log.read("s", segment.name, second, 9)[0] == [b"last"]
    log.append("s", [b"later"])
    assert read_all(log, "s") == [b"keep", b"last", b"later"]


@pytest.mark.requirement("PRV-02")
def test_a_segment_in_another_place_is_refused(folder: Path) -> None:
    keys = MemoryKeys()
    log = SegmentLog(folder, new_id(START), keys=keys)
    log.append("cars/predictions", [b"one"])
    path = _only_file(folder)
    for moved in (path.with_name("other-000001.seg"), folder / "cars" / "outcomes" / path.name):
        moved.parent.mkdir(exist_ok=True)
        moved.write_bytes(path.read_bytes())
        with pytest.raises(InternalError, match="was altered at 0"):
            log.read("/".join(moved.parent.parts[-2:]), moved.name, 0, 10)


@pytest.mark.requirement("PRV-02")
def test_without_its_key_a_segment_is_kept_and_says_which_is_missing(folder: Path) -> None:
    log, keys = _switched(folder)
    keys.lose()
    log.close()
    later = SegmentLog(folder, new_id(START), keys=keys)
    with pytest.raises(Unavailable, match="Key 0{16} of 's' is not here"):
        read_all(later, "s")
    with pytest.raises(Unavailable, match="is not here"):
        later.rewrite("s", lambda record: record)
    later.append("s", [b"goes on"])
    newest = max(folder.rglob("*.seg"), key=lambda path: path.stat().st_mtime_ns).name
    assert later.read("s", newest, 0, 9)[0] == [b"goes on"]


@pytest.mark.requirement("MON-06", "PRV-02")
@pytest.mark.parametrize("tail", [b"\x05", bytes(64), b"\xff" * 64])
def test_a_torn_tail_of_an_encrypted_segment_is_no_record(folder: Path, tail: bytes) -> None:
    keys = MemoryKeys()
    log = SegmentLog(folder, new_id(START), keys=keys)
    log.append("s", [b"one", b"two"])
    log.close()
    path = _only_file(folder)
    whole = path.read_bytes()
    for data in (whole + tail, *(whole[:size] for size in range(0, len(whole), 7))):
        path.write_bytes(data)
        expected = [b"one", b"two"] if data.startswith(whole) else []
        assert read_all(SegmentLog(folder, new_id(START), keys=keys), "s") == expected
