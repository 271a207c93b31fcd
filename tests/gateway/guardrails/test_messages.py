"""A chat is checked where its texts stand, and stays a chat."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from headrace.access.privacy.redacting import Span, builtin
from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.documents import document_of, texts_in, with_texts
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.messages import check_answer, check_document, check_request, check_texts
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.placeholders import Placeholders
from headrace.gateway.guardrails.schemas import Schema

PIPELINE = Pipeline([PersonalData(actions={"SECRET": "block"})])


def test_each_message_is_checked_at_its_layer() -> None:
    checked = check_request(
        PIPELINE,
        [
            {"role": "user", "content": "I am ada@example.org"},
            {"role": "assistant", "content": None, "tool_calls": [_call('{"to": "bob@example.org"}')]},
            {"role": "tool", "name": "crm", "tool_call_id": "c1", "content": "found eve@example.org"},
        ],
    )
    assert [hit.layer for hit in checked.all_hits] == ["input", "tool_arguments", "tool_result"]
    user, assistant, tool = checked.messages
    assert user == {"role": "user", "content": "I am <EMAIL>"}
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"to": "<EMAIL>"}
    assert tool == {"role": "tool", "name": "crm", "tool_call_id": "c1", "content": "found <EMAIL>"}


def test_one_blocked_message_blocks_them_all() -> None:
    checked = check_request(
        PIPELINE, [{"role": "user", "content": "hi"}, {"role": "user", "content": "password: hunter2X9!"}]
    )
    assert (checked.blocked, checked.messages, list(checked.hits)) == (True, (), [1])
    assert checked.reason == "personal.secret: secret recognised"


def test_parts_are_checked_together_and_a_picture_is_left_alone() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "I am ada@example.org"}, picture, {"type": "text", "text": "hello"}]
    (message,) = check_request(PIPELINE, [{"role": "user", "content": parts}]).messages
    assert message["content"] == [
        {"type": "text", "text": "I am <EMAIL>"},
        picture,
        {"type": "text", "text": "hello"},
    ]


def test_the_answer_has_the_callers_own_values_again_and_nobody_elses() -> None:
    placeholders = Placeholders()
    request = [
        {"role": "user", "content": "I am ada@example.org"},
        {"role": "tool", "name": "crm", "content": "colleague: bob@example.org"},
    ]
    assert [m["content"] for m in check_request(PIPELINE, request, placeholders).messages] == [
        "I am <EMAIL_1>",
        "colleague: <EMAIL_2>",
    ]
    answer = {"role": "assistant", "content": "<EMAIL_1>, ask <EMAIL_2> or eve@example.org"}
    (given,) = check_answer(PIPELINE, answer, placeholders=placeholders).messages
    assert given["content"] == "ada@example.org, ask <EMAIL_2> or <EMAIL>"


def test_a_later_message_cannot_name_the_stand_in_of_an_earlier_one() -> None:
    placeholders = Placeholders()
    request = [
        {"role": "user", "content": "I am ada@example.org"},
        {"role": "tool", "name": "web", "content": "tell me <EMAIL_1>"},
    ]
    checked = check_request(PIPELINE, request, placeholders)
    assert checked.messages[0]["content"] == "I am <EMAIL_2>"
    assert placeholders.restore("<EMAIL_1>") == "<EMAIL_1>"


def test_a_field_with_the_name_of_a_secret_is_masked_in_what_a_tool_is_given_and_says() -> None:
    password = {"host": "db.example.org", "password": "Tr0ub4dor-3xy"}
    asked = {"role": "assistant", "tool_calls": [_call(json.dumps(password))]}
    said = {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"db": password})}
    checked = check_request(Pipeline([PersonalData()]), [asked, said])
    assert "Tr0ub4dor" not in str(checked.messages)
    assert checked.messages[1]["content"] == '{"db":{"host":"db.example.org","password":"<SECRET>"}}'


def test_arguments_of_tools_have_the_callers_own_values_again_and_nobody_elses() -> None:
    def quoted(text: str) -> Iterable[Span]:
        value = 'Ada "A." \\ Lovelace'
        return [Span("NAME", text.index(value), text.index(value) + len(value))] if value in text else []

    pipeline = Pipeline([PersonalData([builtin, quoted])])
    placeholders = Placeholders()
    request = [
        {"role": "user", "content": 'I am ada@example.org, Ada "A." \\ Lovelace. password: hunter2X9!'},
        {"role": "tool", "name": "crm", "content": "colleague: bob@example.org"},
    ]
    sent = str(check_request(pipeline, request, placeholders).messages)
    assert all(name in sent for name in ("<EMAIL_1>", "<NAME_1>", "<SECRET_1>", "<EMAIL_2>"))
    arguments = '{"to": "\\u003cEMAIL_1\\u003e", "of": ["<NAME_1>", "<SECRET_1>", "<EMAIL_2>"]}'
    answer = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            _call(arguments),
            {"type": "custom", "custom": {"name": "sh", "input": "to <EMAIL_1>"}},
        ],
        "function_call": {"name": "mail", "arguments": arguments},
    }
    (given,) = check_answer(pipeline, answer, placeholders=placeholders).messages
    own = {"to": "ada@example.org", "of": ['Ada "A." \\ Lovelace', "<SECRET_1>", "<EMAIL_2>"]}
    assert json.loads(given["tool_calls"][0]["function"]["arguments"]) == own
    assert given["tool_calls"][1]["custom"] == {"name": "sh", "input": "to ada@example.org"}
    assert json.loads(given["function_call"]["arguments"]) == own
    assert given["content"] is None


def test_a_custom_call_keeps_its_form_and_its_input_is_looked_at() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "mail ada@example.org"}}
    checked = check_request(PIPELINE, [{"role": "assistant", "tool_calls": [call]}])
    assert checked.messages[0]["tool_calls"] == [{**call, "custom": {"name": "sh", "input": "mail <EMAIL>"}}]
    assert [hit.layer for hit in checked.all_hits] == ["tool_arguments"]


@pytest.mark.parametrize(
    "calls",
    [5, [1], "x", {}, [{"id": "c1"}], [{"function": 5}], [{"function": {"arguments": {"a": 1}}}],
     [{"custom": {"name": 5, "input": "x"}}]],
)  # fmt: skip
def test_calls_that_are_none_are_said_to_be_none(calls: object) -> None:
    with pytest.raises(InvalidInput, match="'tool_calls'.*Expected"):
        check_request(PIPELINE, [{"role": "assistant", "tool_calls": calls}])


def test_a_name_and_what_a_model_said_beside_its_answer_are_looked_at() -> None:
    message = {
        "role": "assistant",
        "name": "ada@example.org",
        "content": None,
        "refusal": "not to ada@example.org",
        "reasoning": "she is ada@example.org",
        "reasoning_content": "she is ada@example.org",
        "reasoning_details": [{"type": "reasoning.text", "text": "she is ada@example.org"}],
    }
    checked = check_request(PIPELINE, [message], Placeholders())
    assert "ada@" not in str(checked.messages)
    assert checked.messages[0]["name"] == "EMAIL_1", "providers refuse angle brackets here"
    assert "ada@" not in str(check_answer(PIPELINE, {**message, "name": None}).messages)
    with pytest.raises(InvalidInput, match="'name'.*Expected a text"):
        check_request(PIPELINE, [{"role": "user", "name": ["ada@example.org"], "content": "hi"}])


def test_a_refusal_need_not_be_as_the_schema_of_answers_says() -> None:
    pipeline = Pipeline([Schema({"type": "object"})])
    message = {"role": "assistant", "content": None, "refusal": "I will not.", "reasoning": "Why?"}
    assert not check_answer(pipeline, message).blocked


def test_values_that_are_nested_too_deep_are_refused() -> None:
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(InvalidInput, match="levels deep"):
        check_texts(PIPELINE, {"a": deep}, Context(layer="input"))
    with pytest.raises(InvalidInput, match="levels deep"):
        check_request(PIPELINE, [{"role": "user", "content": [{"type": "x", "y": deep}]}])


@pytest.mark.parametrize(
    ("text", "checked"),
    [
        ('{"mail": "ada\\u0040example.org"}', {"mail": "<EMAIL>"}),
        ('{"ada@example.org": [1, null, true]}', {"<EMAIL>": [1, None, True]}),
        ("[4111111111111111, 7, 1.5]", ["<CARD>", 7, 1.5]),
    ],
)
def test_json_is_taken_apart_and_stays_json(text: str, checked: object) -> None:
    made, hits = check_document(PIPELINE, text, Context(layer="tool_result"))
    assert json.loads(made) == checked
    assert len(hits) == 1


def test_a_document_without_hits_is_the_very_same_text() -> None:
    text = '{ "a" : 1.0,   "b": [12345678901] }'
    assert check_document(PIPELINE, text, Context(layer="tool_result"))[0] == text


def test_what_is_nested_too_deep_is_checked_as_text() -> None:
    text = "[" * 5000 + '"ada@example.org"' + "]" * 5000
    assert "ada@" not in check_document(PIPELINE, text, Context(layer="tool_result"))[0]


def test_texts_come_out_and_go_back_in_order() -> None:
    document = document_of('{"a": ["x", {"b": "y"}], "n": 1234567890, "t": true}')
    assert texts_in(document) == ["a", "x", "b", "y", "n", "1234567890", "t"]
    assert with_texts(document, texts_in(document)) == document


def _call(arguments: str) -> dict[str, object]:
    return {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": arguments}}


def test_a_document_is_held_against_its_schema_as_it_came() -> None:
    pipeline = Pipeline([Schema({"required": ["price"]}), PersonalData()])
    answers = ['{"price": 3, "to": "ada@example.org"}', '{"prize": 3}', "three"]
    checked = [check_answer(pipeline, {"role": "assistant", "content": text}) for text in answers]
    assert [one.blocked for one in checked] == [False, True, True]
    assert json.loads(checked[0].messages[0]["content"]) == {"price": 3, "to": "<EMAIL>"}
    assert checked[1].reason == "schema.invalid: the document breaks 'required'"
