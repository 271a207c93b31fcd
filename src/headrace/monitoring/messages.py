"""Messages to and from a model in the form of OpenTelemetry's conventions 1.37 and later.

``[{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]``; an answer has a ``finish_reason``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
Message = dict[str, Any]
_FIRST = 120
"""Characters of the beginning of a text."""
BEGINNING = 4 * _FIRST
"""Characters of a text that :func:`beginning` looks at."""


def to_json(value: Any) -> str:
    """Compact JSON."""
    return msgspec.json.encode(value).decode()


def decoded(value: Any) -> Any:
    """What a text of JSON says; anything else as it is.

    >>> decoded('{"a": 1}'), decoded("a"), decoded("{")
    ({'a': 1}, 'a', '{')
    """
    if isinstance(value, str) and value[:1] in '{["':
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def messages_of(value: Any, role: str) -> list[Message]:
    """Messages in whatever form an author gave them: OpenAI's requests and answers, a list, or plain text.

    Args:
        role: of a text that is no message.

    >>> messages_of('{"messages": [{"role": "system", "content": "Be kind."}]}', "user")
    [{'role': 'system', 'parts': [{'type': 'text', 'content': 'Be kind.'}]}]
    """
    given = decoded(value)
    if isinstance(given, dict):
        for name in ("messages", "choices"):
            if isinstance(given.get(name), list):
                given = given[name]
                break
    if isinstance(given, dict) and ("role" in given or "message" in given):
        given = [given]
    if isinstance(given, list) and given and all(_is_message(one) for one in given):
        return [one_message(one, role) for one in given]
    return [{"role": role, "parts": [_text(given)]}]


def messages_of_flat(values: Mapping[str, Any], *, documents: bool = False) -> list[Any]:
    """A list that is spread over names: ``0.message.role``, ``0.message.content``, ``1.message.role``.

    >>> messages_of_flat({"0.role": "user", "0.content": "Hello"})
    [{'role': 'user', 'parts': [{'type': 'text', 'content': 'Hello'}]}]
    """
    listed = _tree(values)
    if not isinstance(listed, list):
        return []
    if documents:
        return [one.get("document", one) if isinstance(one, dict) else one for one in listed]
    return [one_message(one, "user") for one in listed if isinstance(one, dict)]


def one_message(given: Mapping[str, Any], role: str) -> Message:
    """One message of any dialect."""
    inner = given.get("message")
    if isinstance(inner, str):
        inner = decoded(inner)
    said: Mapping[str, Any] = {**given, **inner} if isinstance(inner, dict) else given
    if isinstance(said.get("parts"), list):
        return dict(said)
    message: Message = {"role": str(said.get("role") or role), "parts": []}
    parts: list[dict[str, Any]] = message["parts"]
    content = said.get("content", said.get("contents"))
    if isinstance(content, str) and content[:1] == "[":
        content = decoded(content)
    contents = content if isinstance(content, list) else [content]
    parts += [_part(one) for one in contents if one is not None and one != ""]
    parts += [_call(one.get("tool_call", one)) for one in _listed(said.get("tool_calls"))]
    answered = said.get("tool_call_id")
    if answered:
        message["parts"] = [
            {"type": "tool_call_response", "id": answered, "response": part.get("content")} for part in parts
        ]
    if said.get("finish_reason"):
        message["finish_reason"] = said["finish_reason"]
    return message


def text_of(value: Any) -> str:
    """What messages say, for people: their texts, calls of tools by name.

    >>> text_of('[{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]')
    'Hello'
    """
    found = []
    for message in _listed(decoded(value)):
        for part in _listed(message.get("parts")):
            match part.get("type"):
                case "tool_call":
                    found.append(f"{part.get('name')}({part.get('arguments', '')})")
                case "tool_call_response":
                    found.append(str(part.get("response", "")))
                case _:
                    found.append(str(part.get("content", "")))
    return "\n".join(found)


def question_in(value: Any) -> str:
    """What a person asked in messages: the last thing that a user says; empty where none does.

    >>> question_in('[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]')
    'Hello'
    """
    asked = [one for one in messages_of(value, "user") if one.get("role") == "user"]
    return next((text for one in reversed(asked) if (text := text_of([one]).strip())), "")


def beginning(text: str) -> str:
    r"""The first words of a text, on one line, by which people tell it from others.

    >>> beginning("May I\nreturn it?")
    'May I return it?'
    """
    line = " ".join(text[:BEGINNING].split())
    return line if len(line) <= _FIRST else f"{line[: _FIRST - 1].rstrip()}…"


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and ("role" in value or "message" in value or "parts" in value)


def _part(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return _text(value)
    inner = value.get("message_content", value)
    text = inner.get("text", inner.get("content")) if isinstance(inner, dict) else inner
    if isinstance(text, str):
        return _text(text)
    # An image or a sound: that it was there, not what it shows.
    return {"type": str(inner.get("type", "other")) if isinstance(inner, dict) else "other"}


def _call(given: Any) -> dict[str, Any]:
    """A call of a tool; OpenAI nests name and arguments in ``function``."""
    if not isinstance(given, dict):
        return _text(given)
    function = given.get("function")
    inner = {**given, **function} if isinstance(function, dict) else given
    call = {"type": "tool_call", "name": inner.get("name"), "arguments": decoded(inner.get("arguments"))}
    return {**call, "id": given["id"]} if given.get("id") else call


def _text(value: Any) -> dict[str, Any]:
    return {"type": "text", "content": value if isinstance(value, str) else to_json(value)}


def _listed(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _tree(values: Mapping[str, Any]) -> Any:
    """Nested objects and lists of dotted names; of two that contradict each other the later one counts."""
    root: dict[str, Any] = {}
    for name, value in values.items():
        place = root
        *parents, last = name.split(".")[:12]
        for parent in parents:
            below = place.get(parent)
            place[parent] = below = below if isinstance(below, dict) else {}
            place = below
        place[last] = value
    return _lists(root)


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(name.isascii() and name.isdigit() and len(name) < 10 for name in node):
        return [_lists(node[name]) for name in sorted(node, key=int)]
    return {name: _lists(value) for name, value in node.items()}
