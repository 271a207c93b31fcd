from __future__ import annotations

import pytest

from headrace.core.ports import ProjectStore
from headrace.core.release import Route
from headrace.store import Store
from headrace.testing import ProjectStoreSuite


class TestSqlProjectStore(ProjectStoreSuite):
    @pytest.fixture
    def projects(self, store: Store) -> ProjectStore:
        return store.projects

    def test_another_release_that_answers_is_another_edition(self, store: Store) -> None:
        editions = [store.projects.edition()]
        for revision, live in enumerate(("r1", "r2"), 1):
            store.rollouts.set_route(Route(project="cars", live=live, revision=revision))
            editions.append(store.projects.edition())
        assert len({str(edition) for edition in editions}) == 3
        assert store.projects.edition() == editions[-1]
