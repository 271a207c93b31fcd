from __future__ import annotations

import asyncio

import msgspec
import pytest

from headrace.core.errors import NotFound
from headrace.gateway.llm.connections import MOST_BYTES
from headrace.gateway.llm.retrying import Retrying
from headrace.gateway.llm.upstream import (
    Question,
    Target,
    UpstreamBroken,
    UpstreamDown,
    UpstreamRefused,
)
from headrace.testing.scripted_answers import (
    MALFORMED_STREAM,
    Answer,
    Closes,
    Raw,
    Refusal,
    huge_chunk,
)
from headrace.testing.scripted_llm import Script
from tests.gateway.llm.asking import PATH, World, body_of, ended, inside


def test_an_answer_comes_byte_for_byte_and_our_key_goes_with_the_question() -> None:
    async def work(w: World) -> None:
        reply = await w.call()
        assert (reply.status, reply.target) == (200, w.targets[0])
        assert reply.headers["x-request-id"] == "scripted"
        assert msgspec.json.decode(reply.body)["choices"][0]["message"]["content"] == "Hello."
        (asked,) = w.models[0].asked
        assert asked.headers["authorization"] == "Bearer secret-of-key-0"
        assert set(asked.headers) == {
            "host", "content-type", "content-length", "accept-encoding", "authorization",
        }  # fmt: skip
        assert asked.body == body_of("model-0")

    inside(World([Answer(text="Hello.")]), work)


def test_connections_are_kept_and_bounded() -> None:
    async def work(w: World) -> None:
        for _ in range(3):
            await asyncio.gather(*(w.call() for _ in range(10)))
            await asyncio.gather(*(w.stream() for _ in range(10)))
        assert w.models[0].n_connected == 4

    inside(World([Answer()], max_connections=4), work)


@pytest.mark.parametrize("status", [400, 422, 413])
def test_what_is_refused_for_what_it_is_comes_back_at_once(status: int) -> None:
    async def work(w: World) -> None:
        assert (await w.call()).status == status
        assert w.n_asked() == [1, 0]
        with pytest.raises(UpstreamRefused) as raised:
            await w.stream()
        assert raised.value.reply.status == status

    inside(World([Refusal(status=status), Answer()]), work)


@pytest.mark.parametrize("failing", [Refusal(status=500), Refusal(status=429), Closes(), Answer(cut_after=1)])
def test_what_fails_for_a_moment_is_asked_again(
    failing: Answer | Refusal | Closes,
) -> None:
    async def work(w: World) -> None:
        assert (await w.call()).status == 200
        assert w.waited == [1.0, 2.0]

    inside(World([[failing, failing, Answer()]]), work)


def test_a_provider_that_says_how_long_is_obeyed_and_one_that_says_too_long_is_left() -> None:
    async def work(w: World) -> None:
        await w.call()
        assert w.waited == [pytest.approx(7.7)]

    inside(World([[Refusal(retry_after="7"), Answer()]]), work)

    async def too_long(w: World) -> None:
        assert (await w.call()).target == w.targets[1]
        assert (w.waited, w.n_asked()) == ([], [1, 1])

    inside(World([Refusal(retry_after="3600"), Answer()]), too_long)


@pytest.mark.parametrize("failing", [Refusal(status=503), Refusal(status=401), Refusal(status=404), Closes()])
def test_the_next_model_answers_where_the_first_cannot(failing: Refusal | Closes) -> None:
    async def work(w: World) -> None:
        assert (await w.call()).target == w.targets[1]
        assert w.models[1].asked[0].json["model"] == "model-1"
        assert await w.stream()

    inside(World([failing, Answer()]), work)


def test_where_all_refuse_the_last_refusal_comes_as_it_was() -> None:
    async def work(w: World) -> None:
        reply = await w.call(w.targets[0], w.targets[1], Target("down", "x"))
        assert (reply.status, b"second" in reply.body) == (429, True)
        with pytest.raises(UpstreamRefused):
            await w.stream()

    inside(World([Refusal(status=500), Refusal(status=429, message="second")]), work)


