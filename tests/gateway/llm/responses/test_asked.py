"""Requests of the Responses API as chats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.chat import chat_request
from headrace.gateway.llm.responses.asked import chat_of

SCHEMA = {"type": "object", "properties": {"days": {"type": "integer"}}}
PICTURE = "data:image/png;base64,aGk="


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "support", "input": "Hi"} | fields).encode()


def test_all_that_a_client_may_say_has_its_place_in_a_chat() -> None:
    sent = body(
        instructions="Be kind.",
        max_output_tokens=300,
        temperature=0.5,
        top_p=0.9,
        stream=True,
        tools=[{"type": "function", "name": "find", "parameters": SCHEMA, "strict": True}],
        tool_choice={"type": "function", "name": "find"},
        parallel_tool_calls=False,
        text={
            "format": {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True},
            "verbosity": "low",
        },
        reasoning={"effort": "low", "summary": "auto"},
        metadata={"ticket": "7"},
        safety_identifier="ada",
        headrace={"variables": {"tone": "kind"}},
        store=False,
        truncation="disabled",
        include=["reasoning.encrypted_content"],
        service_tier="auto",
        prompt_cache_key="k",
        stream_options={"include_obfuscation": False},
    )
    chat, repeated = chat_of(sent)
    function = {"name": "find", "parameters": SCHEMA, "strict": True}
    form = {"name": "a", "schema": SCHEMA, "strict": True}
    assert chat == {
        "model": "support",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "max_completion_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "find"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": form},
        "verbosity": "low",
        "reasoning_effort": "low",
        "safety_identifier": "ada",
        "headrace": {"variables": {"tone": "kind"}},
    }
    assert chat_request(chat, len(sent)).user == "ada"
    assert (repeated["instructions"], repeated["metadata"]) == ("Be kind.", {"ticket": "7"})


def test_a_conversation_is_the_messages_of_a_chat() -> None:
    said = [
        {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Which?"},
                {"type": "input_image", "image_url": PICTURE, "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call", "call_id": "c2", "name": "find", "arguments": '{"id": 7}'},
        {"type": "function_call_output", "call_id": "c1", "output": "a shoe"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "a hat"}],
        },
        {"type": "function_call", "call_id": "c3", "name": "buy", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    chat, _ = chat_of(body(input=said))

    def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
        return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}

    assert chat["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Which?"},
                {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
                },
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [call("c1", "find", "{}"), call("c2", "find", '{"id": 7}')],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a shoe"},
        {"role": "tool", "tool_call_id": "c2", "content": "a hat"},
        {"role": "assistant", "content": None, "tool_calls": [call("c3", "buy", "{}")]},
        {"role": "assistant", "content": "No."},
    ]


@pytest.mark.parametrize(
    ("said", "form"),
    [(None, None), ({"type": "text"}, None), ({"type": "json_object"}, {"type": "json_object"})],
)
def test_the_form_of_an_answer(said: Any, form: Any) -> None:
    assert chat_of(body(text={"format": said}))[0].get("response_format") == form


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"[]", "no request that can be answered"),
        (b"\xff", "no request that can be answered"),
        (b"[" * 100_000, "no request that can be answered"),
        (b'{"model": "a"}', "input"),
        (body(input=[{"type": "item_reference", "id": "m"}]), "item_reference"),
        (body(input=["Hi"]), r"\$.input\[0\]"),
        (body(tools=[{"type": "web_search"}]), "web_search"),
        (body(tool_choice={"type": "allowed_tools"}), "allowed_tools"),
        (body(temprature=1), "unknown field `temprature`"),
        (
            body(previous_response_id="resp_1"),
            "'previous_response_id' is not there. .* the whole conversation",
        ),
        (body(conversation="conv_1"), "'conversation' is not there"),
        (body(store=True), "'store' is not there"),
        (body(background=True), "'background' is not there"),
        (body(prompt={"id": "p"}), "'prompt' is not there. .* the release's"),
        (body(truncation="auto"), "'truncation' is not there"),
        (body(max_tool_calls=2), "'max_tool_calls' is not there"),
        (body(top_logprobs=2), "'top_logprobs' is not there"),
        (body(include=["message.output_text.logprobs"]), "'include' is not there"),
        (body(input=[{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]), "'image_url'"),
    ],
)
def test_what_is_not_there_is_refused_by_name(sent: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        chat_of(sent)
