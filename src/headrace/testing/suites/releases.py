"""What every release store promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.errors import Conflict, NotFound
from headrace.core.ports import ReleaseStore
from headrace.testing.clock import START
from headrace.testing.factories import make_release


class ReleaseStoreSuite:
    """Fixture ``releases``: an empty store."""

    def test_a_release_comes_back(self, releases: ReleaseStore) -> None:
        release = make_release()
        assert releases.add(release) == release
        assert releases.get(release.id) == release

    def test_the_first_under_an_id_stands(self, releases: ReleaseStore) -> None:
        release = releases.add(make_release())
        assert releases.add(replace(release, state="proposed", reason="again")) == release
        assert releases.list() == [release]

    def test_the_list_is_newest_first(self, releases: ReleaseStore) -> None:
        late = releases.add(make_release(created_at=START + timedelta(seconds=1)))
        early = releases.add(make_release(created_at=START))
        other = releases.add(make_release(project="boats", created_at=START + timedelta(hours=1)))
        assert releases.list() == [other, late, early]
        assert releases.list("cars") == [late, early]
        assert releases.list("trains") == []

    def test_some_are_found_by_id_or_by_state(self, releases: ReleaseStore) -> None:
        waiting = releases.add(make_release(state="waiting"))
        live = releases.add(make_release(state="live", project="boats"))
        assert releases.some([live.id, "absent"]) == [live]
        assert releases.some([]) == []
        assert releases.list(state="waiting") == [waiting]
        assert releases.list("boats", state="waiting") == []

    def test_a_move_changes_state_and_reason_only(self, releases: ReleaseStore) -> None:
        release = releases.add(make_release(state="waiting"))
        moved = releases.move(release.id, "waiting", "approved", "by grace")
        assert moved == replace(release, state="approved", reason="by grace")
        assert releases.get(release.id) == moved

    def test_a_move_from_another_state_is_a_conflict(self, releases: ReleaseStore) -> None:
        release = releases.add(make_release(state="waiting"))
        with pytest.raises(Conflict, match="waiting"):
            releases.move(release.id, "approved", "rolling_out")
        assert releases.get(release.id) == release

    def test_of_many_movers_one_wins(self, releases: ReleaseStore) -> None:
        release = releases.add(make_release(state="waiting"))

        def move(_: int) -> bool:
            try:
                releases.move(release.id, "waiting", "approved")
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(move, range(16))) == 1

    def test_an_absent_release_is_not_found(self, releases: ReleaseStore) -> None:
        with pytest.raises(NotFound, match="absent"):
            releases.get("absent")
        with pytest.raises(NotFound, match="absent"):
            releases.move("absent", "waiting", "approved")
