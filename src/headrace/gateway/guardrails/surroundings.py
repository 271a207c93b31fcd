"""What stands in a caller's message around its texts: ids, names, addresses of pictures, and keys that nobody
knows. A provider is sent all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.gateway.guardrails.attachments import is_data, with_attachments
from headrace.gateway.guardrails.documents import Kept
from headrace.gateway.guardrails.tool_calls import TEXT_OF

UNREAD = ("image_url", "input_image", "input_audio", "file", "input_file")
"""Kinds of parts whose data no guard can read, unless it is a text."""
_READ = frozenset(
    ("role", "content", "name", "refusal", "reasoning_content", "reasoning", "reasoning_details")
)
_PLAIN_PART = frozenset(("type", "text"))


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
    """The message with what was looked at already, and data, as :class:`Kept`, and files of text as
    :class:`~headrace.gateway.guardrails.documents.Attached`.

    Raises:
        InvalidInput: a file that is a text by its type cannot be read.

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
    is_unread = part.get("type") in UNREAD
    if isinstance(part.get("text"), str):
        part = {**part, "text": Kept(part["text"])}
    elif not is_unread:
        return Kept(part)
    part = with_attachments(part)
    return _without_data(part) if is_unread else part


def _without_data(value: Any) -> Any:
    """Nested only two levels deep where it is data; what is deeper is looked at."""
    return {
        name: {inner: _unless_data(two) for inner, two in one.items()}
        if isinstance(one, dict)
        else _unless_data(one)
        for name, one in value.items()
    }


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
