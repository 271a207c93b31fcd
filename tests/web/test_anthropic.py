"""Anthropic's API on both sides: its own client asks, and its models answer, whoever is on the other side."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headrace.testing.scripted_answers import MALFORMED_STREAM, WRONG_JSON, Answer, Closes, Raw, Refusal
from headrace.testing.scripted_llm import CHAT, MESSAGES
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, USER, Desk, client, read

TOOL: Any = {"name": "find", "input_schema": {"type": "object", "properties": {"id": {"type": "string"}}}}
FUNCTION: Any = {"type": "function", "function": {"name": "find", "parameters": TOOL["input_schema"]}}
CLAUDE, OPENAI = "claude/small", "local/small"


def messages(desk: Desk, name: str = USER, **more: Any) -> Any:
    """The official client's, as the one who may ask."""
    return anthropic.Anthropic(base_url=desk.url, api_key=desk.token(name), max_retries=0, **more).messages


def ask(desk: Desk, *, stream: bool = False, **more: Any) -> anthropic.types.Message:
    asked: Any = {"model": PROJECT, "max_tokens": 300, "messages": HELLO} | more
    said: anthropic.types.Message
    if stream:
        with messages(desk).stream(**asked) as pieces:
            said = pieces.get_final_message()
    else:
        said = messages(desk).create(**asked)
    return said


def text(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.requirement("LGW-01")
@pytest.mark.requirement("LGW-02")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "path"), [(OPENAI, CHAT), (CLAUDE, MESSAGES)])
def test_anthropics_client_is_answered_by_whatever_the_release_names(
    desk: Desk, model: str, path: str, stream: bool
) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(text="Within 30 days.", prompt_tokens=12, cached_tokens=4)
    said = ask(desk, stream=stream, extra_body={"temperature": 0.5}, metadata={"user_id": "customer-7"})
    assert (text(said), said.stop_reason, said.model) == ("Within 30 days.", "end_turn", "small")
    assert (said.usage.input_tokens, said.usage.cache_read_input_tokens, said.usage.output_tokens) == (
        8,
        4,
        3,
    )
    (asked,) = desk.model.asked
    assert asked.path == path
    assert "Be kind." in json.dumps(asked.json)
    assert asked.json["temperature"] == 0.5
    assert "customer-7" not in json.dumps(asked.json)
    (answer,) = desk.answers()
    assert (answer.principal, answer.keys) == (USER, ["customer-7"])
    assert answer.outputs["predict"] == ["Within 30 days."]
    assert (answer.outputs["input_tokens"], answer.outputs["output_tokens"]) == ([12], [3])


@pytest.mark.requirement("LGW-01")
@pytest.mark.requirement("LGW-02")
@pytest.mark.parametrize("stream", [False, True])
def test_openais_client_is_answered_by_a_model_of_anthropic(desk: Desk, stream: bool) -> None:
    desk.release(replace(PROMPT, models=(CLAUDE,), parameters={"max_tokens": 99}))
    desk.model.script = Answer(text="Within thirty days.", prompt_tokens=9, cached_tokens=2)
    said = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=stream)
    assert read(said) == "Within thirty days."
    (asked,) = desk.model.asked
    assert (asked.path, asked.headers["anthropic-version"]) == (MESSAGES, "2023-06-01")
    assert asked.json == {
        "model": "small",
        "max_tokens": 99,
        "system": "Be kind.",
        "messages": HELLO,
        "stream": stream,
    }
    (answer,) = desk.answers()
    assert (answer.outputs["predict"], answer.outputs["model"]) == (["Within thirty days."], ["small"])
    assert (answer.outputs["input_tokens"], answer.outputs["output_tokens"]) == ([9], [3])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [OPENAI, CLAUDE])
def test_tools_pass_both_ways(desk: Desk, model: str, stream: bool) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(text="", tools=(("find", '{"id": "7"}'), ("find", '{"id": "8"}')))
    said = ask(desk, stream=stream, tools=[TOOL], tool_choice={"type": "any"})
    assert said.stop_reason == "tool_use"
    uses = [block for block in said.content if block.type == "tool_use"]
    assert [(use.name, use.input) for use in uses] == [("find", {"id": "7"}), ("find", {"id": "8"})]
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "found"} for use in uses]
    told: Any = [*HELLO, {"role": "assistant", "content": said.content}, {"role": "user", "content": results}]
    desk.model.script = Answer(text="They are there.")
    assert text(ask(desk, stream=stream, messages=told, tools=[TOOL])) == "They are there."
    sent = desk.model.asked[-1].json["messages"]
    if model == CLAUDE:
        assert [(m["role"], [b["type"] for b in m["content"]]) for m in sent[1:]] == [
            ("assistant", ["tool_use", "tool_use"]), ("user", ["tool_result", "tool_result"]),
        ]  # fmt: skip
    else:
        assert [m["role"] for m in sent] == ["system", "user", "assistant", "tool", "tool"]


