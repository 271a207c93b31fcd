"""The OpenAI API, spoken by OpenAI's own client over a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import httpx
import openai
import pytest

from headrace.gateway.prompts import Prompt
from headrace.store.records import decode_received
from headrace.testing.scripted_answers import MALFORMED_STREAM, WRONG_JSON, Answer, Closes, Raw, Refusal
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, Desk, client, read

TOOL: Any = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {"id": {"type": "string"}}}},
}


@pytest.mark.requirement("LGW-01")
@pytest.mark.requirement("LGW-03")
def test_an_answer_comes_from_the_release_and_is_on_record(desk: Desk) -> None:
    desk.model.script = Answer(text="Within 30 days.", prompt_tokens=12)
    raw = client(desk).chat.completions.with_raw_response.create(
        model=PROJECT, messages=HELLO, user="customer-7", temperature=0.5
    )
    assert raw.parse().choices[0].message.content == "Within 30 days."
    (asked,) = desk.model.asked
    assert asked.json == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be kind."}, *HELLO],
        "temperature": 0.5,
    }
    (answer,) = desk.answers()
    assert raw.headers["headrace-answer"] == answer.id
    assert raw.headers["headrace-release"] == answer.release_id
    assert (answer.principal, answer.keys, answer.arm) == ("uma", ["customer-7"], "live")
    assert answer.columns == {"question": ["May I return it?"]}
    assert answer.outputs["predict"] == ["Within 30 days."]
    assert answer.outputs["input_tokens"] == [12]
    assert answer.infer_ms > 0


@pytest.mark.requirement("LGW-01")
def test_another_prompt_or_provider_needs_no_change_of_the_application(desk: Desk) -> None:
    ask = client(desk).chat.completions
    assert ask.create(model=PROJECT, messages=HELLO).choices[0].message.content
    desk.release(Prompt(template="Be brief.", models=("local/large",), parameters={"temperature": 0.0}))
    assert ask.create(model=PROJECT, messages=HELLO, temperature=0.9).choices[0].message.content
    first, second = (asked.json for asked in desk.model.asked)
    assert (first["model"], second["model"], second["temperature"]) == ("small", "large", 0.0)


@pytest.mark.requirement("LGW-02")
def test_where_a_provider_is_down_the_next_one_answers(desk: Desk) -> None:
    desk.release(Prompt(template="", models=("down/x", "local/small")))
    answer = client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    assert answer.choices[0].message.content == "This is a scripted answer."


def test_bodies_are_those_of_the_provider_byte_for_byte(desk: Desk) -> None:
    desk.release(Prompt(template="", models=("local/scripted-1",)))
    for body in (
        {"messages": HELLO},
        {"messages": HELLO, "n": 2},
        {"messages": HELLO, "stream": True, "stream_options": {"include_usage": True}},
    ):
        through = httpx.post(
            f"{desk.url}/v1/chat/completions",
            json=body | {"model": PROJECT},
            headers={"authorization": f"Bearer {desk.token()}", "accept-encoding": "identity"},
        )
        direct = httpx.post(f"{desk.model.url}/v1/chat/completions", json=body | {"model": "scripted-1"})
        assert through.status_code == direct.status_code == 200
        assert through.content == direct.content


def test_a_stream_comes_in_pieces_and_is_on_record_when_it_ends(desk: Desk) -> None:
    desk.model.script = Answer(text="Within thirty days of today.", prompt_tokens=9)
    chunks = list(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Within thirty days of today."
    assert all(chunk.choices for chunk in chunks), "nobody asked for the tokens"
    (answer,) = desk.answers()
    assert answer.outputs["predict"] == ["Within thirty days of today."]
    assert (answer.outputs["input_tokens"], answer.outputs["output_tokens"]) == ([9], [5])
    with_usage = client(desk).chat.completions.create(
        model=PROJECT, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert [c.usage.prompt_tokens for c in with_usage if c.usage] == [9]


def test_the_asynchronous_client_asks_many_at_once(desk: Desk) -> None:
    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{desk.url}/v1", api_key=desk.token()) as llm:
            asked = (llm.chat.completions.create(model=PROJECT, messages=HELLO) for _ in range(20))
            return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

    with asyncio.Runner() as runner:
        assert runner.run(ask()) == ["This is a scripted answer."] * 20
    assert len(desk.answers()) == 20


def test_tools_pass_both_ways(desk: Desk) -> None:
    desk.model.script = Answer(text="", tools=(("find", '{"id": "7"}'),))
    answer = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, tools=[TOOL])
    assert answer.choices[0].message.tool_calls
    (call,) = answer.choices[0].message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("find", '{"id": "7"}')
    assert desk.model.asked[-1].json["tools"] == [TOOL]
    told = [*HELLO, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "found"}]
    desk.model.script = Answer(text="It is there.")
    client(desk).chat.completions.create(model=PROJECT, messages=told)
    assert [message["role"] for message in desk.model.asked[-1].json["messages"]] == [
        "system", "user", "assistant", "tool",
    ]  # fmt: skip


def test_structured_answers_are_parsed(desk: Desk) -> None:
    from pydantic import BaseModel

    class Said(BaseModel):
        days: int

    desk.model.script = Answer(text='{"days": 30}')
    parsed = client(desk).chat.completions.parse(model=PROJECT, messages=HELLO, response_format=Said)
    assert parsed.choices[0].message.parsed == Said(days=30)


def test_variables_fill_the_prompt_in(desk: Desk) -> None:
    ask = client(desk).chat.completions
    ask.create(model=PROJECT, messages=HELLO, extra_body={"headrace": {"variables": {"tone": "formal"}}})
    assert desk.model.asked[-1].json["messages"][0]["content"] == "Be formal."
    with pytest.raises(openai.BadRequestError, match="does not know 'voice'"):
        ask.create(model=PROJECT, messages=HELLO, extra_body={"headrace": {"variables": {"voice": "x"}}})


def test_only_those_who_may_are_answered_and_listed(desk: Desk) -> None:
    stranger = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token(STRANGER), max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        stranger.chat.completions.create(model=PROJECT, messages=HELLO)
    assert [model.id for model in client(desk).models.list()] == [PROJECT]
    assert client(desk).models.retrieve(PROJECT).id == PROJECT
    assert list(stranger.models.list()) == []
    with pytest.raises(openai.NotFoundError):
        stranger.models.retrieve(PROJECT)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{desk.url}/v1", api_key="sk-1").models.list()
    with pytest.raises(openai.NotFoundError, match="No release of 'other' is live"):
        client(desk).chat.completions.create(model="other", messages=HELLO)
    assert not desk.model.asked


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/v1/models", None, 405),
        ("POST", "/v1/nothing", None, 404),
        ("POST", "/v1/chat/completions", b"\xff", 400),
        ("POST", "/v1/chat/completions", b"{}", 400),
        ("POST", "/v1/chat/completions", b" " * (9 << 20), 413),
        ("POST", "/v1/chat/completions", json.dumps({"model": "m" * 99, "messages": HELLO}).encode(), 404),
    ],
)
def test_a_bad_request_gets_the_protocols_own_error(
    desk: Desk, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = httpx.request(
        method, f"{desk.url}{path}", content=body, headers={"authorization": f"Bearer {desk.token()}"}
    )
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Refusal(status=400, message="no such tool"), openai.BadRequestError),
        (Refusal(status=422, message="odd"), openai.UnprocessableEntityError),
        (Refusal(status=429, retry_after="0"), openai.RateLimitError),
        (Refusal(status=500), openai.InternalServerError),
        (WRONG_JSON, openai.InternalServerError),
        (Closes(), openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_provider_does_wrong_is_told_and_recorded(
    desk: Desk, said: Any, error: type[Exception], stream: bool
) -> None:
    desk.model.script = said
    with pytest.raises(error) as told:
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=stream)
    assert ("takes no more calls" in str(told.value)) == (error is openai.RateLimitError)
    until(lambda: len(desk.failures()) == 1)
    assert not desk.answers()
    until(lambda: len(list(desk.records("spans"))) == 1)
    (failure,), (record,) = desk.failures(), desk.records("spans")
    step = decode_received(record).span
    assert step.trace_id == failure.id.replace("-", "")
    why = step.attributes["error.type"]
    if isinstance(said, Refusal):
        assert why == failure.error == f"the provider answered {said.status}"
    else:
        assert why in ("UpstreamDown", "UpstreamBroken", "InvalidInput")
    assert "headrace.answer" not in step.attributes


def test_a_key_that_a_provider_repeats_in_its_refusal_is_not_handed_on(desk: Desk) -> None:
    key = "sk-proj-" + "a1B2c3D4" * 5
    desk.model.script = Refusal(status=400, message=f"Incorrect key: {key}; see the documentation")
    with pytest.raises(openai.BadRequestError, match="Incorrect key: <SECRET>; see the documentation"):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)


@pytest.mark.parametrize("said", [Answer(cut_after=2), Answer(without_done=True), MALFORMED_STREAM])
def test_a_stream_that_breaks_off_says_so_and_is_no_answer(desk: Desk, said: Any) -> None:
    desk.model.script = said
    with pytest.raises(openai.APIError):
        list(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True))
    until(lambda: len(desk.failures()) == 1)
    assert not desk.answers()


def test_what_a_stream_said_before_it_broke_off_is_not_free(desk: Desk) -> None:
    desk.model.script = Answer(cut_after=3)
    with pytest.raises(openai.APIError):
        list(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True))
    until(lambda: list(desk.records("spans")))
    (record,) = desk.records("spans")
    took = decode_received(record).span.attributes
    assert took["headrace.usage_estimated"] is True
    assert took["gen_ai.usage.input_tokens"] > 0
    assert took["gen_ai.usage.output_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_its_provider_has_not_counted_is_on_record_as_estimated(
    desk: Desk, *, stream: bool
) -> None:
    text = b'"content": "You may return it within thirty days."'
    whole = Raw(body=b'{"model": "small", "choices": [{"message": {%b}}]}' % text)
    event = b'data: {"model": "small", "choices": [{"delta": {%b}}]}\n\ndata: [DONE]\n\n' % text
    desk.model.script = Raw(body=event, content_type="text/event-stream") if stream else whole
    read(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=stream))
    until(desk.answers)
    (answer,) = desk.answers()
    assert answer.outputs["estimated"] == [True]
    assert answer.outputs["input_tokens"][0] > 5
    assert answer.outputs["output_tokens"][0] > 8
    assert answer.outputs["cost"] == [None], "it has no price, which is not to be free"


def test_a_caller_who_goes_ends_the_providers_work(desk: Desk) -> None:
    desk.model.script = Answer(is_endless=True, pause_s=0.01)
    with httpx.stream(
        "POST",
        f"{desk.url}/v1/chat/completions",
        json={"model": PROJECT, "messages": HELLO, "stream": True},
        headers={"authorization": f"Bearer {desk.token()}"},
    ) as answer:
        next(answer.iter_bytes())
    assert desk.model.asked[-1].over.wait(20)
    assert desk.model.asked[-1].ended == "gone"
    until(lambda: len(desk.answers()) == 1)
    (left,) = desk.answers()
    assert (left.outputs["finish"], left.outputs["output_tokens"][0] > 0) == (["broken off"], True)


def test_a_caller_who_goes_before_a_whole_answer_is_no_failure(desk: Desk) -> None:
    desk.model.script = Answer(delay_s=1.0)
    body = json.dumps({"model": PROJECT, "messages": HELLO}).encode()
    host, port = desk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {desk.token()}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        caller.sendall(head.encode() + body)
        until(lambda: desk.model.asked)
    assert desk.model.asked[-1].over.wait(20)
    until(desk.answers)
    assert not desk.failures()


def test_what_is_about_people_is_recorded_without_it(desk: Desk) -> None:
    desk.release(PROMPT, basis="consent", purpose="answers")
    desk.model.script = Answer(text="Write to ada@example.org.")
    client(desk).chat.completions.create(
        model=PROJECT,
        messages=[{"role": "user", "content": "I am bob@example.org, card 4111 1111 1111 1111"}],
        user="bob",
    )
    (answer,) = desk.answers()
    kept = repr(answer)
    assert "@example.org" not in kept
    assert "4111" not in kept
    assert answer.keys != ["bob"]
