"""Scripted conversations as they are written and played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import HeadraceError, InvalidInput, Unavailable
from headrace.gateway.conversations import Expected, Script, play, read_script, refuses, unexpected
from headrace.gateway.llm.chat import NOTHING, Answered, ChatRequest, read_answer
from headrace.gateway.llm.guarding import Blocked

WRITTEN = """
conversations:
  - name: return a pair
    variables: {customer: Ada}
    turns:
      - user: How long may I return shoes?
        expect: {contains: [30 days], lacks: [14 days], matches: 'In \\d+'}
      - user: Where is order 17?
        expect: {calls: [order_state]}
      - tool: {order_state: '{"state": "sent"}'}
        expect: {contains: [SENT], calls: []}
  - name: others
    times: 3
    turns:
      - user: What has Bob ordered?
        expect: {refuses: true}
      - user: As JSON, please.
        expect: {contract: tests/answer.json, refuses: false}
"""
CALL = {"id": "c1", "type": "function", "function": {"name": "order_state", "arguments": "{}"}}
SAID: dict[str, Answered] = {
    "How long may I return shoes?": NOTHING._replace(text="In 30 days."),
    "Where is order 17?": NOTHING._replace(tools=("order_state",), calls=(CALL,)),
    '{"state": "sent"}': NOTHING._replace(text="It was sent."),
    "What has Bob ordered?": NOTHING._replace(text="I can\u2019t tell you."),
    "As JSON, please.": NOTHING._replace(text='{"answer": "no"}'),
}
Reply = Answered | HeadraceError


def script(folder: Path, text: str = WRITTEN) -> Script:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests/conversations.yaml").write_text(text)
    (folder / "tests/answer.json").write_text('{"type": "object", "required": ["answer"]}')
    return read_script(folder, "tests/conversations.yaml")


def answers(changed: dict[str, Reply], asked: list[ChatRequest]) -> Callable[[Sequence[ChatRequest]], Any]:
    said: dict[str, Reply] = {**SAID, **changed}

    def ask(requests: Sequence[ChatRequest]) -> list[Reply]:
        asked.extend(requests)
        return [said[one.messages[-1]["content"]] for one in requests]

    return ask


@pytest.mark.requirement("EVA-13")
def test_conversations_are_played_turn_by_turn_with_all_that_was_said_before(tmp_path: Path) -> None:
    asked: list[ChatRequest] = []
    played = play(answers({}, asked), script(tmp_path), "support", 2)
    assert [(one.conversation.name, one.held) for one in played] == [
        *[("return a pair", True)] * 2,
        *[("others", True)] * 3,
    ]
    last = next(one for one in asked if one.messages[-1]["role"] == "tool")
    assert [one["role"] for one in last.messages] == ["user", "assistant", "user", "assistant", "tool"]
    assert last.messages[3]["tool_calls"] == [CALL]
    assert last.messages[4] == {"role": "tool", "tool_call_id": "c1", "content": '{"state": "sent"}'}
    assert dict(last.variables) == {"customer": "Ada"}


@pytest.mark.requirement("EVA-13")
@pytest.mark.parametrize(
    ("question", "instead", "turn", "why"),
    [
        (
            "How long may I return shoes?",
            NOTHING._replace(text="In 14 days."),
            0,
            "does not contain '30 days'",
        ),
        ("How long may I return shoes?", NOTHING._replace(text="30 days"), 0, "does not match"),
        ("Where is order 17?", NOTHING._replace(text="At the post."), 1, "it calls nothing"),
        ('{"state": "sent"}', NOTHING._replace(text="Lost."), 2, "does not contain 'SENT'"),
        ("What has Bob ordered?", NOTHING._replace(text="Boots."), 0, "it does not refuse"),
        ("As JSON, please.", NOTHING._replace(text="no"), 1, "no JSON"),
        ("As JSON, please.", NOTHING._replace(text="{}"), 1, "'required'"),
    ],
)
def test_what_is_not_as_expected_is_said_of_its_turn(
    tmp_path: Path, question: str, instead: Answered, turn: int, why: str
) -> None:
    played = play(answers({question: instead}, []), script(tmp_path), "support", 1)
    (name,) = {one.conversation.name for one in played if not one.held}
    broken = next(one for one in played if one.conversation.name == name)
    assert why in broken.wrong[turn][0]
    assert not any(broken.wrong[:turn])


def test_a_tool_that_is_not_called_ends_the_conversation(tmp_path: Path) -> None:
    asked: list[ChatRequest] = []
    said = NOTHING._replace(text="At the post.")
    played = play(answers({"Where is order 17?": said}, asked), script(tmp_path), "support", 1)
    assert played[0].wrong[2] == ["order_state was not called"]
    assert not any(one.messages[-1]["role"] == "tool" for one in asked)


def test_a_call_that_the_script_does_not_answer_ends_it(tmp_path: Path) -> None:
    text = WRITTEN.replace('tool: {order_state: \'{"state": "sent"}\'}', "user: As JSON, please.")
    played = play(answers({}, []), script(tmp_path, text), "support", 1)
    assert "goes on without what it returns" in played[0].wrong[2][0]


@pytest.mark.requirement("EVA-13")
def test_a_guard_that_blocks_refuses_and_what_it_blocked_is_not_sent_again(tmp_path: Path) -> None:
    asked: list[ChatRequest] = []
    blocked = Blocked("rule injection.orders")
    played = play(answers({"What has Bob ordered?": blocked}, asked), script(tmp_path), "support", 1)
    assert all(one.held for one in played)
    assert [one["content"] for one in asked[-1].messages if one["role"] == "user"] != []
    json_turns = [one for one in asked if one.messages[-1]["content"] == "As JSON, please."]
    assert all(len(one.messages) == 1 for one in json_turns)


def test_a_model_that_cannot_be_asked_is_no_broken_conversation(tmp_path: Path) -> None:
    down = Unavailable("It is down.")
    played = play(answers({"How long may I return shoes?": down}, []), script(tmp_path), "support", 1)
    assert (played[0].held, played[0].failure) == (False, "It is down.")


def test_a_provider_that_refuses_is_read() -> None:
    body = b'{"choices": [{"message": {"content": null, "refusal": "No."}, "finish_reason": "stop"}]}'
    filtered = b'{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}'
    plain = b'{"choices": [{"message": {"content": "No."}, "finish_reason": "stop"}]}'
    assert [refuses(read_answer(one)) for one in (body, filtered, plain)] == [True, True, False]


@pytest.mark.parametrize("apostrophe", ["'", "\u2019"])
def test_a_refusal_of_the_scripts_own_is_known_whatever_its_apostrophe(
    tmp_path: Path, apostrophe: str
) -> None:
    own = script(tmp_path, WRITTEN + f'\nrefusals: ["That{apostrophe}s Not For Me"]\n')
    for said in ("That's not for me.", "That\u2019s not for me."):
        assert refuses(NOTHING._replace(text=said), own.refusals)


def test_a_schema_in_the_script_itself_is_held_to(tmp_path: Path) -> None:
    text = WRITTEN.replace("contract: tests/answer.json", "contract: {type: array}")
    played = play(answers({}, []), script(tmp_path, text), "support", 1)
    assert "breaks the contract" in played[-1].wrong[1][0]
    assert unexpected(Expected(lacks=["boots"]), NOTHING._replace(text="Boots."), False)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("expect: {refuses: true}", "expect: {}", "turn 1 of 'others' expects nothing"),
        ("name: others", "name: return a pair", "two conversations"),
        ("times: 3", "times: 30", "Expected 1 to 20"),
        ("'In \\d+'", "'('", "regular expression"),
        ("user: What has Bob ordered?", "tool: {x: y}", "Begin with 'user'"),
        ("user: What has Bob ordered?", "expect_: 1", "unknown field"),
        ("tests/answer.json", "tests/none.json", "cannot be read"),
        ("tests/answer.json", "../answer.json", "outside of the project"),
        ("contract: tests/answer.json", "contract: {type: 3}", "JSON schema"),
    ],
)
def test_a_script_that_cannot_be_says_where(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in WRITTEN
    with pytest.raises(InvalidInput, match=r"tests/conversations\.yaml: ") as caught:
        script(tmp_path, WRITTEN.replace(before, after))
    assert said in str(caught.value)
