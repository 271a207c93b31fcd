"""What every run store promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.errors import Conflict, NotFound
from headrace.core.ports import RunStore
from headrace.testing.clock import START
from headrace.testing.factories import make_artifact, make_run


class RunStoreSuite:
    """Fixture ``runs``: an empty store."""

    def test_a_run_comes_back(self, runs: RunStore) -> None:
        run = make_run()
        runs.save(run)
        assert runs.get(run.id) == run

    def test_all_runs_of_a_build_are_found_by_one_of_them(self, runs: RunStore) -> None:
        first, other = (make_run(build_id="b", variant=name) for name in ("linear", "trees"))
        apart = make_run(build_id="c")
        for run in (first, other, apart):
            runs.save(run)
        assert {run.id for run in runs.builds([first.id, "absent"])} == {first.id, other.id}
        assert {run.id for run in runs.builds([other.id, apart.id])} == {first.id, other.id, apart.id}
        assert runs.builds([]) == runs.builds(["absent"]) == []

    def test_a_running_one_can_finish(self, runs: RunStore) -> None:
        running = make_run(state="running")
        runs.save(running)
        finished = make_run(id=running.id)
        runs.save(finished)
        assert runs.get(running.id) == finished

    def test_a_running_one_can_fail(self, runs: RunStore) -> None:
        running = make_run(state="running")
        runs.save(running)
        failed = make_run(id=running.id, state="failed")
        runs.save(failed)
        assert runs.get(running.id) == failed

    def test_repeating_a_save_changes_nothing(self, runs: RunStore) -> None:
        running, finished = make_run(state="running"), make_run()
        finished = replace(finished, id=running.id)
        for run in (running, running, finished, finished, running):
            runs.save(run)
        assert runs.get(running.id) == finished
        assert runs.list("cars") == [finished]

    def test_times_measured_again_do_not_change_what_stands(self, runs: RunStore) -> None:
        finished = make_run()
        runs.save(finished)
        runs.save(replace(finished, finished_at=START + timedelta(hours=1), timings_s={"train": 9.0}))
        assert runs.get(finished.id) == finished

    @pytest.mark.parametrize(
        "change",
        [{"state": "failed"}, {"package": make_artifact(b"other")}, {"metrics": {"mae": 1.0}}],
        ids=["state", "package", "metrics"],
    )
    def test_an_ended_run_cannot_end_differently(self, runs: RunStore, change: dict[str, object]) -> None:
        finished = make_run()
        runs.save(finished)
        with pytest.raises(Conflict):
            runs.save(replace(finished, **change))  # type: ignore[arg-type]
        assert runs.get(finished.id) == finished

    def test_the_tracking_id_may_follow_once(self, runs: RunStore) -> None:
        finished = make_run()
        runs.save(finished)
        runs.save(replace(finished, tracking_id="t-1"))
        runs.save(replace(finished, tracking_id="t-2"))
        assert runs.get(finished.id) == replace(finished, tracking_id="t-1")

    def test_only_finished_runs_are_found_by_fingerprint(self, runs: RunStore) -> None:
        for state in ("running", "failed"):
            runs.save(make_run(state=state, fingerprint="f" * 64))
        assert runs.find_finished("cars", "f" * 64) is None
        finished = make_run(fingerprint="f" * 64)
        runs.save(finished)
        assert runs.find_finished("cars", "f" * 64) == finished
        assert runs.find_finished("boats", "f" * 64) is None

    def test_the_list_is_newest_first_and_can_be_narrowed(self, runs: RunStore) -> None:
        first = make_run(started_at=START, build_id="b-1")
        second = make_run(started_at=START + timedelta(seconds=1), build_id="b-2", state="failed")
        third = make_run(started_at=START + timedelta(seconds=2), build_id="b-2")
        for run in (second, third, first, make_run(project="boats")):
            runs.save(run)
        assert runs.list("cars") == [third, second, first]
        assert runs.list("cars", build_id="b-2") == [third, second]
        assert runs.list("cars", state="finished") == [third, first]
        assert runs.list("cars", build_id="b-2", state="failed") == [second]
        assert runs.list("cars", limit=1) == [third]

    def test_an_absent_run_is_not_found(self, runs: RunStore) -> None:
        with pytest.raises(NotFound, match="absent"):
            runs.get("absent")
