from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import Unavailable
from headrace.core.ports import Segment
from headrace.serving.recorder import Recorder
from headrace.testing.clock import FakeClock
from headrace.testing.memory import MemoryEvents


class SlowEvents(MemoryEvents):
    """Appends wait until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.entered = threading.Event()
        self.pass_on = threading.Event()

    def append(self, stream: str, records: Sequence[bytes]) -> None:
        self.entered.set()
        assert self.pass_on.wait(10)
        self.groups.append(len(records))
        super().append(stream, records)


def _read(events: MemoryEvents, stream: str) -> list[bytes]:
    segments: list[Segment] = events.segments(stream)
    return [record for s in segments for record in events.read(stream, s.name, 0, 10_000)[0]]


@pytest.fixture
def slow() -> Iterator[SlowEvents]:
    events = SlowEvents()
    yield events
    events.pass_on.set()


@pytest.mark.requirement("SRV-06")
def test_what_was_acknowledged_is_in_the_log_in_order() -> None:
    events = MemoryEvents()
    recorder = Recorder(events, FakeClock())

    async def write() -> None:
        for index in range(20):
            await recorder.record("cars", b"%d" % index)
            assert events.count("cars/predictions") == index + 1

    asyncio.run(write())
    recorder.close()
    assert _read(events, "cars/predictions") == [b"%d" % i for i in range(20)]
    assert recorder.logged() == {"cars/predictions": 20}


def test_nothing_is_acknowledged_before_it_is_written(slow: SlowEvents) -> None:
    recorder = Recorder(slow, FakeClock())

    async def write() -> None:
        task = asyncio.create_task(recorder.record("cars", b"x"))
        await asyncio.to_thread(slow.entered.wait, 10)
        await asyncio.sleep(0)
        assert not task.done()
        slow.pass_on.set()
        await task

    asyncio.run(write())
    recorder.close()


def test_those_who_wait_share_one_write(slow: SlowEvents) -> None:
    recorder = Recorder(slow, FakeClock())

    async def write() -> None:
        first = asyncio.create_task(recorder.record("cars", b"first"))
        await asyncio.to_thread(slow.entered.wait, 10)
        others = [asyncio.create_task(recorder.record("cars", b"%d" % i)) for i in range(100)]
        await asyncio.sleep(0)
        slow.pass_on.set()
        await asyncio.gather(first, *others)

    asyncio.run(write())
    recorder.close()
    assert slow.groups == [1, 100]


def test_what_arrives_together_is_written_together() -> None:
    events = SlowEvents()
    events.pass_on.set()
    recorder = Recorder(events, FakeClock())

    async def write() -> None:
        await asyncio.gather(*(recorder.record("cars", b"%d" % i) for i in range(50)))

    asyncio.run(write())
    recorder.close()
    assert events.groups == [50]


def test_a_full_disk_fails_all_who_wait_and_acknowledges_nobody() -> None:
    events = MemoryEvents()
    recorder = Recorder(events, FakeClock())

    async def write() -> None:
        await recorder.record("cars", b"kept")
        assert recorder.healthy()
        events.failing = OSError(28, "No space left on device")
        refused = await asyncio.gather(
            *(recorder.record("cars", b"%d" % i) for i in range(5)), return_exceptions=True
        )
        assert [type(error) for error in refused] == [Unavailable] * 5
        assert "No space left on device" in str(refused[0])
        assert not recorder.healthy()
        events.failing = None
        await recorder.record("cars", b"again")
        assert recorder.healthy()

    asyncio.run(write())
    recorder.close()
    assert _read(events, "cars/predictions") == [b"kept", b"again"]
    assert recorder.logged() == {"cars/predictions": 2}


def test_one_stream_that_fails_does_not_fail_another() -> None:
    class Picky(MemoryEvents):
        def append(self, stream: str, records: Sequence[bytes]) -> None:
            if stream.startswith("bad/"):
                raise OSError("refused")
            super().append(stream, records)

    recorder = Recorder(Picky(), FakeClock())

    async def write() -> None:
        bad, good = await asyncio.gather(
            recorder.record("bad", b"x"), recorder.record("good", b"y"), return_exceptions=True
        )
        assert isinstance(bad, Unavailable)
        assert good is None

    asyncio.run(write())
    recorder.close()


def test_too_many_waiting_are_refused_at_once(slow: SlowEvents) -> None:
    recorder = Recorder(slow, FakeClock(), max_waiting=3)

    async def write() -> None:
        tasks = [asyncio.create_task(recorder.record("cars", b"0"))]
        await asyncio.to_thread(slow.entered.wait, 10)
        tasks += [asyncio.create_task(recorder.record("cars", b"%d" % i)) for i in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="3 answers wait"):
            await recorder.record("cars", b"one too many")
        slow.pass_on.set()
        await asyncio.gather(*tasks)

    asyncio.run(write())
    recorder.close()
    assert slow.count("cars/predictions") == 4


def test_a_caller_who_gave_up_does_not_trouble_the_others(slow: SlowEvents) -> None:
    recorder = Recorder(slow, FakeClock())

    async def write() -> None:
        tasks = [asyncio.create_task(recorder.record("cars", b"%d" % i)) for i in range(3)]
        await asyncio.to_thread(slow.entered.wait, 10)
        tasks[1].cancel()
        slow.pass_on.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in done] == [type(None), asyncio.CancelledError, type(None)]

    asyncio.run(write())
    recorder.close()


def test_threads_and_loops_may_share_a_recorder() -> None:
    events = MemoryEvents()
    recorder = Recorder(events, FakeClock())

    def in_thread(index: int) -> None:
        recorder.record_blocking("cars", b"thread-%d" % index)

    def in_loop(index: int) -> None:
        asyncio.run(recorder.record("cars", b"loop-%d" % index))

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(in_thread, i) for i in range(20)] + [
            pool.submit(in_loop, i) for i in range(20)
        ]
        for future in futures:
            future.result(30)
    recorder.close()
    assert len(set(_read(events, "cars/predictions"))) == 40


def test_what_nobody_waits_for_gathers_and_streams_take_turns(slow: SlowEvents) -> None:
    slow.pass_on.set()
    recorder = Recorder(slow, FakeClock())
    for index in range(30):
        recorder.note(f"cars-{index % 3}", [b"%d" % index])
    recorder.close()
    assert slow.groups == [10, 10, 10]
    assert _read(slow, "cars-1/predictions") == [b"%d" % index for index in range(1, 30, 3)]


def test_what_somebody_waits_for_is_written_before_the_streams_whose_turn_it_is(slow: SlowEvents) -> None:
    recorder = Recorder(slow, FakeClock())
    slow.pass_on.set()
    with ThreadPoolExecutor(1) as pool:
        for index in range(3):
            recorder.note("quiet", [b"%d" % index])
        recorder.note("cars", [b"first"])
        pool.submit(recorder.record_blocking, "cars", b"second").result(10)
        assert _read(slow, "cars/predictions") == [b"first", b"second"], "in order"
    recorder.close()
    assert recorder.logged() == {"cars/predictions": 2, "quiet/predictions": 3}


def test_answers_are_not_noted_while_the_disk_is_behind_by_the_window(slow: SlowEvents) -> None:
    clock = FakeClock()
    recorder = Recorder(slow, clock)
    recorder.note("cars", [b"0"])
    assert slow.entered.wait(10)
    assert recorder.keeps_up()
    clock.advance(1.5)
    assert recorder.healthy()
    assert not recorder.keeps_up()
    with pytest.raises(Unavailable, match="does not keep up"):
        recorder.note("cars", [b"1"])
    slow.pass_on.set()
    recorder.record_blocking("cars", b"2")
    assert recorder.keeps_up()
    recorder.close()
    assert _read(slow, "cars/predictions") == [b"0", b"2"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_nothing_is_lost_or_out_of_order_whoever_waits(sent: list[tuple[str, bool]]) -> None:
    events = MemoryEvents()
    recorder = Recorder(events, FakeClock())
    for index, (project, waits) in enumerate(sent):
        if waits:
            recorder.record_blocking(project, b"%d" % index)
        else:
            recorder.note(project, [b"%d" % index])
    recorder.close()
    for name in "abc":
        wanted = [b"%d" % index for index, (project, _) in enumerate(sent) if project == name]
        assert _read(events, f"{name}/predictions") == wanted


def test_closing_writes_what_waits_and_refuses_what_comes_later(slow: SlowEvents) -> None:
    recorder = Recorder(slow, FakeClock())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(recorder.record_blocking, "cars", b"first")
        assert slow.entered.wait(10)
        closing = pool.submit(recorder.close)
        slow.pass_on.set()
        closing.result(10)
        first.result(10)
    with pytest.raises(Unavailable, match="closed"):
        recorder.record_blocking("cars", b"late")
    assert not recorder.healthy()
    assert _read(slow, "cars/predictions") == [b"first"]


def test_closing_twice_or_unused_is_fine() -> None:
    recorder = Recorder(MemoryEvents(), FakeClock())
    recorder.close()
    recorder.close()


def test_what_goes_beside_a_record_is_kept_too_and_in_its_own_stream() -> None:
    events = MemoryEvents()
    recorder = Recorder(events, FakeClock())

    async def record() -> None:
        await recorder.record("cars", b"answer", beside=("spans", b"step"))

    asyncio.run(record())
    recorder.close()
    assert _read(events, "cars/predictions") == [b"answer"]
    assert _read(events, "cars/spans") == [b"step"]
