from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import InvalidInput, NotFound, Unavailable
from headrace.core.identity import Credential
from headrace.core.ports import ArtifactStore, DataKeys, EventLog, ExpiringStore, Tracker
from headrace.testing import (
    START,
    ArtifactStoreSuite,
    DataKeysSuite,
    EventLogSuite,
    ExpiringStoreSuite,
    FakeClock,
    MemoryArtifacts,
    MemoryEvents,
    MemoryExpiring,
    MemoryKeys,
    MemoryRecords,
    MemoryTracker,
    RecordStoreSuite,
    TrackerSuite,
    make_model,
    make_run,
)


class TestMemoryKeys(DataKeysSuite):
    @pytest.fixture
    def keys(self) -> DataKeys:
        return MemoryKeys()


class TestMemoryArtifacts(ArtifactStoreSuite):
    @pytest.fixture
    def artifacts(self) -> ArtifactStore:
        return MemoryArtifacts()


class TestMemoryEvents(EventLogSuite):
    @pytest.fixture
    def events(self) -> EventLog:
        return MemoryEvents()


class TestMemoryExpiring(ExpiringStoreSuite):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def expiring(self, clock: FakeClock) -> ExpiringStore:
        return MemoryExpiring(clock)


class TestMemoryTracker(TrackerSuite):
    @pytest.fixture
    def tracker(self) -> Tracker:
        return MemoryTracker()


class TestMemoryRecords(RecordStoreSuite):
    @pytest.fixture
    def records(self) -> MemoryRecords[Credential]:
        return MemoryRecords()

    @pytest.fixture
    def make_record(self) -> Callable[..., Credential]:
        def make(**changes: Any) -> Credential:
            record = Credential(
                id="r", workspace="main", subject="ann", kind="secret", created_at=START, expires_at=None
            )
            return replace(record, **changes)

        return make


def test_the_log_can_be_made_to_fail() -> None:
    events = MemoryEvents()
    events.append("s", [b"one"])
    events.failing = Unavailable("The disk is full.")
    with pytest.raises(Unavailable, match="full"):
        events.append("s", [b"two"])
    events.failing = None
    assert events.count("s") == 1


def test_the_tracker_tells_what_it_was_given(tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    package.write_bytes(b"package")
    tracker, run = MemoryTracker(), make_run()
    assert tracker.runs == {}
    assert tracker.runs | {tracker.log_run(run): run} == tracker.runs
    tracker.set_live("cars", tracker.register(make_model(run_id=run.id), package))
    assert tracker.live == {"cars": "1"}


def test_the_tracker_refuses_what_a_real_one_would(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    with pytest.raises(InvalidInput, match="still running"):
        tracker.log_run(make_run(state="running"))
    with pytest.raises(NotFound):
        tracker.register(make_model(), tmp_path / "absent")
    with pytest.raises(NotFound):
        tracker.set_live("cars", "7")
