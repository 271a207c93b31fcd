"""The Responses API, spoken by OpenAI's own client, over models of either kind."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from headrace.testing.scripted_answers import MALFORMED_STREAM, WRONG_JSON, Answer, Closes, Raw, Refusal
from tests.pace import until
from tests.web.prompted import PROJECT, PROMPT, STRANGER, Desk, client

HI = "May I return it?"
TOOL: Any = {
    "type": "function",
    "name": "find",
    "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
    "strict": False,
}
CLAUDE, OPENAI = "claude/small", "local/small"
either = pytest.mark.parametrize("model", [OPENAI, CLAUDE])
both_ways = pytest.mark.parametrize("stream", [False, True])


def ask(desk: Desk, *, stream: bool = False, **more: Any) -> Any:
    asked: Any = {"model": PROJECT, "input": HI} | more
    if not stream:
        return client(desk).responses.create(**asked)
    with client(desk).responses.stream(**asked) as pieces:
        return pieces.get_final_response()


@pytest.mark.requirement("LGW-01")
@pytest.mark.requirement("LGW-02")
@either
@both_ways
def test_a_response_comes_from_the_release_and_is_on_record(desk: Desk, model: str, stream: bool) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(text="Within thirty days.", prompt_tokens=12, cached_tokens=4)
    said = ask(desk, stream=stream, user="customer-7", max_output_tokens=99, metadata={"ticket": "7"})
    assert (said.output_text, said.status, said.model) == ("Within thirty days.", "completed", "small")
    assert (said.usage.input_tokens, said.usage.output_tokens) == (12, 3)
    assert said.usage.input_tokens_details.cached_tokens == 4
    assert (said.metadata, said.max_output_tokens, said.store) == ({"ticket": "7"}, 99, False)
    sent = json.dumps(desk.model.asked[-1].json)
    assert "Be kind." in sent
    assert "customer-7" not in sent
    (answer,) = desk.answers()
    assert said.id == f"resp_{answer.id.replace('-', '')}"
    assert (answer.keys, answer.outputs["predict"]) == (["customer-7"], ["Within thirty days."])
    assert (answer.outputs["input_tokens"], answer.outputs["output_tokens"]) == ([12], [3])


@either
@both_ways
def test_tools_pass_both_ways(desk: Desk, model: str, stream: bool) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(text="", tools=(("find", '{"id": "7"}'), ("find", '{"id": "8"}')))
    said = ask(desk, stream=stream, tools=[TOOL], tool_choice="required")
    calls = [item for item in said.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("find", {"id": "7"}), ("find", {"id": "8"}),
    ]  # fmt: skip
    told: Any = [{"role": "user", "content": HI}, *(call.to_dict() for call in calls)]
    told += [{"type": "function_call_output", "call_id": call.call_id, "output": "found"} for call in calls]
    desk.model.script = Answer(text="They are there.")
    assert ask(desk, stream=stream, input=told, tools=[TOOL]).output_text == "They are there."
    assert len(desk.model.asked[-1].json["messages"]) == (3 if model == CLAUDE else 5)


@either
@both_ways
def test_structured_answers_are_parsed(desk: Desk, model: str, stream: bool) -> None:
    from pydantic import BaseModel

    class Days(BaseModel):
        days: int

    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(text='{"days": 30}')
    if stream:
        said: Any = ask(desk, stream=True, text_format=Days)
    else:
        said = client(desk).responses.parse(model=PROJECT, input=HI, text_format=Days)
    assert said.output_parsed == Days(days=30)


def test_the_typed_events_come_in_their_order(desk: Desk) -> None:
    desk.model.script = Answer(text="Within thirty days.")
    events = list(client(desk).responses.create(model=PROJECT, input=HI, stream=True))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.delta", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(11))


def test_the_asynchronous_client_asks_many_at_once(desk: Desk) -> None:
    async def work() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{desk.url}/v1", api_key=desk.token()) as llm:
            asked = (llm.responses.create(model=PROJECT, input=HI) for _ in range(10))
            return [said.output_text for said in await asyncio.gather(*asked)]

    with asyncio.Runner() as runner:
        assert runner.run(work()) == ["This is a scripted answer."] * 10


@pytest.mark.requirement("GRD-03")
@both_ways
def test_what_is_about_people_leaves_as_a_stand_in_and_comes_back(desk: Desk, stream: bool) -> None:
    desk.release(PROMPT, basis="consent", purpose="answers")
    desk.model.script = lambda asked: Answer(text=f"Noted: {asked.json['messages'][-1]['content']}")
    said = ask(desk, stream=stream, input=[{"role": "user", "content": "I am bob@example.org"}])
    assert "bob@example.org" not in json.dumps(desk.model.asked[-1].json)
    assert said.output_text == "Noted: I am bob@example.org"


@both_ways
def test_an_answer_that_a_guard_blocks_is_told_and_is_no_failure(desk: Desk, stream: bool) -> None:
    desk.release(replace(PROMPT, guardrails={"personal": {"action": "block"}}))
    desk.model.script = Answer(text="Write to ada@example.org now. " + "More. " * 60)
    with pytest.raises(openai.APIError, match="personal.email") as refused:
        ask(desk, stream=stream)
    assert refused.value.code == "blocked"
    until(lambda: len(desk.answers()) == 1)
    assert desk.answers()[0].outputs["finish"] == ["blocked"]
    assert not desk.failures()


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"previous_response_id": "resp_1"}, openai.BadRequestError, "the whole conversation as 'input'"),
        ({"store": True}, openai.BadRequestError, "'store' is not there"),
        ({"tools": [{"type": "web_search"}]}, openai.BadRequestError, "web_search"),
        ({"instructions": "Be rude."}, openai.BadRequestError, "are its release's"),
        ({"model": "other"}, openai.NotFoundError, "No release of 'other' is live"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    desk: Desk, fields: Any, error: type[openai.APIStatusError], said: str
) -> None:
    with pytest.raises(error, match=said):
        ask(desk, **fields)
    assert not desk.model.asked


def test_only_those_who_may_are_answered_and_what_a_budget_allows(desk: Desk) -> None:
    stranger = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token(STRANGER), max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        stranger.responses.create(model=PROJECT, input=HI)
    desk.release(
        PROMPT, llm={"budgets": [{"per": "project", "of": "requests", "most": 1, "period": "total"}]}
    )
    ask(desk)
    with pytest.raises(openai.RateLimitError) as refused:
        ask(desk)
    assert refused.value.code == "insufficient_quota"
    desk.release(replace(PROMPT, guardrails={"personal": {"action": "block"}}))
    with pytest.raises(openai.BadRequestError) as blocked:
        ask(desk, input="I am bob@example.org")
    assert blocked.value.code == "blocked"


@either
@both_ways
@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Refusal(status=400, message="no such tool"), openai.BadRequestError),
        (Refusal(status=429), openai.RateLimitError),
        (Refusal(status=429, retry_after="90"), openai.RateLimitError),
        (Refusal(status=500), openai.InternalServerError),
        (WRONG_JSON, openai.InternalServerError),
        (Closes(), openai.InternalServerError),
    ],
)
def test_what_a_provider_does_wrong_is_told_and_recorded(
    desk: Desk, model: str, stream: bool, said: Any, error: type[openai.APIStatusError]
) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = said
    with pytest.raises(error) as refused:
        ask(desk, stream=stream)
    if isinstance(said, Refusal) and said.retry_after:
        assert refused.value.response.headers["retry-after"] == "90"
    until(lambda: len(desk.failures()) == 1)
    assert not desk.answers()


@either
@pytest.mark.parametrize("said", [Answer(cut_after=3), Answer(without_done=True), MALFORMED_STREAM])
def test_a_stream_that_breaks_off_says_so_and_is_no_answer(desk: Desk, model: str, said: Any) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = said
    with pytest.raises(openai.APIError):
        list(client(desk).responses.create(model=PROJECT, input=HI, stream=True))
    until(lambda: len(desk.failures()) == 1)
    assert not desk.answers()


def test_a_caller_who_goes_ends_the_providers_work(desk: Desk) -> None:
    desk.model.script = Answer(is_endless=True, pause_s=0.01)
    with httpx.stream(
        "POST",
        f"{desk.url}/v1/responses",
        json={"model": PROJECT, "input": HI, "stream": True},
        headers={"authorization": f"Bearer {desk.token()}"},
    ) as answer:
        next(answer.iter_bytes())
    assert desk.model.asked[-1].over.wait(20)
    until(lambda: len(desk.answers()) == 1)
    (left,) = desk.answers()
    assert left.outputs["finish"] == ["broken off"]


def test_a_stream_that_is_none_any_more_ends_with_an_error_that_clients_know(desk: Desk) -> None:
    odd = {"index": [1], "id": "c", "function": {"name": "f", "arguments": "{}"}}
    chunks = [{"delta": {"content": "Within"}}, {"delta": {"tool_calls": [odd]}}]
    said = b"".join(b"data: %b\n\n" % json.dumps({"choices": [one]}).encode() for one in chunks)
    desk.model.script = Raw.stream(said + b"data: [DONE]\n\n")
    with pytest.raises(openai.APIError, match="no chunk of a chat completion"):
        list(client(desk).responses.create(model=PROJECT, input="May I return it?", stream=True))
    until(desk.failures)
