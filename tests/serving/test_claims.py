from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.errors import Conflict, NotFound, Unavailable
from headrace.core.jobs import Claim, Job, JobState
from headrace.serving.claims import Claims
from headrace.testing import FakeClock


class Kept:
    """Requests by id, with the order of changes that stores keep."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.n_renewed = 0
        self.broken = False

    def add(self, job: Job) -> Job:
        return self.jobs.setdefault(job.id, job)

    def get(self, job_id: str) -> Job:
        return self.jobs[job_id]

    def change(self, job: Job) -> Job:
        if self.broken:
            raise Unavailable("Not now.")
        if job.id not in self.jobs:
            raise NotFound("There is none.")
        if self.jobs[job.id].revision != job.revision - 1:
            raise Conflict("It has changed.")
        self.n_renewed += 1
        self.jobs[job.id] = job
        return job

    def about(self, project: str, subject: str) -> list[Job]:
        raise NotImplementedError

    def list(
        self, *, project: str | None = None, state: JobState | None = None, limit: int = 1000
    ) -> list[Job]:
        raise NotImplementedError

    def remove(self, job_id: str) -> bool:
        return self.jobs.pop(job_id, None) is not None

    def clean(self, before: object) -> int:
        raise NotImplementedError


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def kept(clock: FakeClock) -> Kept:
    made = Kept()
    made.add(
        Job(id="a", project="p", workspace="w", principal="x", at=clock.now(), digest="d", request="clear:{}")
    )
    return made


def _claims(kept: Kept, clock: FakeClock, lasts_s: float = 30.0) -> Claims:
    return Claims(kept, clock, lasts_s=lasts_s)


def _taken(claims: Claims, job: Job) -> Job | None:
    """The request once it is claimed and the claim is not renewed any more; None: another has it."""

    async def take() -> Job | None:
        held = await claims.take(job)
        return None if held is None else await held.end()

    return asyncio.run(take())


def test_one_of_two_has_it(kept: Kept, clock: FakeClock) -> None:
    seen = kept.get("a")
    mine = _taken(_claims(kept, clock), seen)
    assert mine is not None
    assert mine == kept.get("a")
    other = _claims(kept, clock)
    assert _taken(other, seen) is None, "it saw it before it was claimed"
    assert _taken(other, mine) is None, "it sees that it is"
    assert not other.stands(replace(mine, claim=None))


def test_what_a_killed_process_had_is_free_after_a_while(kept: Kept, clock: FakeClock) -> None:
    mine = _taken(_claims(kept, clock), kept.get("a"))
    assert mine is not None
    other = _claims(kept, clock)
    clock.advance(29.0)
    assert _taken(other, mine) is None
    clock.advance(1.0)
    assert _taken(other, mine) is not None


def test_a_claim_of_before_the_clock_was_put_back_is_none(kept: Kept, clock: FakeClock) -> None:
    far = replace(kept.get("a"), claim=Claim(by="x", until=clock.now() + timedelta(hours=1)), revision=1)
    kept.change(far)
    assert _taken(_claims(kept, clock), far) is not None


def test_it_is_renewed_while_the_work_goes_on_and_no_longer(kept: Kept, clock: FakeClock) -> None:
    claims = _claims(kept, clock, 0.06)

    async def work() -> Job:
        held = await claims.take(kept.get("a"))
        assert held is not None
        while kept.n_renewed < 3:
            clock.advance(0.01)
            await asyncio.sleep(0.01)
            kept.broken = kept.n_renewed == 2 and not kept.broken  # a store that is away for a moment
        ended = await held.end()
        n_renewed = kept.n_renewed
        await asyncio.sleep(0.1)
        assert kept.n_renewed == n_renewed
        return ended

    ended = asyncio.run(work())
    assert ended == kept.get("a"), "what comes next changes what is stored"
    assert claims.stands(ended)


def test_what_was_erased_or_lost_meanwhile_is_renewed_no_more(kept: Kept, clock: FakeClock) -> None:
    async def work() -> None:
        held = await _claims(kept, clock, 0.03).take(kept.get("a"))
        assert held is not None
        kept.remove("a")
        await asyncio.sleep(0.05)
        assert (await held.end()).id == "a"

    asyncio.run(work())
    gone = Job(
        id="b", project="p", workspace="w", principal="x", at=clock.now(), digest="d", request="clear:{}"
    )
    assert _taken(_claims(kept, clock), gone) is None
