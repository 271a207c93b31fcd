from __future__ import annotations

import pytest

from headrace.core.ports import FindingStore
from headrace.store import Store
from headrace.testing import FindingStoreSuite


class TestSqlFindingStore(FindingStoreSuite):
    @pytest.fixture
    def findings(self, store: Store) -> FindingStore:
        return store.findings
