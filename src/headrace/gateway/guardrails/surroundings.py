"""What stands in a caller's message around its texts: ids, names, addresses of pictures, and keys that nobody
knows. A provider is sent all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.gateway.guardrails.documents import Kept
from headrace.gateway.guardrails.tool_calls import TEXT_OF

UNREAD = ("image_url", "input_image", "input_audio", "file", "input_file")
"""Kinds of parts whose data no guard can read."""
_READ = frozenset(
    ("role", "content", "name", "refusal", "reasoning_content", "reasoning", "reasoning_details")
)
_PLAIN_PART = frozenset(("type", "text"))
_DATA = re.compile(r"(?:data:(?:[a-z]+/[a-z0-9.+]{1,80})?;base64,)?[A-Za-z0-9+/\s]{256,}={0,2}\s*")
"""Long enough that it is a picture, a sound or a file: what is shorter is looked at like any text."""


def has_asides(message: Mapping[str, Any]) -> bool:
    """Whether anything is in a message beside what :func:`check_request` reads of each.

    >>> has_asides({"role": "user", "content": "Hi"}), has_asides({"role": "user", "note": "Hi"})
    (False, True)
    """
    content = message.get("content")
    return not message.keys() <= _READ or (
        isinstance(content, list) and not all(_is_plain(part) for part in content)
    )


def asides_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with what was looked at already, and data, as :class:`Kept`.

    >>> asides_of({"role": "user", "content": "Hi", "note": "for Ada"})
    {'role': Kept(value='user'), 'content': Kept(value='Hi'), 'note': 'for Ada'}
    """
    made: dict[str, Any] = {}
    for name, value in message.items():
        if name == "content" and isinstance(value, list):
            made[name] = [_part(part) for part in value]
        elif name == "tool_calls" and isinstance(value, list):
            made[name] = [_call(call) for call in value]
        elif name == "function_call" and isinstance(value, dict):
            made[name] = _given("function", value)
        else:
            made[name] = Kept(value) if name in _READ else value
    return made


def _is_plain(part: Any) -> bool:
    return not isinstance(part, dict) or (
        part.get("type") == "text" and isinstance(part.get("text"), str) and part.keys() == _PLAIN_PART
    )


def _part(part: Any) -> Any:
    if not isinstance(part, dict):
        return Kept(part)
    if isinstance(part.get("text"), str):
        return {**part, "text": Kept(part["text"])}
    return _without_data(part) if part.get("type") in UNREAD else Kept(part)


def _without_data(value: Any) -> Any:
    """Nested only two levels deep where it is data; what is deeper is looked at."""
    return {
        name: {inner: _unless_data(two) for inner, two in one.items()}
        if isinstance(one, dict)
        else _unless_data(one)
        for name, one in value.items()
    }


def is_data(value: Any) -> bool:
    """Whether it is a picture, a sound or a file as base64, in which no guard can read.

    >>> is_data("data:image/png;base64," + "iVBORw0K" * 40), is_data("https://shop.example/a.png?for=ada")
    (True, False)
    """
    return isinstance(value, str) and _DATA.fullmatch(value) is not None


def _unless_data(value: Any) -> Any:
    return Kept(value) if is_data(value) else value


def _call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    return {name: _given(name, one) if name in TEXT_OF else one for name, one in call.items()}


def _given(kind: str, given: Any) -> Any:
    """Of a call everything but what the tool is given."""
    field = TEXT_OF[kind]
    return {**given, field: Kept(given[field])} if isinstance(given, dict) and field in given else given
