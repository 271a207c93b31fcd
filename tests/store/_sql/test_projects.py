from __future__ import annotations

import pytest

from headrace.core.ports import ProjectStore
from headrace.store import Store
from headrace.testing import ProjectStoreSuite


class TestSqlProjectStore(ProjectStoreSuite):
    @pytest.fixture
    def projects(self, store: Store) -> ProjectStore:
        return store.projects
