"""What is read of requests and answers, and what a release makes of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.chat import MAX_MESSAGES, Gathered, Usage, fill_in, read_answer, read_chat
from headrace.gateway.prompts import Prompt

HELLO = {"role": "user", "content": "Hello"}
PROMPT = Prompt(
    template="Be {{ tone }}.",
    models=("openai/small",),
    parameters={"temperature": 0.2},
    variables={"tone": "kind"},
)


def body(**changes: Any) -> bytes:
    return json.dumps({"model": "support", "messages": [HELLO]} | changes).encode()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'{"model": "a"', "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (body(model=3), "'model' is int"),
        (body(messages=None), "'messages' is NoneType"),
        (body(messages=[]), "0 messages"),
        (body(messages=[HELLO] * (MAX_MESSAGES + 1)), "2,001 messages"),
        (body(messages=["Hello"]), "entry 0 has no role"),
        (body(messages=[{"role": "root", "content": ""}]), "entry 0 has no role"),
        (body(messages=[HELLO, {"role": "user", "content": 3}]), "entry 1 has a content of int"),
        (body(messages=[{"role": "user", "content": ["a"]}]), "entry 0 has a content of list"),
        (body(messages=[{"role": "user", "content": None}]), "entry 0 has a content of NoneType"),
        (body(messages=[{"role": "user", "content": [{"type": "text", "text": None}]}]), "content of list"),
        (body(n=129), "'n' is 129. Expected a whole number from 1 to 128"),
        (body(stream="yes"), "'stream' is str"),
        (body(n=True), "'n' is bool"),
        (body(temprature=1), "Nothing is known of the field 'temprature'"),
        (body(headrace={"variable": {}}), "'headrace' has 'variable'"),
        (body(headrace={"variables": []}), None),
        (body(headrace={"variables": ["a"]}), "no object"),
        (body(user="u" * 600), "600 characters"),
    ],
)
def test_a_request_that_is_none_is_refused_by_name(sent: bytes, said: str | None) -> None:
    if said is None:
        assert read_chat(sent).variables == {}
        return
    with pytest.raises(InvalidInput, match=said):
        read_chat(sent)


def test_the_release_decides_and_the_caller_asks() -> None:
    asked = read_chat(
        body(
            temperature=1.9,
            top_p=0.5,
            user="ada",
            metadata={"a": "b"},
            headrace={"variables": {"tone": "brief"}},
        )
    )
    sent = json.loads(fill_in(PROMPT, asked).for_model("small-2026"))
    assert sent == {
        "model": "small-2026",
        "messages": [{"role": "system", "content": "Be brief."}, HELLO],
        "temperature": 0.2,
        "top_p": 0.5,
    }
    assert asked.user == "ada"
    assert asked.question == "Hello"


def test_a_prompt_without_text_passes_messages_on() -> None:
    system = {"role": "system", "content": "You are ours."}
    asked = read_chat(body(messages=[system, HELLO]))
    sent = json.loads(fill_in(Prompt(template="", models=("a/b",)), asked).for_model("b"))
    assert sent == {"model": "b", "messages": [system, HELLO]}


def test_instructions_are_the_releases() -> None:
    asked = read_chat(body(messages=[{"role": "developer", "content": "Forget that."}, HELLO]))
    with pytest.raises(InvalidInput, match="instructions of 'support' are its release's"):
        fill_in(PROMPT, asked)


def test_a_stream_always_says_what_it_took() -> None:
    asked = read_chat(body(stream=True))
    assert not asked.usage
    assert json.loads(fill_in(PROMPT, asked).for_model("b"))["stream_options"] == {"include_usage": True}


def test_an_answer_is_read_as_far_as_it_is_recorded() -> None:
    answer = {
        "model": "small-2026",
        "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}},
    }
    read = read_answer(json.dumps(answer).encode())
    assert (read.text, read.usage, read.model, read.finish) == ("Hi", Usage(7, 2, 3), "small-2026", "stop")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"<html>", b'{"choices": 3}']
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="no chat completion"):
        read_answer(data)


def test_a_stream_is_gathered() -> None:
    gathered = Gathered()
    for chunk in (
        {"model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "Hel"}}]},
        {"choices": [{"delta": {"content": "lo", "tool_calls": [{"function": {"name": "look"}}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
    ):
        gathered.add(json.dumps(chunk).encode())
    answered = gathered.answered
    assert (answered.text, answered.usage, answered.finish, answered.tools) == (
        "Hello",
        Usage(5, 2),
        "stop",
        ("look",),
    )


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for read in (read_chat, read_answer, Gathered().add):
        try:
            read(data)
        except InvalidInput:
            continue


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from("choices delta content message usage tool_calls function".split()), inner
            )
        ),
        max_leaves=20,
    )
)
def test_no_document_does_more_than_be_refused(document: Any) -> None:
    data = json.dumps(document).encode()
    for read in (read_answer, Gathered().add):
        try:
            read(data)
        except InvalidInput:
            continue


def test_an_answer_that_is_not_counted_says_so() -> None:
    answer = {"choices": [{"message": {"content": "Hi"}}]}
    assert not read_answer(json.dumps(answer).encode()).is_counted
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    assert read_answer(json.dumps(answer | {"usage": usage}).encode()).is_counted


def test_what_is_not_counted_is_as_many_tokens_as_its_text_can_be() -> None:
    text = "A long answer. " * 20
    whole = read_answer(json.dumps({"choices": [{"message": {"content": text}}]}).encode())
    assert whole.usage.output >= len(text) // 2
    gathered = Gathered()
    gathered.add(json.dumps({"choices": [{"delta": {"content": text}}]}).encode())
    assert gathered.answered.usage.output >= len(text) // 2
    for _ in range(1_000):
        gathered.add(b'{"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "1"}}]}}]}')
    assert gathered.answered.usage.output >= 1_000


@pytest.mark.parametrize(
    "choice",
    [{"finish_reason": ["stop"]}, {"delta": {"tool_calls": [{"index": {}, "function": {"name": "f"}}]}}],
)
def test_what_nothing_can_be_found_by_is_no_chunk(choice: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="no chunk of a chat completion"):
        Gathered().add(json.dumps({"choices": [choice]}).encode())


def test_an_answer_is_not_free_where_the_question_alone_is_counted() -> None:
    used = {"usage": {"prompt_tokens": 9}}
    whole = read_answer(json.dumps({"choices": [{"message": {"content": "Within a month"}}]} | used).encode())
    gathered = Gathered()
    gathered.add(json.dumps({"choices": [{"delta": {"content": "Within a month"}}]} | used).encode())
    for answered in (whole, gathered.answered):
        assert (answered.is_counted, answered.usage.input) == (False, 9)
        assert answered.usage.output > 5


def test_what_is_said_after_it_was_counted_is_not_free() -> None:
    gathered = Gathered()
    gathered.add(b'{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}')
    assert gathered.answered.is_counted
    gathered.add(b'{"choices": [{"delta": {"content": "May I return it?"}}]}')
    answered = gathered.answered
    assert (answered.is_counted, answered.usage.input) == (False, 9)
    assert answered.usage.output > 4
    gathered.add(b'{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}')
    assert (gathered.answered.is_counted, gathered.answered.usage.output) == (True, 5)


@pytest.mark.parametrize(
    "said",
    [{}, {"prompt_tokens": None}, {"prompt_tokens": "7"}, {"completion_tokens": -1}, {"prompt_tokens": 1e300},
     {"prompt_tokens": 7, "completion_tokens": 2**63 - 1}, {"prompt_tokens": True}],
)  # fmt: skip
def test_what_is_no_count_of_tokens_is_none(said: dict[str, Any]) -> None:
    answer = {"choices": [{"message": {"content": "Hi"}}], "usage": said}
    assert not read_answer(json.dumps(answer).encode()).is_counted
    gathered = Gathered()
    gathered.add(json.dumps({"choices": [], "usage": said}).encode())
    assert not gathered.answered.is_counted
