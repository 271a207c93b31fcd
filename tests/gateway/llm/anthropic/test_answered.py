"""Answers of one API as those of the other, whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.answered import (
    chat_usage_of,
    completion_of,
    error_body,
    error_text,
    message_of,
    used_of,
)
from headrace.gateway.llm.chat import usage_of

USED = {"input_tokens": 7, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 5}
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


def message(*blocks: dict[str, Any], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c", "usage": USED}
    return about | {"content": list(blocks), "stop_reason": stop, "stop_sequence": None} | more


def test_a_message_is_a_completion_with_all_that_was_used() -> None:
    use = {"type": "tool_use", "id": "t", "name": "find", "input": {"id": 7}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    said = message(thought, {"type": "text", "text": "I look."}, use, stop="tool_use")
    made = completion_of(said)
    assert made["choices"][0] == {
        "index": 0,
        "finish_reason": "tool_calls",
        "logprobs": None,
        "message": {
            "role": "assistant",
            "content": "I look.",
            "refusal": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "t", "type": "function", "function": {"name": "find", "arguments": '{"id":7}'}}
            ],
        },
    }
    assert made["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "total_tokens": 17,
        "prompt_tokens_details": {
            "cached_tokens": 3,
            "cache_creation_tokens": 2,
            "cache_creation_1h_tokens": 0,
        },
    }
    assert (made["id"], made["model"], made["object"]) == ("msg_1", "c", "chat.completion")


@pytest.mark.parametrize("stop", ["end_turn", "max_tokens", "tool_use", "refusal"])
def test_why_it_ended_goes_over_and_back(stop: str) -> None:
    assert message_of(completion_of(message(stop=stop)))["stop_reason"] == stop


def test_at_which_text_it_ended_goes_over_and_back() -> None:
    back = message_of(completion_of(message(stop="stop_sequence", stop_sequence="END")))
    assert (back["stop_reason"], back["stop_sequence"]) == ("stop_sequence", "END")


def test_a_refusal_of_the_model_is_its_text() -> None:
    choice = {"message": {"content": None, "refusal": "No."}, "finish_reason": "content_filter"}
    made = message_of({"choices": [choice]})
    assert (made["content"], made["stop_reason"]) == ([{"type": "text", "text": "No."}], "refusal")


def test_what_cannot_be_passed_on_is_told() -> None:
    with pytest.raises(InvalidInput, match="'server_tool_use'"):
        completion_of(message({"type": "server_tool_use"}))
    call = {"id": "t", "function": {"name": "f", "arguments": '{"id": '}}
    with pytest.raises(InvalidInput, match="no JSON object"):
        message_of({"choices": [{"message": {"tool_calls": [call]}}]})


@given(
    st.lists(st.text(min_size=1, max_size=20).map(lambda text: {"type": "text", "text": text}), max_size=1),
    st.lists(
        st.builds(
            lambda i, n, v: {"type": "tool_use", "id": i, "name": n, "input": v},
            NAMES,
            NAMES,
            st.dictionaries(NAMES, st.text(max_size=9) | st.integers(-(2**53), 2**53)),
        ),
        max_size=3,
    ),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
)
def test_nothing_is_lost_on_the_way_over_and_back(
    texts: list[dict[str, Any]], uses: list[dict[str, Any]], told: int, cached: int, said: int
) -> None:
    usage = {
        "input_tokens": told,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": said,
    }
    whole = message(*texts, *uses, stop="tool_use" if uses else "end_turn", usage=usage)
    assert message_of(completion_of(whole)) == whole


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "too long"}}', "too long"),
        (b'{"type": "error", "error": {"type": "api_error", "message": "too long"}}', "too long"),
        (b"<html>\xff", "<html>\ufffd"),
        (b'{"error": "no"}', '{"error": "no"}'),
        (b"", "The provider refused, and did not say why."),
    ],
)
def test_what_a_provider_says_stands_in_the_error(body: bytes, text: str) -> None:
    assert error_text(body) == text
    assert json.loads(error_body(429, text)) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": text},
    }


@given(st.tuples(*[st.integers(0, 10_000)] * 5))
def test_what_was_written_into_a_cache_is_the_same_in_both_apis(counts: tuple[int, ...]) -> None:
    plain, read, minutes, hour, made = counts
    used = {
        "input_tokens": plain,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": minutes + hour,
        "cache_creation": {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour},
        "output_tokens": made,
    }
    chat = chat_usage_of(used)
    assert usage_of(chat) == (plain + read + minutes + hour, made, read, minutes + hour, hour)
    back = used_of(chat)
    assert {name: used[name] for name in back} == back
