"""One name for one thing, whichever instrumentation said it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.record import Span, SpanEvent
from headrace.monitoring.dialects import (
    AGENT,
    ARGUMENTS,
    CONVERSATION,
    DOCUMENTS,
    INPUT_TOKENS,
    OPERATION,
    OUTPUT_TOKENS,
    PROVIDER,
    QUERY,
    REQUEST_MODEL,
    RESULT,
    TOOL,
    USER,
    normalised,
)
from headrace.monitoring.messages import INPUT, OUTPUT, text_of
from headrace.testing import START

CHAT = {OPERATION: "chat", REQUEST_MODEL: "small", INPUT_TOKENS: 9, OUTPUT_TOKENS: 3, PROVIDER: "openai"}
CHATS: dict[str, dict[str, Any]] = {
    "conventions 1.41": {
        **CHAT,
        INPUT: '[{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]',
        OUTPUT: '[{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}]}]',
    },
    "conventions 1.27": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.usage.prompt_tokens": 9,
        "gen_ai.usage.completion_tokens": 3,
        "gen_ai.prompt": "Hello",
        "gen_ai.completion": "Hi",
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.model_name": "small",
        "llm.token_count.prompt": 9,
        "llm.token_count.completion": 3,
        "llm.token_count.total": 12,
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Hello",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Hi",
        "input.value": '{"messages": []}',
        "input.mime_type": "application/json",
    },
    "OpenLLMetry": {
        "llm.request.type": "chat",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "small",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Hello",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "Hi",
        "gen_ai.completion.0.finish_reason": "stop",
    },
    "Langfuse": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "small",
        "langfuse.observation.usage_details": '{"input": 9, "output": 3, "total": 12}',
        "langfuse.observation.input": '[{"role": "user", "content": "Hello"}]',
        "langfuse.observation.output": "Hi",
        "gen_ai.provider.name": "openai",
    },
    "MLflow": {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"small"',
        "mlflow.llm.provider": '"openai"',
        "mlflow.chat.tokenUsage": '{"input_tokens": 9, "output_tokens": 3}',
        "mlflow.spanInputs": '{"messages": [{"role": "user", "content": "Hello"}], "model": "small"}',
        "mlflow.spanOutputs": '{"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}',
    },
}


def span(attributes: dict[str, Any], *events: SpanEvent) -> Span:
    return Span(
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_id=None,
        name="a step",
        started_at=START,
        ended_at=START + timedelta(seconds=1),
        attributes=attributes,
        events=events,
    )


@pytest.mark.parametrize("dialect", CHATS)
def test_a_chat_is_the_same_in_every_dialect(dialect: str) -> None:
    found = normalised(span(CHATS[dialect])).attributes
    assert {name: found[name] for name in CHAT} == CHAT
    assert (text_of(found[INPUT]), text_of(found[OUTPUT])) == ("Hello", "Hi")
    assert json.loads(found[INPUT])[0]["role"] == "user"
    assert json.loads(found[OUTPUT])[0]["role"] == "assistant"
    alien = ("llm.", "openinference.", "langfuse.", "mlflow.", "gen_ai.prompt", "gen_ai.completion", "input.")
    assert not [name for name in found if name.startswith(alien)]


@pytest.mark.parametrize(
    "attributes",
    [
        {OPERATION: "execute_tool", TOOL: "clock", ARGUMENTS: '{"zone":"UTC"}', RESULT: "9:00"},
        {"openinference.span.kind": "TOOL", "tool.name": "clock", "input.value": '{"zone":"UTC"}',
         "output.value": "9:00"},
        {"traceloop.span.kind": "tool", "gen_ai.tool.name": "clock",
         "traceloop.entity.input": '{"zone":"UTC"}', "traceloop.entity.output": "9:00"},
        {"langfuse.observation.type": "tool", TOOL: "clock", "langfuse.observation.input": '{"zone":"UTC"}',
         "langfuse.observation.output": "9:00"},
    ],
)  # fmt: skip
def test_so_is_a_call_of_a_tool(attributes: dict[str, Any]) -> None:
    found = normalised(span(attributes)).attributes
    assert (found[OPERATION], found[TOOL]) == ("execute_tool", "clock")
    assert (found[ARGUMENTS], found[RESULT]) == ('{"zone":"UTC"}', "9:00")


def test_so_is_what_was_retrieved() -> None:
    found = normalised(
        span(
            {
                "openinference.span.kind": "RETRIEVER",
                "input.value": "opening hours",
                "retrieval.documents.1.document.content": "closed on Sunday",
                "retrieval.documents.0.document.content": "open from 9",
                "retrieval.documents.0.document.score": 0.9,
            }
        )
    ).attributes
    assert (found[OPERATION], found[QUERY]) == ("retrieval", "opening hours")
    assert json.loads(found[DOCUMENTS]) == [
        {"content": "open from 9", "score": 0.9},
        {"content": "closed on Sunday"},
    ]


def test_who_and_in_which_conversation() -> None:
    found = normalised(span({"session.id": "s-1", "agent.name": "desk", "langfuse.user.id": "u-1"}))
    assert found.attributes == {CONVERSATION: "s-1", AGENT: "desk", USER: "u-1"}


def test_messages_that_were_said_in_events() -> None:
    tool = {"id": "c-1", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
    found = normalised(
        span(
            {"gen_ai.system": "openai"},
            SpanEvent(name="gen_ai.system.message", at=START, attributes={"content": "Be kind."}),
            SpanEvent(name="gen_ai.user.message", at=START, attributes={"content": "Hello"}),
            SpanEvent(name="gen_ai.choice", at=START, attributes={
                "finish_reason": "tool_calls",
                "message": json.dumps({"content": "Hi", "tool_calls": [tool]})}),
            SpanEvent(name="retry", at=START, attributes={"n": 1}),
        )
    )  # fmt: skip
    assert [message["role"] for message in json.loads(found.attributes[INPUT])] == ["system", "user"]
    (answer,) = json.loads(found.attributes[OUTPUT])
    assert answer["finish_reason"] == "tool_calls"
    assert answer["parts"][1] == {
        "type": "tool_call", "name": "clock", "arguments": {"zone": "UTC"}, "id": "c-1",
    }  # fmt: skip
    assert [event.name for event in found.events] == ["retry"]


def test_the_own_name_of_the_conventions_counts_first() -> None:
    for order in (1, -1):
        pairs = [("llm.model_name", "other"), (REQUEST_MODEL, "small")][::order]
        assert normalised(span(dict(pairs))).attributes[REQUEST_MODEL] == "small"


NAMES = st.sampled_from(
    ["llm.input_messages.0.message.role", "llm.input_messages.0", "llm.input_messages.x.y", "gen_ai.prompt.0",
     "gen_ai.prompt.0.tool_calls", "mlflow.spanInputs", "langfuse.observation.usage_details", "input.value",
     "retrieval.documents.0.document", "llm.request.type", "gen_ai.system", "llm.finish_reason", "other"]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers(),
    st.booleans(),
    st.lists(st.text(max_size=5), max_size=3),
    st.sampled_from(
        ['{"messages": 7}', "[{", '{"choices": [{"message": null}]}', "[[[]]]", '"x', "{}", "[]"]
    ),
)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_whatever_is_sent_can_be_written_down_and_is_settled(attributes: dict[str, Any]) -> None:
    found = normalised(span(attributes))
    assert normalised(found).attributes == found.attributes
    json.dumps(found.attributes)
    for name in (INPUT, OUTPUT):
        text_of(found.attributes.get(name, "[]"))
