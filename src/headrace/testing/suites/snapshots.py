"""What every snapshot store promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.core.errors import NotFound
from headrace.core.ports import SnapshotStore
from headrace.testing.clock import START
from headrace.testing.factories import make_snapshot


class SnapshotStoreSuite:
    """Fixture ``snapshots``: an empty store."""

    @pytest.mark.requirement("DAT-05")
    def test_a_snapshot_comes_back(self, snapshots: SnapshotStore) -> None:
        snapshot = make_snapshot()
        assert snapshots.add(snapshot) == snapshot
        assert snapshots.get(snapshot.id) == snapshot

    @pytest.mark.requirement("DAT-05")
    def test_the_first_under_an_id_stands(self, snapshots: SnapshotStore) -> None:
        snapshot = make_snapshot()
        snapshots.add(snapshot)
        assert snapshots.add(replace(snapshot, n_rows=99)) == snapshot
        assert snapshots.get(snapshot.id) == snapshot
        assert snapshots.list("cars") == [snapshot]

    def test_it_is_found_by_content_within_its_project(self, snapshots: SnapshotStore) -> None:
        snapshot = snapshots.add(make_snapshot(digest="d" * 64))
        snapshots.add(make_snapshot(project="boats", digest="e" * 64))
        assert snapshots.find("cars", "d" * 64) == snapshot
        assert snapshots.find("cars", "e" * 64) is None
        assert snapshots.find("boats", "d" * 64) is None

    @pytest.mark.requirement("PRV-02")
    def test_what_is_left_after_an_erasure_is_all_that_changes(self, snapshots: SnapshotStore) -> None:
        kept = snapshots.add(make_snapshot())
        gone: dict[str, Any] = {"n_erased": 1, "left_digest": "f" * 64, "table_version": 7}
        snapshots.erase(replace(kept, n_rows=99, source="elsewhere", **gone))
        assert snapshots.get(kept.id) == replace(kept, **gone)
        assert snapshots.find("cars", kept.digest) == replace(kept, **gone), "found by what it was"
        with pytest.raises(NotFound, match="absent"):
            snapshots.erase(make_snapshot(id="absent"))

    def test_the_list_is_oldest_first(self, snapshots: SnapshotStore) -> None:
        late = snapshots.add(make_snapshot(created_at=START + timedelta(microseconds=500_000)))
        early = snapshots.add(make_snapshot(created_at=START))
        same = snapshots.add(make_snapshot(created_at=START))
        snapshots.add(make_snapshot(project="boats"))
        assert snapshots.list("cars") == [early, same, late]

    def test_an_absent_snapshot_is_not_found(self, snapshots: SnapshotStore) -> None:
        with pytest.raises(NotFound, match="absent"):
            snapshots.get("absent")
