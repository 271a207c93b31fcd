"""What every store of requests that are answered later promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.errors import Conflict, NotFound
from headrace.core.jobs import Job
from headrace.core.ports import JobStore
from headrace.testing.clock import START


def _job(job_id: str = "j-1", project: str = "cars") -> Job:
    return Job(
        id=job_id,
        project=project,
        workspace="main",
        principal="ann",
        at=START,
        digest="d",
        request="clear:{}",
    )


class JobStoreSuite:
    """Fixture ``jobs``: an empty store."""

    def test_a_request_is_kept_once(self, jobs: JobStore) -> None:
        assert jobs.add(_job()) == _job()
        assert jobs.add(replace(_job(), digest="other")) == _job(), "the first one stands"
        assert jobs.get("j-1") == _job()
        with pytest.raises(NotFound, match="j-2"):
            jobs.get("j-2")

    def test_changes_come_one_after_the_other(self, jobs: JobStore) -> None:
        jobs.add(_job())
        done = replace(_job(), state="done", answer="clear:7", request=None, ended_at=START, revision=1)
        assert jobs.change(done) == done
        assert jobs.change(done) == done, "repeating it changes nothing"
        with pytest.raises(Conflict, match="changed meanwhile"):
            jobs.change(replace(done, state="failed"))
        assert jobs.get("j-1") == done
        with pytest.raises(NotFound):
            jobs.change(_job("j-2"))

    def test_they_are_found_by_project_and_state(self, jobs: JobStore) -> None:
        for one in (_job("a"), _job("b"), _job("c", "vans")):
            jobs.add(one)
        jobs.change(replace(_job("b"), state="failed", ended_at=START, revision=1))
        assert [one.id for one in jobs.list()] == ["a", "b", "c"]
        assert [one.id for one in jobs.list(project="cars", limit=1)] == ["a"]
        assert [one.id for one in jobs.list(project="cars", state="failed")] == ["b"]

    def test_all_that_are_about_a_subject_are_found(self, jobs: JobStore) -> None:
        named = [replace(_job(name), subjects=["ab", "cd"]) for name in "pq"]
        others = [replace(_job("x"), subjects=["abc"]), replace(_job("y", "vans"), subjects=["ab"])]
        for one in (*named, *others, _job("ab")):
            jobs.add(one)
        assert jobs.about("cars", "ab") == named
        assert [one.id for one in jobs.about("vans", "ab")] == ["y"]
        assert jobs.about("cars", "a%") == []

    def test_what_ended_long_ago_is_deleted(self, jobs: JobStore) -> None:
        for one in (_job("a"), _job("b")):
            jobs.add(one)
        jobs.change(replace(_job("b"), state="done", ended_at=START, revision=1))
        assert jobs.clean(START) == 0
        assert jobs.clean(START + timedelta(seconds=1)) == 1
        assert [one.id for one in jobs.list()] == ["a"]

    def test_one_is_deleted_for_good(self, jobs: JobStore) -> None:
        jobs.add(_job())
        assert [jobs.remove("j-1"), jobs.remove("j-1")] == [True, False]
        assert jobs.list() == []