def test_nobody_there_is_told() -> None:
    async def work(w: World) -> None:
        with pytest.raises(UpstreamDown, match="down/x cannot be reached"):
            await w.call(Target("down", "x"))
        with pytest.raises(NotFound, match=r"no provider 'other' \(has: down\)"):
            await w.call(Target("other", "x"))
        with pytest.raises(UpstreamDown, match="No model"):
            await w.up.call(Question([], PATH, body_of))

    inside(World([]), work)


@pytest.mark.requirement("REG-10")
def test_a_model_that_is_not_registered_is_not_asked() -> None:
    async def work(w: World) -> None:
        with pytest.raises(NotFound, match=r"no registered model 'model-0' \(has: other\)"):
            await w.call()
        with pytest.raises(NotFound):
            await w.stream()
        assert w.n_asked() == [0]

    inside(World([Answer()], models=("other",)), work)


def test_an_endpoint_that_keeps_failing_is_left_alone_and_tried_again() -> None:
    async def work(w: World) -> None:
        for _ in range(2):
            assert (await w.call()).status == 500
        n_asked = w.n_asked()
        assert n_asked == [5]  # the sixth would have been the third try of the second call
        with pytest.raises(UpstreamDown, match="left alone"):
            await w.call()
        assert w.n_asked() == n_asked
        w.models[0].script = Answer()
        w.clock.advance(60)
        assert (await w.call()).status == 200
        assert not w.up.breaker("m0").is_open

    inside(World([Refusal(status=500)]), work)


def test_a_limit_that_was_reached_is_no_failure_of_the_endpoint() -> None:
    async def work(w: World) -> None:
        for _ in range(4):
            assert (await w.call()).status == 429
        assert not w.up.breaker("m0").is_open

    inside(World([Refusal(status=429)]), work)


def test_a_key_that_is_refused_is_looked_up_again() -> None:
    async def work(w: World) -> None:
        for _ in range(3):
            await w.call()
        assert w.keys_asked == ["key-0"]
        w.models[0].script = Refusal(status=401)
        await w.call()
        await w.call()
        assert w.keys_asked == ["key-0", "key-0"]

    inside(World([Answer()]), work)


def test_without_its_key_a_provider_is_not_asked_and_the_next_one_is() -> None:
    async def work(w: World) -> None:
        w.no_key = "key-0"
        assert (await w.call()).target == w.targets[1]
        assert w.n_asked() == [0, 1]
        with pytest.raises(UpstreamDown, match=r"m0 cannot be asked without its key\. There is none"):
            await w.call(w.targets[0])
        w.no_key = ""
        w.clock.advance(60)
        assert (await w.call()).target == w.targets[0]

    inside(World([Answer(), Answer()]), work)


@pytest.mark.parametrize("stream", [False, True])
def test_slow_endpoints_are_given_up_and_not_asked_again(stream: bool) -> None:
    """They may still be at work. A whole answer begins when it has been made, so it may take longer."""

    async def work(w: World) -> None:
        with pytest.raises(UpstreamDown, match=r"did not begin to answer within 0\.05 s"):
            await (w.stream() if stream else w.call())
        assert sum(w.n_asked()) <= 1
        for asked in w.models[0].asked:
            assert await ended(asked) == "gone"

    limit = "first_byte_timeout_s" if stream else "total_timeout_s"
    inside(World([Answer(delay_s=30)], **{limit: 0.05}), work)


def test_an_answer_without_end_is_given_up() -> None:
    async def work(w: World) -> None:
        with pytest.raises(UpstreamBroken, match="stalled"):
            await w.call()

    script = Answer(stall_after=1)
    inside(World([script], idle_timeout_s=0.05, retrying=Retrying(most=0)), work)


def test_who_broke_off_has_worked_and_who_refused_has_not() -> None:
    """A provider may bill what nobody has got."""

    async def work(w: World) -> None:
        in_vain: list[Target] = []
        assert (await w.call(w.targets[0], in_vain=in_vain)).status == 200
        assert (in_vain, w.n_asked()) == ([w.targets[0]], [3])

    refusing = Raw(body=b'{"error": ', status=503, cut=True)
    inside(World([[Answer(cut_after=1), refusing, Answer()]], retrying=Retrying(most=2)), work)


def test_an_answer_that_is_too_large_is_given_up() -> None:
    async def work(w: World) -> None:
        with pytest.raises(UpstreamBroken, match="more than"):
            await w.call()

    inside(World([Raw(body=b"x" * (MOST_BYTES + 1))], retrying=Retrying(most=0)), work)


