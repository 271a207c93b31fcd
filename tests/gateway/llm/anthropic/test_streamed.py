"""Answers in pieces: whatever the pieces, together they are the whole answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.answered import completion_of, message_of
from headrace.gateway.llm.anthropic.streamed import DONE, Chunks, Events
from headrace.gateway.llm.sse import EventReader
from headrace.testing.scripted_answers import (
    Answer,
    Wanted,
    chat_body,
    chat_events,
    message_body,
    message_events,
)

WANTED = Wanted(stream=True)
TEXTS = st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=5)
TOOLS = st.lists(
    st.tuples(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True),
        st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=9), max_size=3).map(json.dumps),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
ANSWERS = st.builds(lambda p: Answer(pieces=tuple(p)), TEXTS) | st.builds(
    lambda t: Answer(tools=t, text=""), TOOLS
)


def data_of(events: Iterable[bytes]) -> list[bytes]:
    return [event.data for event in EventReader().feed(b"".join(events))]


def message_in(events: Iterable[bytes]) -> dict[str, Any]:
    """What a client puts together: each block begins, goes on and ends before the next one."""
    whole: dict[str, Any] = {}
    given = ""
    for event in (json.loads(data) for data in data_of(events)):
        kind = event["type"]
        if kind == "message_start":
            whole = event["message"]
        elif kind == "content_block_start":
            assert event["index"] == len(whole["content"])
            whole["content"].append(event["content_block"])
            given = ""
        elif kind == "content_block_delta":
            assert event["index"] == len(whole["content"]) - 1
            delta, block = event["delta"], whole["content"][-1]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
            else:
                given += delta["partial_json"]
        elif kind == "content_block_stop" and whole["content"][-1]["type"] == "tool_use":
            whole["content"][-1]["input"] = json.loads(given or "{}")
        elif kind == "message_delta":
            whole |= event["delta"]
            whole["usage"] |= event["usage"]
    return whole


def completion_in(chunks: Iterable[bytes]) -> dict[str, Any]:
    """What a client puts together."""
    said: dict[str, Any] = {"content": None, "tool_calls": []}
    whole: dict[str, Any] = {}
    for chunk in (json.loads(data) for data in chunks if data != DONE):
        whole |= {name: value for name, value in chunk.items() if name in ("id", "model", "usage")}
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if delta.get("content"):
                said["content"] = (said["content"] or "") + delta["content"]
            for call in delta.get("tool_calls") or ():
                if call["index"] == len(said["tool_calls"]):
                    said["tool_calls"].append({"id": call["id"], "function": {"name": "", "arguments": ""}})
                function = said["tool_calls"][call["index"]]["function"]
                for name, piece in call["function"].items():
                    function[name] += piece
            whole["finish"] = choice["finish_reason"] or whole.get("finish")
    return whole | {"said": said}


def events_of(chunks: Iterable[bytes]) -> list[bytes]:
    made: list[bytes] = []
    events = Events()
    for data in chunks:
        made += events.end() if data == DONE else events.add(data)
    return made


def chunks_of(events: Iterable[bytes]) -> list[bytes]:
    chunks = Chunks()
    return [chunk for data in events for chunk in chunks.add(data)]


@given(ANSWERS)
def test_chunks_together_are_the_whole_message(answer: Answer) -> None:
    wanted = msgspec.convert({"stream": True, "stream_options": {"include_usage": True}}, Wanted)
    whole = message_of(json.loads(chat_body(answer, WANTED)))
    assert message_in(events_of(data_of(chat_events(answer, wanted)))) == whole


@given(ANSWERS)
def test_events_together_are_the_whole_completion(answer: Answer) -> None:
    whole = completion_of(json.loads(message_body(answer, WANTED)))
    made = completion_in(chunks_of(data_of(message_events(answer, WANTED))))
    message = whole["choices"][0]["message"]
    assert made["said"]["content"] == message["content"]
    assert [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in made["said"]["tool_calls"]
    ] == [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", ())
    ]
    assert (made["finish"], made["usage"]) == (whole["choices"][0]["finish_reason"], whole["usage"])


@given(ANSWERS)
def test_over_and_back_it_is_the_same_message(answer: Answer) -> None:
    direct = message_in(message_events(answer, WANTED))
    assert message_in(events_of(chunks_of(data_of(message_events(answer, WANTED))))) == direct


def test_calls_that_come_interleaved_are_blocks_one_after_the_other() -> None:
    def chunk(*calls: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": {"tool_calls": list(calls)}, "finish_reason": finish}
        return json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()

    def named(index: int, name: str) -> dict[str, Any]:
        return {"index": index, "id": f"t{index}", "function": {"name": name, "arguments": ""}}

    def given_(index: int, arguments: str) -> dict[str, Any]:
        return {"index": index, "function": {"arguments": arguments}}

    made = events_of(
        [
            chunk(named(0, "find"), named(1, "buy")),
            chunk(given_(1, '{"n":')),
            chunk(given_(0, '{"id": 7}'), given_(1, " 2}"), finish="tool_calls"),
            DONE,
        ]
    )
    assert [(b["id"], b["name"], b["input"]) for b in message_in(made)["content"]] == [
        ("t0", "find", {"id": 7}),
        ("t1", "buy", {"n": 2}),
    ]


def test_an_error_within_a_stream_goes_over() -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    (chunk,) = Chunks().add(json.dumps(event).encode())
    assert json.loads(chunk)["error"]["message"] == "Overloaded"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"type": "message_start"}',
        b'{"type": "content_block_delta", "index": 0}',
        b'{"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}}',
        b'{"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta"}}',
    ],
)
def test_what_is_no_event_of_a_message_is_told(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        list(Chunks().add(data))


@pytest.mark.parametrize("usage", ["many", [1], [["a"]], 7])
def test_usage_that_is_none_is_no_event_of_a_message(usage: Any) -> None:
    begin = {"type": "message_start", "message": {"id": "m", "model": "c", "usage": usage}}
    with pytest.raises(InvalidInput, match="none of a message"):
        list(Chunks().add(json.dumps(begin).encode()))