def test_openais_client_calls_tools_of_a_model_of_anthropic(desk: Desk) -> None:
    desk.release(replace(PROMPT, models=(CLAUDE,)))
    desk.model.script = Answer(text="", tools=(("find", '{"id": "7"}'),))
    answer = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, tools=[FUNCTION])
    assert answer.choices[0].finish_reason == "tool_calls"
    (call,) = list(answer.choices[0].message.tool_calls or ())
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("find", {"id": "7"})
    assert desk.model.asked[-1].json["tools"] == [TOOL]


def test_structured_answers_are_parsed(desk: Desk) -> None:
    from pydantic import BaseModel

    class Days(BaseModel):
        days: int

    desk.model.script = Answer(text='{"days": 30}')
    for model in (OPENAI, CLAUDE):
        desk.release(replace(PROMPT, models=(model,)))
        parsed = (
            messages(desk)
            .parse(model=PROJECT, max_tokens=300, messages=HELLO, output_format=Days)
            .parsed_output
        )
        assert parsed == Days(days=30)
        completed = client(desk).chat.completions.parse(model=PROJECT, messages=HELLO, response_format=Days)
        assert completed.choices[0].message.parsed == Days(days=30)
        forms = [
            asked.json.get("output_config") or asked.json["response_format"] for asked in desk.model.asked
        ]
        assert all("days" in json.dumps(form) for form in forms)


def test_the_asynchronous_client_asks_many_at_once(desk: Desk) -> None:
    async def work() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=desk.url, api_key=desk.token()) as llm:
            asked = (llm.messages.create(model=PROJECT, max_tokens=9, messages=HELLO) for _ in range(10))
            return [text(message) for message in await asyncio.gather(*asked)]

    with asyncio.Runner() as runner:
        assert runner.run(work()) == ["This is a scripted answer."] * 10
    assert len(desk.answers()) == 10


def test_a_bearer_token_and_the_list_of_models_serve_both_clients(desk: Desk) -> None:
    llm = anthropic.Anthropic(base_url=desk.url, auth_token=desk.token(), max_retries=0)
    said = llm.messages.create(model=PROJECT, max_tokens=9, messages=HELLO)
    assert text(said) == "This is a scripted answer."
    listed = anthropic.Anthropic(base_url=desk.url, api_key=desk.token()).models
    assert [(model.id, model.display_name) for model in listed.list()] == [(PROJECT, PROJECT)]
    assert listed.retrieve(PROJECT).id == PROJECT
    assert list(anthropic.Anthropic(base_url=desk.url, api_key=desk.token(STRANGER)).models.list()) == []


@pytest.mark.requirement("GRD-03")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [OPENAI, CLAUDE])
def test_what_is_about_people_leaves_as_a_stand_in_and_comes_back(
    desk: Desk, model: str, stream: bool
) -> None:
    desk.release(replace(PROMPT, models=(model,)), basis="consent", purpose="answers")
    desk.model.script = lambda asked: Answer(
        text=f"Noted: {asked.json['messages'][-1]['content']}",
        tools=(("find", json.dumps({"id": asked.json["messages"][-1]["content"]})),)
        if asked.json.get("tools")
        else (),
    )
    mail = "bob@example.org"
    said = ask(desk, stream=stream, messages=[{"role": "user", "content": f"I am {mail}"}])
    assert mail not in json.dumps(desk.model.asked[-1].json)
    assert text(said) == f"Noted: I am {mail}"
    used = ask(desk, stream=stream, messages=[{"role": "user", "content": f"I am {mail}"}], tools=[TOOL])
    assert mail not in json.dumps(desk.model.asked[-1].json)
    assert [block.input for block in used.content if block.type == "tool_use"] == [{"id": f"I am {mail}"}]


def test_a_blocked_request_and_a_spent_budget_have_the_form_of_the_api(desk: Desk) -> None:
    desk.release(replace(PROMPT, guardrails={"personal": {"action": "block"}}))
    with pytest.raises(anthropic.BadRequestError, match="personal.email"):
        ask(desk, messages=[{"role": "user", "content": "I am bob@example.org"}])
    assert not desk.model.asked
    desk.release(
        PROMPT, llm={"budgets": [{"per": "project", "of": "requests", "most": 1, "period": "total"}]}
    )
    ask(desk)
    with pytest.raises(anthropic.RateLimitError) as refused:
        ask(desk)
    body: Any = refused.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "rate_limit_error")
    assert refused.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [OPENAI, CLAUDE])
def test_an_answer_that_a_guard_blocks_is_told_and_is_no_failure(
    desk: Desk, model: str, stream: bool
) -> None:
    desk.release(replace(PROMPT, models=(model,), guardrails={"personal": {"action": "block"}}))
    desk.model.script = Answer(text="Write to ada@example.org now. " + "More. " * 60)
    with pytest.raises(anthropic.APIError, match="personal.email"):
        ask(desk, stream=stream)
    until(lambda: len(desk.answers()) == 1)
    assert desk.answers()[0].outputs["finish"] == ["blocked"]
    assert not desk.failures()


