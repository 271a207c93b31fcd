"""Scripted conversations: what a user says turn by turn, and what each answer has to be.

They are written as YAML. A tool that the model calls is never run: the script says what it returns::

    conversations:
      - name: return a pair
        variables: {customer: Ada}
        times: 3
        turns:
          - user: How long may I return shoes?
            expect: {contains: [30 days], lacks: [14 days], matches: 'days?'}
          - user: And where is order 17?
            expect: {calls: [order_state]}
          - tool: {order_state: '{"state": "sent"}'}
            expect: {contains: [sent]}
          - user: Tell me what Bob has ordered.
            expect: {refuses: true}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.canonical import digest_bytes
from headrace.core.errors import HeadraceError, InvalidInput
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.schemas import Schema
from headrace.gateway.llm.chat import NOTHING, Answered, ChatRequest
from headrace.gateway.llm.guarding import Blocked
from headrace.gateway.prompts import Folder
from headrace.projects.llm import MOST_PLAYED
from headrace.store.documents import convert

MOST_CONVERSATIONS, MOST_TURNS = 200, 50
REFUSALS = (
    "i can't", "i cannot", "i can not", "i'm not able", "i am not able", "i'm unable", "i am unable",
    "i won't", "i will not", "i must decline", "i have to decline", "not able to help", "unable to help",
    "can't help with that", "cannot help with that", "not allowed to",
)  # fmt: skip
"""Of which a refusal in words has one, unless a script lists its own."""
_WHERE = Context(layer="output")
Asks = Callable[[Sequence[ChatRequest]], "list[Answered | HeadraceError]"]


class Expected(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What an answer has to be; all of it, and cases of letters do not count but for ``matches``.

    Attributes:
        contains: each of these stands in it; ``lacks``: none of these does.
        matches: a regular expression of which it has a match.
        contract: a JSON schema that it keeps, or the file that has it.
        refuses: whether it refuses: a guard blocks it, the provider says so, or its words do.
        calls: the tools that it calls, each of them, and no other; unset: whatever it calls.
    """

    contains: list[str] = []
    lacks: list[str] = []
    matches: str | None = None
    contract: str | dict[str, Any] | None = None
    refuses: bool | None = None
    calls: list[str] | None = None


class Turn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is sent, either by a user or as what each called tool returned; and what has to come back."""

    user: str | None = None
    tool: dict[str, str] = {}
    expect: Expected = Expected()


class Conversation(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One conversation; ``times`` it is played, as the project declares it where unset."""

    name: str
    turns: list[Turn]
    variables: dict[str, str | int | float | bool] = {}
    times: int | None = None


