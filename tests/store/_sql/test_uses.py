from __future__ import annotations

import pytest

from headrace.core.ports import UseStore
from headrace.store import Store
from headrace.testing import UseStoreSuite


class TestSqlUses(UseStoreSuite):
    @pytest.fixture
    def uses(self, store: Store) -> UseStore:
        return store.uses
