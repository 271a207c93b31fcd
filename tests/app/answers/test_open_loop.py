from __future__ import annotations

import asyncio

import numpy as np
import pytest

from headrace.app.answers.open_loop import Target, arrivals_s, send_load
from headrace.core.clock import SystemClock
from tests.app.answering import answering


def test_arrivals_come_at_the_rate_and_at_random() -> None:
    moments = arrivals_s(100, 1_000, seed=1)
    assert moments == sorted(moments)
    assert 9.5 < moments[-1] <= 10
    gaps = np.diff(moments)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.15)  # as an exponential's
    assert arrivals_s(100, 10, seed=1) == arrivals_s(100, 10, seed=1)


@pytest.mark.requirement("SRV-10")
def test_a_server_that_hangs_is_asked_on_and_its_delay_is_counted_from_when_a_request_was_due() -> None:
    n = 40
    waiting: list[asyncio.Future[None]] = []

    async def answer(number: int) -> int:
        """Nobody is answered before the last has asked: a sender that waits would wait for ever."""
        if number < n - 1:
            waiting.append(asyncio.get_running_loop().create_future())
            await waiting[-1]
        for one in waiting:
            if not one.done():
                one.set_result(None)
        return 200

    moments = [number * 0.005 for number in range(n)]
    told: list[int] = []
    with answering(answer) as url:
        arrived = send_load(Target(url=url, token="t", bodies=[b"{}"]), moments, SystemClock(), told.append)
    assert len(arrived.latencies_ms) == n
    expected = sorted(((moments[-1] - moment) * 1000 for moment in moments), reverse=True)
    found = sorted(arrived.latencies_ms, reverse=True)
    assert all(took >= least for took, least in zip(found, expected, strict=True))
    assert told[-1] == n


def test_refusals_and_broken_connections_are_errors_by_kind() -> None:
    async def answer(number: int) -> int:
        if number % 4 == 0:
            raise ConnectionError
        return 503 if number % 4 == 1 else 200

    with answering(answer) as url:
        arrived = send_load(
            Target(url=url, token="t", bodies=[b"1", b"22"]), [0.002 * i for i in range(40)], SystemClock(),
            lambda _: None,
        )  # fmt: skip
    assert arrived.errors["503"] == 10
    assert sum(arrived.errors.values()) + len(arrived.latencies_ms) == 40
    assert len(arrived.errors) == 2
