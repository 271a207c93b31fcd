from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.core.ports import RolloutStore
from headrace.store import Store
from headrace.testing import RolloutStoreSuite, make_rollout, make_route


class TestSqlRolloutStore(RolloutStoreSuite):
    @pytest.fixture
    def rollouts(self, store: Store) -> RolloutStore:
        return store.rollouts


def test_a_rollout_writes_no_other_projects_route(store: Store) -> None:
    rollout = make_rollout(project="cars")
    with pytest.raises(InvalidInput, match="boats"):
        store.rollouts.save(rollout, make_route(project="boats"))
    assert store.rollouts.find_active("cars") is None


def test_the_first_route_may_be_counted_from_one(store: Store) -> None:
    store.rollouts.set_route(make_route(revision=1))
    assert store.rollouts.set_route(make_route(revision=2)).revision == 2
