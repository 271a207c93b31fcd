"""What every rollout store promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from headrace.core.errors import Conflict, NotFound
from headrace.core.ports import RolloutStore
from headrace.testing.factories import make_rollout, make_route


class RolloutStoreSuite:
    """Fixture ``rollouts``: an empty store."""

    def test_a_rollout_comes_back_with_its_route(self, rollouts: RolloutStore) -> None:
        rollout, route = make_rollout(), make_route()
        rollouts.save(rollout, route)
        assert rollouts.get(rollout.release_id) == rollout
        assert rollouts.route("cars") == route

    def test_some_are_found_by_their_releases(self, rollouts: RolloutStore) -> None:
        mine, other = make_rollout(), make_rollout(project="boats")
        for rollout in (mine, other):
            rollouts.save(rollout)
        assert rollouts.some([other.release_id, "absent"]) == [other]

    def test_each_revision_follows_the_one_before(self, rollouts: RolloutStore) -> None:
        rollout = make_rollout()
        rollouts.save(rollout)
        canary = replace(rollout, state="canary", step=0, revision=1)
        rollouts.save(canary, make_route(canary=rollout.release_id, canary_weight=0.1))
        assert rollouts.get(rollout.release_id) == canary

    @pytest.mark.parametrize("revision", [0, 1, 3, 99])
    def test_another_revision_is_a_conflict(self, rollouts: RolloutStore, revision: int) -> None:
        rollout = make_rollout()
        rollouts.save(rollout)
        standing = replace(rollout, looks=1, revision=1)
        rollouts.save(standing)
        with pytest.raises(Conflict, match="meanwhile"):
            rollouts.save(replace(rollout, looks=7, revision=revision), make_route())
        assert rollouts.get(rollout.release_id) == standing
        assert rollouts.route("cars") is None

    def test_the_first_revision_is_zero(self, rollouts: RolloutStore) -> None:
        with pytest.raises(Conflict):
            rollouts.save(make_rollout(revision=1))

    def test_repeating_the_stored_revision_is_no_error(self, rollouts: RolloutStore) -> None:
        rollout, route = make_rollout(), make_route()
        rollouts.save(rollout, route)
        rollouts.save(rollout, route)
        assert rollouts.get(rollout.release_id) == rollout
        assert rollouts.route("cars") == route

    def test_a_route_that_cannot_be_written_keeps_the_rollout_back(self, rollouts: RolloutStore) -> None:
        rollout = make_rollout()
        rollouts.save(rollout, make_route())
        moved = replace(rollout, state="canary", step=0, revision=1)
        with pytest.raises(Conflict):
            rollouts.save(moved, make_route(live="release-9", revision=7))
        assert rollouts.get(rollout.release_id) == rollout

    def test_the_active_rollout_is_the_pending_or_canary_one(self, rollouts: RolloutStore) -> None:
        assert rollouts.find_active("cars") is None
        rollout = make_rollout()
        rollouts.save(rollout)
        assert rollouts.find_active("cars") == rollout
        canary = replace(rollout, state="canary", revision=1)
        rollouts.save(canary)
        assert rollouts.find_active("cars") == canary
        assert rollouts.find_active("boats") is None
        rollouts.save(replace(canary, state="promoted", revision=2))
        assert rollouts.find_active("cars") is None

    def test_two_rollouts_of_a_project_cannot_be_active(self, rollouts: RolloutStore) -> None:
        first = make_rollout()
        rollouts.save(first)
        with pytest.raises(Conflict, match=first.release_id):
            rollouts.save(make_rollout())
        rollouts.save(make_rollout(project="boats"))

    def test_routes_are_written_one_revision_at_a_time(self, rollouts: RolloutStore) -> None:
        assert rollouts.route("cars") is None
        first = rollouts.set_route(make_route())
        second = rollouts.set_route(make_route(live="release-2", revision=first.revision + 1))
        assert rollouts.set_route(second) == second
        for revision in (0, 1, 3):
            with pytest.raises(Conflict):
                rollouts.set_route(make_route(live="release-9", revision=revision))
        assert rollouts.route("cars") == second

    def test_all_routes_are_listed(self, rollouts: RolloutStore) -> None:
        assert rollouts.routes() == []
        routes = [rollouts.set_route(make_route(project=name)) for name in ("cars", "boats")]
        assert rollouts.routes() == routes

    def test_of_many_writers_of_one_revision_one_wins(self, rollouts: RolloutStore) -> None:
        rollout = make_rollout()
        rollouts.save(rollout)

        def save(n: int) -> bool:
            try:
                rollouts.save(replace(rollout, reason=f"writer {n}", revision=1))
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(save, range(16))) == 1

    def test_an_absent_rollout_is_not_found(self, rollouts: RolloutStore) -> None:
        with pytest.raises(NotFound, match="absent"):
            rollouts.get("absent")
