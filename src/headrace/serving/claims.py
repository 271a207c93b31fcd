"""Who answers a request now: a queue may give it to two, and one of them leaves it to the other.

A claim is in the store, beside the request. It lasts for half a minute and is renewed while the work goes on,
so what a killed process claimed is free soon, and what a slow model needs long for is not given to a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from headrace.core.errors import Conflict, HeadraceError, NotFound
from headrace.core.ids import new_id
from headrace.core.jobs import Claim, Job
from headrace.core.ports import Clock, JobStore

_log = logging.getLogger(__name__)
CLAIM_S = 30.0
_RENEWALS = 3
"""Within the time for which a claim lasts."""


class Claims:
    """Claims requests for one that answers them.

    Args:
        lasts_s: for how long a claim stands that is not renewed; the same for all that share a store.

    Example::

        held = await claims.take(job)
        if held is not None:
            ...  # nobody else answers it meanwhile
            job = await held.end()
    """

    def __init__(self, jobs: JobStore, clock: Clock, *, lasts_s: float = CLAIM_S) -> None:
        self.lasts_s = lasts_s
        self._jobs = jobs
        self._clock = clock
        self._me = new_id(clock.now())

    async def take(self, job: Job) -> Held | None:
        """Claim ``job``, until what is returned is ended; None while another has it."""
        if self.stands(job):
            return None
        try:
            return Held(await asyncio.to_thread(self._renew, job), self._renew, self.lasts_s / _RENEWALS)
        except (Conflict, NotFound):  # another was faster, or it was erased
            return None

    def stands(self, job: Job) -> bool:
        """Whether somebody answers it now. A claim from before the clock was put back is none."""
        now = self._clock.now()
        return job.claim is not None and now < job.claim.until <= now + timedelta(seconds=self.lasts_s)

    def _renew(self, job: Job) -> Job:
        claim = Claim(by=self._me, until=self._clock.now() + timedelta(seconds=self.lasts_s))
        return self._jobs.change(replace(job, claim=claim, revision=job.revision + 1))


class Held:
    """A request that was claimed; the claim is renewed until it ends."""

    def __init__(self, job: Job, renew: Callable[[Job], Job], every_s: float) -> None:
        self._job = job
        self._renew = renew
        self._every_s = every_s
        self._ended = asyncio.Event()
        self._renewing = asyncio.create_task(self._go_on())

    async def end(self) -> Job:
        """Renew it no more; returns the request as it stands, claimed for a while yet."""
        self._ended.set()
        await self._renewing
        return self._job

    async def _go_on(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._ended.wait(), self._every_s)
            except TimeoutError:
                try:
                    self._job = await asyncio.to_thread(self._renew, self._job)
                except (Conflict, NotFound):  # it is another's now, or was erased
                    return
                except HeadraceError:
                    _log.warning("The claim of %s could not be renewed", self._job.id, exc_info=True)
            else:
                return
