"""What a message asks of tools: where the texts stand that a tool is given, and how they are put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.documents import document_of, texts_in, with_texts
from headrace.gateway.guardrails.placeholders import Placeholders

TEXT_OF = {"function": "arguments", "custom": "input"}
"""The kinds of calls, and what holds the text that the tool is given."""


class Asked(NamedTuple):
    """One call: ``kind`` of it, the tool's name, and the text that the tool is given."""

    kind: str
    tool: str
    text: str


def with_arguments(
    message: Mapping[str, Any], change: Callable[[Asked], str], *, begun: bool = False
) -> dict[str, Any]:
    """``tool_calls`` and ``function_call`` of a message, as far as it has them, with changed texts.

    Args:
        begun: whether it may be a piece of a stream, in which a call need not say what the tool is given.

    Raises:
        InvalidInput: they are no calls.

    >>> call = {"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    >>> with_arguments({"tool_calls": [call]}, lambda asked: asked.text.upper())["tool_calls"][0]["custom"]
    {'name': 'sh', 'input': 'LS'}
    """
    made: dict[str, Any] = {}
    calls = message.get("tool_calls")
    if calls is not None:
        if not isinstance(calls, list):
            raise _wrong("'tool_calls'", calls, "a list of calls")
        made["tool_calls"] = [
            _call(call, f"'tool_calls' entry {i}", change, begun=begun) for i, call in enumerate(calls)
        ]
    if message.get("function_call") is not None:
        made["function_call"] = _changed("function", message["function_call"], "'function_call'", change)
    return made


def restored(asked: Asked, placeholders: Placeholders) -> str:
    """The text with the caller's own values again; what is JSON stays JSON, whatever is in the values.

    Arguments of a function that are no JSON stay as they are: nobody can say how a value is written there.
    """
    document = document_of(asked.text)
    if document is asked.text:
        return placeholders.restore(asked.text) if asked.kind == "custom" else asked.text
    texts = texts_in(document)
    made = [placeholders.restore(text) for text in texts]
    return msgspec.json.encode(with_texts(document, made)).decode() if made != texts else asked.text


def _call(call: Any, where: str, change: Callable[[Asked], str], *, begun: bool) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise _wrong(where, call, "an object with 'id', 'type' and 'function'")
    kinds = [kind for kind in TEXT_OF if call.get(kind) is not None]
    if not kinds and not begun:
        raise InvalidInput(f"{where} has neither 'function' nor 'custom'. Expected what the tool is given.")
    return {**call, **{kind: _changed(kind, call[kind], f"{where}, '{kind}',", change) for kind in kinds}}


def _changed(kind: str, given: Any, where: str, change: Callable[[Asked], str]) -> dict[str, Any]:
    field = TEXT_OF[kind]
    if not isinstance(given, dict):
        raise _wrong(where, given, f"an object with 'name' and '{field}'")
    for one in ("name", field):
        if not isinstance(given.get(one), str | None):
            raise _wrong(f"{where} has a '{one}' that", given[one], "a text")
    text = given.get(field)
    if not text:
        return given
    return {**given, field: change(Asked(kind, given.get("name") or "", text))}


def _wrong(where: str, got: Any, expected: str) -> InvalidInput:
    return InvalidInput(f"{where} is {type(got).__name__}. Expected {expected}.")
