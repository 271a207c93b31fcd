from __future__ import annotations

import pytest

from headrace.core.ports import PrincipalStore
from headrace.store import Store
from headrace.testing import PrincipalStoreSuite


class TestSqlPrincipalStore(PrincipalStoreSuite):
    @pytest.fixture
    def principals(self, store: Store) -> PrincipalStore:
        return store.principals
