from __future__ import annotations

import pytest

from headrace.core.ports import SnapshotStore
from headrace.store import Store
from headrace.testing import SnapshotStoreSuite


class TestSqlSnapshotStore(SnapshotStoreSuite):
    @pytest.fixture
    def snapshots(self, store: Store) -> SnapshotStore:
        return store.snapshots