@pytest.mark.parametrize(
    ("key", "fields", "error", "kind"),
    [
        ("sk-1", {}, anthropic.AuthenticationError, "authentication_error"),
        (STRANGER, {}, anthropic.PermissionDeniedError, "permission_error"),
        (USER, {"model": "other"}, anthropic.NotFoundError, "not_found_error"),
        (USER, {"system": "Be rude."}, anthropic.BadRequestError, "invalid_request_error"),
        (USER, {"extra_body": {"container": "c"}}, anthropic.BadRequestError, "invalid_request_error"),
        (USER, {"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_what_a_caller_does_wrong_is_told_in_the_form_of_the_api(
    desk: Desk, key: str, fields: Any, error: type[anthropic.APIStatusError], kind: str
) -> None:
    token = desk.token(key) if key in (USER, STRANGER) else key
    llm = anthropic.Anthropic(base_url=desk.url, api_key=token, max_retries=0)
    with pytest.raises(error) as refused:
        llm.messages.create(**({"model": PROJECT, "max_tokens": 9, "messages": HELLO} | fields))
    body: Any = refused.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert not desk.model.asked


OVERLOADED = Raw(
    status=529,
    body=b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}',
)


@pytest.mark.parametrize("model", [OPENAI, CLAUDE])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (Refusal(status=400, message="no such tool"), 400),
        (Refusal(status=429, retry_after="0"), 429),
        (Refusal(status=429, retry_after="90"), 429),
        (Refusal(status=500), 500),
        (Refusal(status=401), 503),
        (OVERLOADED, 529),
        (WRONG_JSON, 503),
        (Raw(body=b'{"content": [{"type": "server_tool_use"}], "choices": []}'), 503),
        (Closes(), 503),
    ],
)
def test_what_a_provider_does_wrong_is_told_and_recorded(
    desk: Desk, model: str, stream: bool, said: Any, status: int
) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = said
    with pytest.raises(anthropic.APIStatusError) as refused:
        ask(desk, stream=stream)
    assert refused.value.status_code == status
    body: Any = refused.value.body
    assert body["error"]["message"]
    if isinstance(said, Refusal) and status == 429:
        assert refused.value.response.headers["retry-after"] == said.retry_after
    until(lambda: len(desk.failures()) == 1)
    assert not desk.answers()


@pytest.mark.parametrize("model", [OPENAI, CLAUDE])
@pytest.mark.parametrize("said", [Answer(cut_after=3), Answer(without_done=True), MALFORMED_STREAM])
def test_a_stream_that_breaks_off_says_so_and_is_no_answer(desk: Desk, model: str, said: Any) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = said
    with pytest.raises(anthropic.APIError):
        ask(desk, stream=True)
    with pytest.raises(openai.APIError):
        list(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True))
    until(lambda: len(desk.failures()) == 2)
    assert not desk.answers()


def test_an_error_within_a_stream_of_anthropic_reaches_either_client(desk: Desk) -> None:
    desk.release(replace(PROMPT, models=(CLAUDE,)))
    begun = b'event: message_start\ndata: {"type": "message_start", "message": {"id": "m", "model": "c"}}\n\n'
    failed = b'event: error\ndata: {"type": "error", "error": {"type": "api_error", "message": "Oops"}}\n\n'
    desk.model.script = Raw.stream(begun + failed)
    with pytest.raises(anthropic.APIError, match="ends with an error"):
        ask(desk, stream=True)
    with pytest.raises(openai.APIError, match="ends with an error"):
        list(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True))


def test_what_anthropic_has_no_counterpart_for_is_refused_as_by_the_provider(desk: Desk) -> None:
    desk.release(replace(PROMPT, models=(CLAUDE,), embeddings=(CLAUDE,)))
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="nothing like 'n'"):
            client(desk).chat.completions.create(model=PROJECT, messages=HELLO, n=2, stream=stream)
    with pytest.raises(openai.BadRequestError, match="Name a model of another"):
        client(desk).embeddings.create(model=PROJECT, input="Hi")
    assert not desk.model.asked


def test_a_caller_who_goes_ends_the_providers_work(desk: Desk) -> None:
    desk.release(replace(PROMPT, models=(CLAUDE,)))
    desk.model.script = Answer(is_endless=True, pause_s=0.01)
    with httpx.stream(
        "POST",
        f"{desk.url}/v1/messages",
        json={"model": PROJECT, "max_tokens": 9, "messages": HELLO, "stream": True},
        headers={"x-api-key": desk.token()},
    ) as answer:
        next(answer.iter_bytes())
    assert desk.model.asked[-1].over.wait(20)
    until(lambda: len(desk.answers()) == 1)
    (left,) = desk.answers()
    assert left.outputs["finish"] == ["broken off"]


def test_where_one_provider_is_down_one_of_the_other_kind_answers(desk: Desk) -> None:
    desk.release(replace(PROMPT, models=("down/x", CLAUDE)))
    assert (
        read(client(desk).chat.completions.create(model=PROJECT, messages=HELLO))
        == "This is a scripted answer."
    )
    desk.release(replace(PROMPT, models=(CLAUDE, OPENAI)))
    desk.model.script = lambda asked: Refusal(status=404) if asked.path == MESSAGES else Answer(text="Here.")
    assert text(ask(desk)) == "Here."
