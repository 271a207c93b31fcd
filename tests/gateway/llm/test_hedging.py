"""A second provider is asked as well: who answers, who is stopped, and that nobody is asked twice."""

from __future__ import annotations

import asyncio

import pytest

from headrace.gateway.llm.retrying import Retrying
from headrace.gateway.llm.upstream import (
    Target,
    UpstreamDown,
)
from headrace.testing.scripted_answers import (
    Answer,
    Refusal,
)
from headrace.testing.scripted_llm import Script
from tests.gateway.llm.asking import PATH, World, ended, inside


def test_a_second_question_answers_where_the_first_is_slow() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.3)
        assert reply.target == w.targets[1]
        assert await ended(w.models[0].asked[0]) == "gone"
        w.models[0].script = Answer()
        assert (await w.call(hedge_after_s=5)).target == w.targets[0]
        assert w.n_asked() == [2, 1]

    inside(World([Answer(delay_s=30), Answer()]), work)


def test_a_second_question_that_fails_leaves_the_first() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.01)
        assert (reply.status, reply.target) == (200, w.targets[0])

    inside(World([Answer(delay_s=0.2), Refusal(status=500)], retrying=Retrying(most=0)), work)


def test_who_was_asked_as_well_is_stopped_and_named() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.3)
        assert (reply.target, reply.lost) == (w.targets[1], (w.targets[0],))
        assert await ended(w.models[0].asked[0]) == "gone"

    inside(World([Answer(delay_s=30), Answer()]), work)


def test_a_first_answer_that_comes_first_wins_and_the_second_is_stopped() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.3)
        assert (reply.target, reply.lost) == (w.targets[0], (w.targets[1],))
        assert await ended(w.models[1].asked[0]) == "gone"

    inside(World([Answer(delay_s=1.5), Answer(delay_s=30)]), work)


def test_who_has_refused_has_lost_nothing() -> None:
    async def work(w: World) -> None:
        assert (await w.call(hedge_after_s=0.01)).lost == ()

    inside(World([Answer(delay_s=0.3), Refusal(status=500)], retrying=Retrying(most=0)), work)


def test_only_another_provider_is_asked_as_well() -> None:
    async def work(w: World) -> None:
        again = Target(w.targets[0].endpoint, "another")
        reply = await w.call(w.targets[0], again, hedge_after_s=0.01)
        assert (reply.target, reply.lost, w.n_asked()) == (w.targets[0], (), [1])

    inside(World([Answer(delay_s=0.2)]), work)


def test_who_is_asked_in_place_of_one_left_alone_is_not_asked_twice() -> None:
    async def left_alone(w: World) -> None:
        down = Target("down", "x")
        while not w.up.breaker("down").is_open:
            with pytest.raises(UpstreamDown):
                await w.call(down)
        reply = await w.call(down, w.targets[0], hedge_after_s=0.01)
        assert (reply.target, reply.lost, w.n_asked()) == (w.targets[0], (), [1])

    inside(World([Answer(delay_s=0.3)], retrying=Retrying(most=0)), left_alone)


def test_the_first_piece_of_a_stream_counts() -> None:
    async def work(w: World) -> None:
        async with w.opened(w.targets, PATH, hedge_after_s=0.3) as stream:
            assert (stream.target, stream.lost) == (w.targets[1], (w.targets[0],))
            assert [data async for data in stream][-1] == b"[DONE]"
        assert await ended(w.models[0].asked[0]) == "gone"
        w.models[0].script = Answer()
        async with w.opened(w.targets, PATH, hedge_after_s=5) as stream:
            assert (stream.target, stream.lost) == (w.targets[0], ())
        assert w.n_asked() == [2, 1]

    inside(World([Answer(delay_s=30), Answer()]), work)


def test_who_goes_while_two_are_asked_stops_both() -> None:
    async def work(w: World) -> None:
        at_work: list[Target] = []
        call = asyncio.ensure_future(w.call(hedge_after_s=0.01, at_work=at_work))
        for _ in range(1_000):
            if w.n_asked() != [1, 1]:
                await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert [await ended(model.asked[0]) for model in w.models] == ["gone", "gone"]
        assert at_work == w.targets

    inside(World([Answer(delay_s=30), Answer(delay_s=30)]), work)


