from __future__ import annotations

import pytest

from headrace.core.ports import ExpiringStore, SightingStore
from headrace.store import Store
from headrace.testing import ExpiringStoreSuite, SightingStoreSuite


class TestSqlExpiring(ExpiringStoreSuite):
    @pytest.fixture
    def expiring(self, store: Store) -> ExpiringStore:
        return store.expiring


class TestSqlSightings(SightingStoreSuite):
    @pytest.fixture
    def sightings(self, store: Store) -> SightingStore:
        return store.sightings
