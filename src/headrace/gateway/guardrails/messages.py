"""Guards over the messages of a chat, in the form of the OpenAI API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.attachments import with_attachments
from headrace.gateway.guardrails.documents import document_of, require_shallow, texts_in, with_texts
from headrace.gateway.guardrails.guards import Action, Advice, Context, Hit, Layer, severest
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.placeholders import Placeholders
from headrace.gateway.guardrails.surroundings import UNREAD, asides_of, has_asides
from headrace.gateway.guardrails.tool_calls import Asked, restored, with_arguments

Message = Mapping[str, Any]
"""``role``, ``content`` (text, parts, or None), ``name``, ``tool_calls``, and whatever a caller adds."""
ASIDES = ("refusal", "reasoning_content", "reasoning", "reasoning_details")
"""Texts of a model beside its answer, as the providers call them."""
_PLAIN = frozenset(("role", "content"))


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedMessages:
    """Messages as they may go on. Where ``blocked``, none may, and ``messages`` is empty.

    Attributes:
        hits: of each message that has any, by its position.
    """

    messages: tuple[dict[str, Any], ...]
    hits: Mapping[int, tuple[Hit, ...]]

    @property
    def all_hits(self) -> tuple[Hit, ...]:
        """The hits of all messages, in order."""
        return tuple(hit for position in sorted(self.hits) for hit in self.hits[position])

    @property
    def verdict(self) -> Action:
        """The severest of what the hits ask for."""
        return severest(self.all_hits)

    @property
    def blocked(self) -> bool:
        """Whether nothing may go on."""
        return self.verdict == "block"

    @property
    def reason(self) -> str:
        """Why it is blocked, for the caller: rules and details, and nothing of the text."""
        return reason_of(self.all_hits)


def reason_of(hits: Iterable[Hit]) -> str:
    """Why something is blocked, for the caller: rules and details, and nothing of the text."""
    said = (f"{hit.rule}: {hit.detail}" for hit in hits if hit.action == "block")
    return "; ".join(dict.fromkeys(said))


def check_request(
    pipeline: Pipeline,
    messages: Sequence[Message],
    placeholders: Placeholders | None = None,
    later: list[Advice] | None = None,
) -> CheckedMessages:
    """What a caller sends, before a model sees it.

    A message of role ``tool`` is looked at as a tool's result, and any other as input: the caller has written
    the assistant's earlier answers as well. The release's own prompt is not the caller's: leave it out.

    Args:
        later: gets what guards have yet to say; None: they say all of it now.

    Raises:
        InvalidInput: calls of tools or a name are none, a message is nested too deep, or a file of text
            cannot be read.
    """
    if placeholders is not None:
        # Whatever looks like a stand-in already must not get a meaning by a message that comes later.
        for message in messages:
            placeholders.reserve(msgspec.json.encode(message).decode())
            if isinstance(message.get("content"), list) and has_asides(message):
                require_shallow(message["content"])
                placeholders.reserve("\n".join(texts_in(with_attachments(message["content"]))))
    layers: list[Layer] = ["tool_result" if m.get("role") == "tool" else "input" for m in messages]
    contexts = [
        Context(
            layer=layer, tool=str(message.get("name") or "") if layer == "tool_result" else "", later=later
        )
        for layer, message in zip(layers, messages, strict=True)
    ]
    return _all(pipeline, messages, contexts, placeholders)


def check_answer(
    pipeline: Pipeline,
    message: Message,
    *,
    sources: Sequence[str] = (),
    placeholders: Placeholders | None = None,
) -> CheckedMessages:
    """What a model answers, before its caller or a tool sees it.

    Args:
        sources: what the answer may rest on.
        placeholders: of the request; what they may give back stands in the answer again afterwards, also
            in the arguments of tools, which the caller runs: a stand-in would mean nothing to them.

    Raises:
        InvalidInput: calls of tools are none, or the message is nested too deep.
    """
    context = Context(layer="output", sources=tuple(sources))
    checked = _all(pipeline, [message], [context], placeholders)
    if placeholders is None or checked.blocked:
        return checked
    answer = checked.messages[0]
    for name in ("content", *ASIDES):
        if answer.get(name):
            texts = [placeholders.restore(text) for text in texts_in(_read(answer[name]))]
            answer[name] = _written(answer[name], texts)
    answer |= with_arguments(answer, lambda asked: restored(asked, placeholders))
    return checked


def check_arguments(
    pipeline: Pipeline, asked: Asked, context: Context, placeholders: Placeholders | None = None
) -> tuple[str, tuple[Hit, ...]]:
    """What a tool is to be given, as it may go on."""
    context = replace(context, layer="tool_arguments", tool=asked.tool)
    return check_document(pipeline, asked.text, context, placeholders)


def check_texts(
    pipeline: Pipeline, document: Any, context: Context, placeholders: Placeholders | None = None
) -> tuple[Any, tuple[Hit, ...]]:
    """A value as JSON has them, with every string, name and long number in it looked at.

    Raises:
        InvalidInput: it is nested too deep.

    >>> from headrace.gateway.guardrails.personal import PersonalData
    >>> check_texts(Pipeline([PersonalData()]), {"to": ["ada@example.org"]}, Context(layer="input"))[0]
    {'to': ['<EMAIL>']}
    """
    require_shallow(document)
    texts, hits = pipeline.check_all(texts_in(document), context, placeholders)
    return with_texts(document, texts), hits


def check_document(
    pipeline: Pipeline, text: str, context: Context, placeholders: Placeholders | None = None
) -> tuple[str, tuple[Hit, ...]]:
    """A text that may be JSON, which it then stays: a tool's arguments or its result, a retrieved record.

    Escapes hide nothing: it is taken apart first.
    """
    document = document_of(text)
    if document is not text:
        context = replace(context, document=text)
    texts, hits = pipeline.check_all(texts_in(document), context, placeholders)
    if severest(hits) == "block":
        return "", hits
    if document is text:
        return texts[0], hits
    changed = texts != texts_in(document)
    return (msgspec.json.encode(with_texts(document, texts)).decode() if changed else text), hits


def _all(
    pipeline: Pipeline,
    messages: Sequence[Message],
    contexts: Sequence[Context],
    placeholders: Placeholders | None,
) -> CheckedMessages:
    checked, hits = [], {}
    for position, (message, context) in enumerate(zip(messages, contexts, strict=True)):
        one, found = _message(pipeline, message, context, placeholders)
        checked.append(one)
        if found:
            hits[position] = found
    blocked = any(severest(found) == "block" for found in hits.values())
    return CheckedMessages(messages=() if blocked else tuple(checked), hits=hits)


def _message(
    pipeline: Pipeline, message: Message, context: Context, placeholders: Placeholders | None
) -> tuple[dict[str, Any], tuple[Hit, ...]]:
    checked = dict(message)
    hits: tuple[Hit, ...] = ()
    content = message.get("content")
    if isinstance(content, str):
        checked["content"], hits = check_document(pipeline, content, context, placeholders)
    elif content:
        require_shallow(content)
        texts, hits = pipeline.check_all(texts_in(_read(content)), context, placeholders)
        checked["content"] = _written(content, texts)
    if message.keys() <= _PLAIN and not isinstance(content, list):  # as nearly always: that was all of it
        return checked, hits
    if message.get("name") is not None and context.layer != "output":
        checked["name"], found = _name(pipeline, message["name"], context, placeholders)
        hits += found
    for name in ASIDES:
        if message.get(name):
            beside = replace(context, aside=True)
            checked[name], found = check_texts(pipeline, message[name], beside, placeholders)
            hits += found

    def asked_as_allowed(asked: Asked) -> str:
        nonlocal hits
        text, found = check_arguments(pipeline, asked, context, placeholders)
        hits += found
        return text

    checked |= with_arguments(message, asked_as_allowed)
    if context.layer != "output" and has_asides(checked):
        checked, found = check_texts(pipeline, asides_of(checked), context, placeholders)
        hits += found
    return checked, hits


def _name(
    pipeline: Pipeline, name: Any, context: Context, placeholders: Placeholders | None
) -> tuple[str, tuple[Hit, ...]]:
    if not isinstance(name, str):
        raise InvalidInput(f"The 'name' of a message is {type(name).__name__}. Expected a text.")
    checked = pipeline.check(name, context, placeholders)
    # Providers refuse a name with angle brackets.
    text = name if checked.text == name else re.sub("[<>]", "", checked.text)
    return text, checked.hits


def _read(content: Any) -> Any:
    """Of a list of parts what can be read: pictures and sound are not looked at."""
    return [_text_of(part) for part in content] if isinstance(content, list) else content


def _text_of(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("text"), str):
        return part["text"]
    return None if part.get("type") in UNREAD else with_attachments(part)


def _written(content: Any, texts: list[str]) -> Any:
    if not isinstance(content, list):
        return with_texts(content, texts)
    return [_part(old, new) for old, new in zip(content, with_texts(_read(content), texts), strict=True)]


def _part(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, str):
        return {**old, "text": new}
    return old if new is None else new
