"""Sends requests at a given rate, whether or not answers come: what a server is asked does not wait for it.

A sender that waits for each answer asks less while the server is slow, and so hides how slow it was
(coordinated omission). Here arrivals are drawn beforehand, as a Poisson process, and a request's time begins
when it was due.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np

from headrace.core.ports import Clock
from headrace.serving.process import usage

CONNECTIONS = 64
TIMEOUT_S = 10.0
_TOLD_EVERY_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked.

    Attributes:
        url: of the address that answers a row.
        token: bearer token of who asks.
        bodies: of the requests, in turn.
    """

    url: str
    token: str
    bodies: Sequence[bytes]


@dataclass(kw_only=True)
class Arrived:
    """What came back.

    Attributes:
        latencies_ms: of the good answers, since they were due.
        errors: the others, by status or kind of failure.
        took_s: until the last was done with.
        sender_share: processors that sending took.
    """

    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    sender_share: float = 0.0


def arrivals_s(rate_per_s: float, n: int, seed: int) -> list[float]:
    """Moments of ``n`` arrivals within ``n / rate_per_s`` seconds: those of a Poisson process of which is
    known how many came, so the rate is met exactly."""
    moments = np.random.default_rng(seed).uniform(0, n / rate_per_s, n)
    return [float(moment) for moment in np.sort(moments)]


def send_load(
    target: Target, moments_s: Sequence[float], clock: Clock, on_progress: Callable[[int], None]
) -> Arrived:
    """Send one request at each moment and wait for all answers; ``on_progress`` is told how many are due."""
    import uvloop

    async def run() -> Arrived:
        return await _send_all(target, moments_s, clock, on_progress)

    return uvloop.run(run())


async def _send_all(
    target: Target, moments_s: Sequence[float], clock: Clock, on_progress: Callable[[int], None]
) -> Arrived:
    import aiohttp

    arrived = Arrived()
    headers = {"authorization": f"Bearer {target.token}", "content-type": "application/json"}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        headers=headers,
    ) as session:
        tasks: set[asyncio.Task[None]] = set()
        start_s, used_s, told_s = clock.monotonic_s(), usage().cpu_s, 0.0
        for number, (moment_s, body) in enumerate(zip(moments_s, cycle(target.bodies), strict=False)):
            due_s = start_s + moment_s
            wait_s = due_s - clock.monotonic_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            task = asyncio.create_task(_ask(session, target.url, body, due_s, clock, arrived))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if moment_s - told_s >= _TOLD_EVERY_S:
                told_s = moment_s
                on_progress(number + 1)
        if tasks:
            await asyncio.wait(tasks)
        arrived.took_s = max(clock.monotonic_s() - start_s, moments_s[-1])
        arrived.sender_share = (usage().cpu_s - used_s) / arrived.took_s
        on_progress(len(moments_s))
    return arrived


async def _ask(session: Any, url: str, body: bytes, due_s: float, clock: Clock, arrived: Arrived) -> None:
    from aiohttp import ClientError

    try:
        async with session.post(url, data=body) as answer:
            await answer.read()
            status = answer.status
    except (ClientError, TimeoutError, OSError) as error:
        arrived.errors[type(error).__name__] += 1
        return
    if status == 200:
        arrived.latencies_ms.append((clock.monotonic_s() - due_s) * 1000)
    else:
        arrived.errors[str(status)] += 1