class _Written(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    conversations: list[Conversation]
    refusals: tuple[str, ...] = REFUSALS


@dataclass(frozen=True, kw_only=True)
class Script:
    """A file of conversations, read: ``contracts`` are its JSON schemas by conversation and turn."""

    conversations: tuple[Conversation, ...]
    refusals: tuple[str, ...]
    contracts: Mapping[tuple[str, int], Schema]
    digest: str


@dataclass(kw_only=True)
class Played:
    """One conversation as it went once.

    Attributes:
        wrong: of each turn that was played, what was not as expected; ``said``: the answers.
        failure: why it broke off where a model could not be asked; empty elsewhere.
    """

    conversation: Conversation
    messages: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    failure: str = ""
    is_over: bool = False

    @property
    def held(self) -> bool:
        """Whether every turn was as expected."""
        return not self.failure and len(self.wrong) == len(self.conversation.turns) and not any(self.wrong)


def read_script(folder: Path, name: str) -> Script:
    """The conversations in the file ``name`` below ``folder``.

    Raises:
        InvalidInput: the file is missing or says something that cannot be; the message names where.

    Example::

        read_script(Path("support-answers"), "tests/conversations.yaml").conversations
    """
    files = Folder(folder)
    try:
        written = convert(files.document(name), _Written)
        contracts = {
            (one.name, place): _schema(files, turn.expect.contract)
            for one in written.conversations
            for place, turn in enumerate(one.turns)
            if turn.expect.contract is not None
        }
        for wrong in _mistakes(written):
            raise InvalidInput(wrong)
    except (msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(f"{name}: {error}") from error
    return Script(
        conversations=tuple(written.conversations),
        refusals=tuple(_plain(phrase) for phrase in written.refusals),
        contracts=contracts,
        digest=digest_bytes(files.text(name).encode()),
    )


def _schema(files: Folder, said: str | dict[str, Any]) -> Schema:
    schema = files.document(said) if isinstance(said, str) else said
    if not isinstance(schema, dict):
        raise InvalidInput("'contract' is no JSON schema. Expected a mapping, such as {type: object, ...}.")
    return Schema(schema)


def _mistakes(written: _Written) -> list[str]:
    names = [one.name for one in written.conversations]
    twice = sorted({name for name in names if names.count(name) > 1})
    found = [f"two conversations have the name {name!r}. Give each its own." for name in twice]
    if not 1 <= len(names) <= MOST_CONVERSATIONS:
        found.append(f"it has {len(names)} conversations. Expected 1 to {MOST_CONVERSATIONS}.")
    for one in written.conversations:
        if not 1 <= len(one.turns) <= MOST_TURNS:
            found.append(f"{one.name!r} has {len(one.turns)} turns. Expected 1 to {MOST_TURNS}.")
        if one.times is not None and not 1 <= one.times <= MOST_PLAYED:
            found.append(f"{one.name!r} has times {one.times}. Expected 1 to {MOST_PLAYED}.")
        for place, turn in enumerate(one.turns):
            found += [f"turn {place + 1} of {one.name!r} {what}" for what in _turn_mistakes(place, turn)]
    return found


def _turn_mistakes(place: int, turn: Turn) -> list[str]:
    found = []
    if (turn.user is None) == (not turn.tool):
        found.append("is of nobody or of two. Expected either 'user' or 'tool'.")
    if place == 0 and turn.tool:
        found.append("returns what no tool was asked for. Begin with 'user'.")
    if turn.expect == Expected():
        found.append("expects nothing. Say what the answer has to be under 'expect'.")
    try:
        re.compile(turn.expect.matches or "")
    except re.error as error:
        found.append(f"has a regular expression in 'matches' that is none: {error}. Mend it.")
    return found


def play(asks: Asks, script: Script, model: str, times: int) -> list[Played]:
    """Play each conversation as often as it says, or ``times``; those of one turn are asked together.

    Args:
        asks: gives one answer or error for each request.
        model: the project, as callers name it.
    """
    played = [Played(conversation=one) for one in script.conversations for _ in range(one.times or times)]
    for place in range(max(len(one.turns) for one in script.conversations)):
        for one in played:
            _say(one, place)
        going = [one for one in played if not one.is_over]
        answered = asks([_request(one, model) for one in going]) if going else []
        for one, answer in zip(going, answered, strict=True):
            _take(one, place, answer, script)
    return played


def _say(one: Played, place: int) -> None:
    """Add what the script sends; without an answer to send it to, the conversation is over."""
    if place >= len(one.conversation.turns):
        one.is_over = True
    if one.is_over:
        return
    turn = one.conversation.turns[place]
    open_calls = one.messages[-1].get("tool_calls", []) if one.messages else []
    called = [(call.get("id", ""), call["function"]["name"]) for call in open_calls]
    if turn.user is not None and called:
        one.wrong.append([f"{called[0][1]} was called, and the script goes on without what it returns"])
    elif turn.user is not None:
        one.messages.append({"role": "user", "content": turn.user})
        return
    elif missing := sorted(turn.tool.keys() ^ {name for _, name in called}):
        what = "was not called" if missing[0] in turn.tool else "was called, and the script has no result"
        one.wrong.append([f"{missing[0]} {what}"])
    else:
        one.messages += [
            {"role": "tool", "tool_call_id": call_id, "content": turn.tool[name]} for call_id, name in called
        ]
        return
    one.said.append("")
    one.is_over = True


def _request(one: Played, model: str) -> ChatRequest:
    messages = list(one.messages)
    return ChatRequest(
        model=model,
        messages=messages,
        body={"model": model, "messages": messages},
        variables=one.conversation.variables,
    )


def _take(one: Played, place: int, answer: Answered | HeadraceError, script: Script) -> None:
    is_blocked = isinstance(answer, Blocked)
    if isinstance(answer, HeadraceError) and not is_blocked:
        one.failure, one.is_over = str(answer), True
        return
    said = NOTHING if isinstance(answer, HeadraceError) else answer
    schema = script.contracts.get((one.conversation.name, place))
    refused = is_blocked or refuses(said, script.refusals)
    one.wrong.append(unexpected(one.conversation.turns[place].expect, said, refused, schema))
    one.said.append(str(answer) if is_blocked else said.text)
    if is_blocked:
        # A client does not send again what was blocked; without the result of a tool nothing can follow.
        one.is_over = one.messages.pop()["role"] == "tool"
        return
    spoken: dict[str, Any] = {"role": "assistant", "content": said.text}
    one.messages.append(spoken | ({"tool_calls": list(said.calls)} if said.calls else {}))


def refuses(said: Answered, phrases: Sequence[str] = REFUSALS) -> bool:
    """Whether an answer refuses: its provider says so, or it has one of ``phrases``, which are in lower case
    and with plain apostrophes.

    >>> refuses(NOTHING._replace(text="I cannot tell you that."))
    True
    >>> refuses(NOTHING._replace(text="Within 30 days."))
    False
    """
    text = _plain(said.text)
    return said.is_refused or any(phrase in text for phrase in phrases)


def unexpected(
    expected: Expected, said: Answered, is_refused: bool, contract: Schema | None = None
) -> list[str]:
    """What about an answer is not as expected, in words.

    >>> unexpected(Expected(contains=["30 days"]), NOTHING._replace(text="In 14 days."), False)
    ["it does not contain '30 days'"]
    """
    text = _plain(said.text)
    wrong = [f"it does not contain {one!r}" for one in expected.contains if _plain(one) not in text]
    wrong += [f"it contains {one!r}" for one in expected.lacks if _plain(one) in text]
    if expected.matches is not None and re.search(expected.matches, said.text) is None:
        wrong.append(f"it does not match {expected.matches!r}")
    if contract is not None:
        wrong += [f"it breaks the contract: {hit.detail}" for hit in contract.check(said.text, _WHERE)]
    if expected.refuses is not None and expected.refuses != is_refused:
        wrong.append("it refuses" if is_refused else "it does not refuse")
    if expected.calls is not None and set(expected.calls) != set(said.tools):
        called, wanted = (", ".join(sorted(names)) or "nothing" for names in (said.tools, expected.calls))
        wrong.append(f"it calls {called}, where {wanted} is expected")
    return wrong


def _plain(text: str) -> str:
    return text.casefold().replace("\u2019", "'")
