"""What is done for a caller ends when they go, and nothing else does."""

from __future__ import annotations

import asyncio

import pytest

from headrace.serving.caller import CALLER, Caller, Gone, caller_of


def _caller() -> Caller:
    return Caller(lambda: None)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_their_going_ends_what_waits_and_leaves_no_cancellation_behind() -> None:
    async def run() -> None:
        caller, ended = _caller(), []

        async def recorded() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append("settled")

        async def work() -> int:
            with pytest.raises(Gone), caller:
                await recorded()
            await asyncio.sleep(0)
            current = asyncio.current_task()
            assert current is not None
            return current.cancelling()

        task = asyncio.ensure_future(work())
        await _turns()
        caller.go()
        assert await task == 0
        assert ended == ["settled"]

    asyncio.run(run())


def test_who_went_before_is_not_worked_for() -> None:
    caller = _caller()
    caller.go()
    with pytest.raises(Gone), caller:
        raise AssertionError


def test_what_is_over_is_not_touched() -> None:
    async def run() -> None:
        caller = _caller()

        async def work() -> str:
            with caller:
                await asyncio.sleep(0)
            await _turns()
            return "sent"

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        caller.go()
        assert await task == "sent"

    asyncio.run(run())


def test_another_ones_cancellation_and_other_errors_are_what_they_are() -> None:
    async def run() -> None:
        caller = _caller()

        async def work() -> None:
            with caller:
                await asyncio.Event().wait()

        task = asyncio.ensure_future(work())
        await _turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ZeroDivisionError), caller:
            raise ZeroDivisionError

    asyncio.run(run())


def test_the_connection_is_read_on_while_they_wait() -> None:
    read: list[str] = []
    caller = Caller(lambda: read.append("on"))

    async def run() -> None:
        with caller:
            assert read == ["on"]

    asyncio.run(run())


def test_a_server_that_does_not_know_who_goes_has_none() -> None:
    caller = _caller()
    assert caller_of({"state": {CALLER: caller}}) is caller
    assert caller_of({"state": {}}) is caller_of({}) is None
