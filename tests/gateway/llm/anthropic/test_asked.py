"""Requests of the Messages API as chats, and chats as requests to Anthropic's models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.asked import ANSWER_TOKENS, chat_of, request_of
from headrace.gateway.llm.chat import chat_request

HI = {"role": "user", "content": "Hi"}
PICTURE = {"type": "base64", "media_type": "image/png", "data": "aGk="}
TOOL = {"name": "find", "description": "Finds.", "input_schema": {"type": "object", "properties": {"id": {}}}}
FUNCTION = {"name": "find", "description": "Finds.", "parameters": TOOL["input_schema"]}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "support", "max_tokens": 300, "messages": [HI]} | fields).encode()


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HI], "max_completion_tokens": 300} | fields


def test_all_that_a_client_may_say_has_its_place_in_a_chat() -> None:
    sent = body(
        system=[
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Be brief."},
        ],
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stream=True,
        metadata={"user_id": "ada"},
        tools=[TOOL | {"strict": True}],
        tool_choice={"type": "tool", "name": "find"},
        thinking={"type": "disabled"},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        service_tier="auto",
        headrace={"variables": {"tone": "kind"}},
    )
    made = chat_of(sent)
    assert made == {
        "model": "support",
        "max_completion_tokens": 300,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "ada",
        "headrace": {"variables": {"tone": "kind"}},
        "messages": [{"role": "system", "content": "Be kind.\n\nBe brief."}, HI],
        "tools": [{"type": "function", "function": FUNCTION | {"strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "find"}},
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
    }
    assert chat_request(made, len(sent)).user == "ada"


def test_a_conversation_with_tools_and_pictures_goes_over_and_back() -> None:
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Which?"}, {"type": "image", "source": PICTURE}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {"id": 7}},
                {"type": "tool_use", "id": "t2", "name": "find", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "a shoe"},
                {"type": "tool_result", "tool_use_id": "t2", "content": ""},
                {"type": "text", "text": "And?"},
            ],
        },
        {"role": "assistant", "content": "A shoe."},
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "url", "url": "https://shop.example.org/shoe.png"}},
                {
                    "type": "document",
                    "title": "terms.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                },
            ],
        },
    ]
    made = chat_of(body(messages=messages))
    assert [message["role"] for message in made["messages"]] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
        "assistant",
        "user",
    ]
    assert made["messages"][1]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"id":7}'}
    assert request_of(made)["messages"] == messages


def test_what_a_chat_cannot_say_of_a_result_is_said_in_words() -> None:
    failed = {
        "type": "tool_result",
        "tool_use_id": "t",
        "is_error": True,
        "content": [{"type": "text", "text": "no"}],
    }
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "Well."}]}
    made = chat_of(body(messages=[HI, said, {"role": "user", "content": [failed]}]))["messages"]
    assert made[1:] == [
        {"role": "assistant", "content": "Well."},
        {"role": "tool", "tool_call_id": "t", "content": "Error: no"},
    ]
    note = {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "A note."}}]}
    assert chat_of(body(messages=[note]))["messages"] == [{"role": "user", "content": "A note."}]


def message(role: str, *blocks: dict[str, Any]) -> bytes:
    return body(messages=[{"role": role, "content": list(blocks)}])


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"[]", "no request that can be answered"),
        (b"\xff", "no request that can be answered"),
        (b"[" * 100_000, "no request that can be answered"),
        (b'{"model": "a", "messages": []}', "max_tokens"),
        (body(max_tokens="9"), r"max_tokens"),
        (body(container="c"), "unknown field `container`"),
        (body(thinking={"type": "enabled", "budget_tokens": 9}), "enabled"),
        (body(messages=[{"role": "tool", "content": ""}]), "tool"),
        (body(tools=[{"type": "web_search_20250305", "name": "w", "input_schema": {}}]), "web_search"),
        (message("user", {"type": "search_result"}), "search_result"),
        (message("user", {"type": "tool_use", "id": "t", "name": "f", "input": {}}), "another role"),
        (message("assistant", {"type": "tool_result", "tool_use_id": "t"}), "another role"),
        (message("assistant", {"type": "image", "source": PICTURE}), "'image' of another role"),
        (message("system", {"type": "tool_use", "id": "t", "name": "f", "input": {}}), "another role"),
        (
            message("user", {"type": "image", "source": {"type": "file", "file_id": "f"}}),
            "'file' cannot be read",
        ),
        (
            message("user", {"type": "document", "source": {"type": "url", "url": "u"}}),
            "'url' cannot be read",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(sent: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        chat_of(sent)


def test_a_chat_becomes_what_anthropic_wants() -> None:
    asked = chat(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": "Be brief."},
            HI,
            {"role": "user", "content": [{"type": "text", "text": "There?"}]},
            {"role": "assistant", "content": None, "refusal": "No."},
        ],
        max_tokens=200,
        stop="END",
        temperature=0.5,
        stream=True,
        stream_options={"include_usage": True},
        seed=7,
        n=1,
        logprobs=False,
        tools=[{"type": "function", "function": FUNCTION}],
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        reasoning_effort="high",
        thinking={"type": "adaptive"},
    )
    assert request_of(asked) == {
        "model": "m",
        "max_tokens": 300,
        "system": "Be kind.\n\nBe brief.",
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "stream": True,
        "thinking": {"type": "adaptive"},
        "tools": [TOOL],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "There?"}]},
            {"role": "assistant", "content": "No."},
        ],
    }
    assert request_of({"model": "m", "messages": [HI]})["max_tokens"] == ANSWER_TOKENS


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "find"}}, {"type": "tool", "name": "find"}),
    ],
)
def test_which_tool_is_called_goes_over_and_back(said: Any, choice: dict[str, Any]) -> None:
    assert request_of(chat(tool_choice=said))["tool_choice"] == choice
    assert chat_of(body(tool_choice=choice))["tool_choice"] == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n": 2}, "nothing like 'n'"),
        ({"logprobs": True}, "nothing like 'logprobs'"),
        ({"frequency_penalty": 0.5}, "nothing like 'frequency_penalty'"),
        ({"logit_bias": {"1": 2}}, "nothing like 'logit_bias'"),
        ({"response_format": {"type": "json_object"}}, "Expected 'json_schema'"),
        ({"tools": [{"type": "custom", "custom": {"name": "sh"}}]}, "no function"),
        ({"tool_choice": "allowed"}, "'tool_choice' is unknown"),
        ({"tool_choice": {"type": "custom"}}, "names no function"),
        ({"messages": [{"role": "function", "name": "f", "content": ""}]}, "Expected 'tool'"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "Expected 'tool_calls'"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"custom": {}}]}]}, "no function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "[1"}}]}]},
            "no JSON object",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "'input_audio'",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "'file'"),
    ],
)
def test_what_anthropic_has_no_counterpart_for_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        request_of(chat(**fields))


NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
TEXTS = st.text(min_size=1, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda v: st.lists(v) | st.dictionaries(NAMES, v),
)
INPUTS = st.dictionaries(NAMES, VALUES, max_size=3)
TEXT_BLOCK = TEXTS.map(lambda text: {"type": "text", "text": text})
USE = st.builds(lambda i, n, v: {"type": "tool_use", "id": i, "name": n, "input": v}, NAMES, NAMES, INPUTS)
RESULT = st.builds(
    lambda i, t: {"type": "tool_result", "tool_use_id": i, "content": t}, NAMES, st.text(max_size=20)
)
IMAGE = st.just({"type": "image", "source": PICTURE})


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Users and models in turn, each as Anthropic's own clients write them."""
    said = []
    for turn in range(draw(st.integers(1, 5))):
        if turn % 2:
            uses = draw(st.lists(USE, max_size=2))
            blocks = [*draw(st.lists(TEXT_BLOCK, max_size=1)), *uses] if uses else draw(TEXTS)
        else:
            parts = draw(st.lists(TEXT_BLOCK | IMAGE, min_size=2, max_size=3))
            blocks = [*draw(st.lists(RESULT, max_size=2)), *parts] if draw(st.booleans()) else draw(TEXTS)
        said.append({"role": ("user", "assistant")[turn % 2], "content": blocks})
    return said


@given(
    messages=conversations(),
    system=st.none() | TEXTS,
    more=st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 1),
            "top_k": st.integers(1, 100),
            "stop_sequences": st.lists(TEXTS, min_size=1),
            "tools": st.lists(
                st.builds(lambda n, s: {"name": n, "input_schema": {"type": "object"} | s}, NAMES, INPUTS),
                min_size=1,
                max_size=2,
            ),
        },
    ),
)
def test_nothing_is_lost_on_the_way_over_and_back(
    messages: list[dict[str, Any]], system: str | None, more: dict[str, Any]
) -> None:
    asked = (
        {"model": "m", "max_tokens": 9, "messages": messages} | more | ({"system": system} if system else {})
    )
    assert request_of(chat_of(json.dumps(asked).encode())) == asked