def test_a_redirect_is_not_followed() -> None:
    async def work(w: World) -> None:
        assert (await w.call()).status == 302
        assert w.n_asked() == [1]

    inside(World([Raw(body=b"", status=302)]), work)


@pytest.mark.parametrize(("path", "last"), [(PATH, b"[DONE]"), ("/messages", b'{"type":"message_stop"}')])
def test_a_stream_comes_event_by_event_and_its_end_is_known(path: str, last: bytes) -> None:
    async def work(w: World) -> None:
        async with w.opened(w.targets, path) as stream:
            events = [data async for data in stream]
            assert stream.is_done
        assert events[-1] == last
        assert all(msgspec.json.decode(data) for data in events[:-1])
        assert await ended(w.models[0].asked[0]) == "answered"

    inside(World([Answer(text="One two three.")]), work)


def test_a_stream_that_ends_without_its_last_event_is_told_apart() -> None:
    async def work(w: World) -> None:
        async with w.opened(w.targets, PATH) as stream:
            assert [data async for data in stream]
            assert not stream.is_done

    inside(World([Answer(without_done=True)]), work)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Answer(cut_after=3), "broke off"),
        (Answer(stall_after=3), "stalled"),
        (MALFORMED_STREAM, "no server-sent event"),
        (huge_chunk(9_000_000), "more than 8388608 bytes"),
        (Raw.stream(b'data: {}\n\ndata: {"a'), "in the middle of an event"),
        (Raw.stream(b": nothing\n\n"), "no events"),
        (Raw(body=b"{}"), "no stream of events"),
    ],
)
def test_a_stream_that_breaks_is_told(script: Script, said: str) -> None:
    async def work(w: World) -> None:
        with pytest.raises(UpstreamBroken, match=said):
            await w.stream()

    inside(World([script], idle_timeout_s=0.2, retrying=Retrying(most=0)), work)


def test_nothing_is_asked_again_once_something_was_handed_on() -> None:
    async def work(w: World) -> None:
        with pytest.raises(UpstreamBroken):
            await w.stream()
        assert w.n_asked() == [1, 0]
        assert w.up.breaker("m0").n_failed == 1

    inside(World([[Answer(cut_after=3), Answer()], Answer()]), work)


def test_what_breaks_before_its_first_event_is_asked_again() -> None:
    async def work(w: World) -> None:
        assert (await w.stream())[-1] == b"[DONE]"
        assert w.n_asked() == [2]

    inside(World([[Answer(cut_after=0), Answer()]]), work)


def test_to_leave_a_stream_stops_the_providers_work() -> None:
    async def work(w: World) -> None:
        async with w.opened(w.targets, PATH) as stream:
            assert await anext(aiter(stream))
            assert not w.models[0].asked[0].over.is_set()
        assert await ended(w.models[0].asked[0]) == "gone"

    inside(World([Answer(is_endless=True)]), work)


def test_a_caller_who_is_gone_stops_the_providers_work() -> None:
    async def work(w: World) -> None:
        at_work: list[Target] = []
        asking = asyncio.ensure_future(w.call(at_work=at_work))
        for _ in range(500):
            if w.models[0].asked:
                break
            await asyncio.sleep(0.01)
        asking.cancel()
        assert await ended(w.models[0].asked[0]) == "gone"
        assert at_work == w.targets[:1]

    inside(World([Answer(delay_s=30)]), work)


def test_who_goes_between_two_tries_leaves_nobody_at_work() -> None:
    async def work(w: World) -> None:
        at_work: list[Target] = []
        asking = asyncio.ensure_future(w.call(at_work=at_work))
        await w.sleeps.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert at_work == []

    inside(World([Refusal(status=500)]), work)


def test_a_stream_that_breaks_counts_against_its_endpoint() -> None:
    async def work(w: World) -> None:
        for _ in range(2):
            with pytest.raises(UpstreamBroken):
                await w.stream()
        assert w.up.breaker(w.targets[0].endpoint).n_failed == 2
        w.models[0].script = Answer()
        await w.stream()
        assert w.up.breaker(w.targets[0].endpoint).n_failed == 0

    inside(World([Answer(cut_after=3)]), work)