def test_where_both_refuse_the_last_of_whom_to_ask_counts() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.01)
        assert (reply.status, reply.target, reply.lost) == (500, w.targets[1], ())
        assert w.n_asked() == [1, 1]

    for slower in ([0.2, 0.0], [0.2, 0.4]):
        scripts: list[Script] = [
            Refusal(status=status, delay_s=delay_s)
            for status, delay_s in zip([429, 500], slower, strict=True)
        ]
        inside(World(scripts, retrying=Retrying(most=0)), work)


def test_a_refusal_counts_more_than_a_second_that_fails() -> None:
    async def work(w: World) -> None:
        reply = await w.call(w.targets[0], Target("down", "x"), hedge_after_s=0.01)
        assert (reply.status, reply.target) == (429, w.targets[0])

    inside(World([Refusal(status=429, delay_s=0.2)], retrying=Retrying(most=0)), work)


@pytest.mark.parametrize("first", [Refusal(status=500, delay_s=0.2), Refusal(status=404, delay_s=0.2)])
def test_who_is_asked_already_is_not_asked_again_when_the_first_fails(first: Refusal) -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.01)
        assert (reply.status, reply.target, reply.lost) == (200, w.targets[1], ())
        async with w.opened(w.targets, PATH, hedge_after_s=0.01) as stream:
            assert (stream.target, stream.lost) == (w.targets[1], ())
        assert w.n_asked() == [2, 2]

    inside(World([first, Answer(delay_s=1.5)], retrying=Retrying(most=0)), work)


def test_where_the_second_fails_as_well_the_third_is_asked_once() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.01)
        assert (reply.status, reply.target) == (200, w.targets[2])
        assert w.n_asked() == [1, 1, 1]

    refusals = [Refusal(status=500, delay_s=0.2), Refusal(status=500, delay_s=0.4)]
    inside(World([*refusals, Answer()], retrying=Retrying(most=0)), work)


def test_another_model_of_the_first_provider_waits_until_the_second_has_failed() -> None:
    async def work(w: World) -> None:
        again = Target(w.targets[0].endpoint, "another")
        reply = await w.call(w.targets[0], w.targets[1], again, hedge_after_s=0.01)
        assert (reply.status, reply.target, reply.lost) == (200, w.targets[1], ())
        assert w.n_asked() == [1, 1]
        w.models[1].script = Refusal(status=500, delay_s=0.4)
        reply = await w.call(w.targets[0], w.targets[1], again, hedge_after_s=0.01)
        assert (reply.status, reply.target, reply.lost) == (200, again, ())
        assert w.n_asked() == [3, 2]

    refused = Refusal(status=404, delay_s=0.2)
    scripts: list[Script] = [[refused, refused, Answer()], Answer(delay_s=1.0)]
    inside(World(scripts, retrying=Retrying(most=0)), work)


@pytest.mark.parametrize("slower", [0, 1])
def test_nobody_is_asked_again_while_another_is_at_work(slower: int) -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.01)
        assert (reply.status, reply.target, reply.lost) == (200, w.targets[slower], ())
        async with w.opened(w.targets, PATH, hedge_after_s=0.01) as stream:
            assert (stream.target, stream.lost) == (w.targets[slower], ())
        assert w.n_asked() == [2, 2]

    scripts: list[Script] = [Refusal(status=500, delay_s=0.2), Refusal(status=500, delay_s=0.2)]
    scripts[slower] = Answer(delay_s=1.5)
    inside(World(scripts), work)


def test_where_both_fail_both_are_asked_again_as_usual() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.01)
        assert (reply.status, reply.target, reply.lost) == (500, w.targets[1], ())
        assert w.n_asked() == [3, 3]

    inside(World([Refusal(status=500, delay_s=0.1), Refusal(status=500, delay_s=0.3)]), work)


def test_one_that_recovers_answers_after_both_have_failed() -> None:
    async def work(w: World) -> None:
        reply = await w.call(hedge_after_s=0.01)
        assert (reply.status, reply.target, reply.lost) == (200, w.targets[0], ())
        assert w.n_asked() == [2, 3]

    inside(World([[Refusal(status=500, delay_s=0.1), Answer()], Refusal(status=500, delay_s=0.3)]), work)
