"""Answers as responses: whatever the pieces, together they are the whole answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.llm.responses.answered import Responding
from headrace.gateway.llm.sse import EventReader
from headrace.testing.scripted_answers import Answer, Wanted, chat_body, chat_events

WANTED = msgspec.convert({"stream": True, "stream_options": {"include_usage": True}}, Wanted)
TEXTS = st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=5)
TOOLS = st.lists(
    st.tuples(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.text(max_size=9)), min_size=1, max_size=3
)
ANSWERS = st.builds(lambda p: Answer(pieces=tuple(p)), TEXTS) | st.builds(
    lambda t: Answer(tools=tuple(t), text=""), TOOLS
)


def whole(completion: dict[str, Any]) -> dict[str, Any]:
    return Responding({}, 7).whole(completion, "a-1")


def events_of(chunks: list[bytes]) -> list[dict[str, Any]]:
    response = Responding({}, 7)
    made = [event for data in chunks for event in response.add(data, "a-1")]
    sent = b"".join([*made, *response.end()])
    return [json.loads(event.data) for event in EventReader().feed(sent)]


def put_together(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client makes of the pieces, which have to fit in with each other."""
    output: list[dict[str, Any]] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(output)
            output.append(event["item"])
            continue
        item = output[event["output_index"]] if "output_index" in event else {}
        if kind == "content_part.added":
            assert event["content_index"] == len(item["content"])
            item["content"].append(event["part"])
        elif kind in ("output_text.delta", "refusal.delta"):
            name = "text" if kind == "output_text.delta" else "refusal"
            item["content"][event["content_index"]][name] += event["delta"]
        elif kind == "function_call_arguments.delta":
            item["arguments"] += event["delta"]
        elif kind in ("content_part.done", "output_item.done", "function_call_arguments.done"):
            known = item["content"][event["content_index"]] if "part" in event else item
            done = event.get("part") or event.get("item") or {"arguments": event["arguments"]}
            assert {**known, **done, "status": ""} == {**known, "status": ""}
            item["status"] = "completed" if kind == "output_item.done" else item["status"]
    return output


@given(ANSWERS)
def test_pieces_together_are_the_whole_response(answer: Answer) -> None:
    chunks = [event.data for event in EventReader().feed(b"".join(chat_events(answer, WANTED)))][:-1]
    events = events_of(chunks)
    made = whole(json.loads(chat_body(answer, Wanted())))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert put_together(events) == made["output"]
    assert events[-1] == {
        "type": "response.completed",
        "sequence_number": len(events) - 1,
        "response": made,
    }


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()


def test_a_text_ends_before_a_call_and_calls_may_come_interleaved() -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "id": f"t{index}", "function": function}

    events = events_of(
        [
            chunk({"content": "I "}),
            chunk({"content": "look.", "refusal": "Not at all."}),
            chunk({"tool_calls": [call(0, name="find"), call(1, name="buy")]}),
            chunk({"tool_calls": [call(1, arguments="{}"), call(0, arguments='{"id": 7}')]}),
            chunk({}, "tool_calls"),
        ]
    )
    text, find, buy = put_together(events)
    assert [part.get("text") or part["refusal"] for part in text["content"]] == ["I look.", "Not at all."]
    assert [(one["call_id"], one["name"], one["arguments"]) for one in (find, buy)] == [
        ("t0", "find", '{"id": 7}'),
        ("t1", "buy", "{}"),
    ]
    kinds = [event["type"] for event in events]
    assert kinds.index("response.output_item.done") < kinds.index("response.function_call_arguments.delta")


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_why_it_ended_is_its_status(finish: str, status: str, reason: Any) -> None:
    made = whole({"choices": [{"message": {"content": "Hi"}, "finish_reason": finish}]})
    assert (made["status"], made["incomplete_details"]) == (status, reason)
    last = events_of([chunk({"content": "Hi"}), chunk({}, finish)])[-1]
    assert (last["type"], last["response"]["status"]) == (f"response.{status}", status)


def test_what_was_used_and_what_was_asked_stand_in_it() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    choice = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    response = Responding({"instructions": "Be kind."}, 7)
    made = response.whole({"model": "m", "choices": [choice], "usage": usage}, "a-1")
    assert made["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 14,
    }
    assert (made["instructions"], made["created_at"], made["model"]) == ("Be kind.", 7, "m")


def test_what_breaks_it_off_is_an_event_that_clients_raise() -> None:
    (event,) = EventReader().feed(Responding({}, 7).broken("It broke.", "blocked"))
    said = json.loads(event.data)
    assert (said["type"], said["message"], said["code"]) == ("error", "It broke.", "blocked")
    assert said["error"]["message"] == "It broke."
