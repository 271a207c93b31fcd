from __future__ import annotations

import pytest

from headrace.core.ports import SealStore
from headrace.store import Store
from headrace.testing import SealStoreSuite


class TestSqlSeals(SealStoreSuite):
    @pytest.fixture
    def seals(self, store: Store) -> SealStore:
        return store.seals
