"""What messages consist of: OpenAI's parts and calls, and Anthropic's blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.chat import text_of

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,")
_FAILED = "Error: "


class Text(msgspec.Struct, tag="text"):
    """A text."""

    text: str


class Source(msgspec.Struct):
    """Where a picture or a document is: ``base64``, ``url`` or ``text``."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class Image(msgspec.Struct, tag="image"):
    """A picture."""

    source: Source


class Document(msgspec.Struct, tag="document"):
    """A document."""

    source: Source
    title: str | None = None


class ToolUse(msgspec.Struct, tag="tool_use"):
    """A call of a tool."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResult(msgspec.Struct, tag="tool_result"):
    """What a tool has said; where it failed, a chat can only say so in its words."""

    tool_use_id: str
    content: str | list[Text] = ""
    is_error: bool | None = None


class Thinking(msgspec.Struct, tag="thinking"):
    """What a model thought; in a later request it says nothing to another model."""


class RedactedThinking(msgspec.Struct, tag="redacted_thinking"):
    """The same, encrypted."""


Block = Text | Image | Document | ToolUse | ToolResult | Thinking | RedactedThinking


def content_of(blocks: Sequence[Block]) -> str | list[dict[str, Any]]:
    """Blocks of a user as a message's content; a single text is a text.

    Raises:
        InvalidInput: a block is none that a chat has.
    """
    parts = [_part(block) for block in blocks if not isinstance(block, Thinking | RedactedThinking)]
    return parts[0]["text"] if [part["type"] for part in parts] == ["text"] else parts


def _part(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, Image | Document):
        source, is_image = block.source, isinstance(block, Image)
        if isinstance(block, Document) and source.type == "text":
            return {"type": "text", "text": source.data}
        if source.type == "base64" and source.media_type and source.data:
            url = f"data:{source.media_type};base64,{source.data}"
            if is_image:
                return {"type": "image_url", "image_url": {"url": url}}
            title = block.title if isinstance(block, Document) else None
            return {"type": "file", "file": {"filename": title or "document", "file_data": url}}
        if source.type == "url" and is_image:
            return {"type": "image_url", "image_url": {"url": source.url}}
        raise InvalidInput(
            f"The source {source.type[:40]!r} cannot be read here. Expected base64, or a picture's url."
        )
    raise InvalidInput("A block is of another role. Expected texts, pictures and documents.")


def result_text(result: ToolResult) -> str:
    """What a tool has said, as text."""
    said = result.content
    text = said if isinstance(said, str) else "\n".join(block.text for block in said)
    return f"{_FAILED}{text}" if result.is_error else text


def tool_call(use: ToolUse) -> dict[str, Any]:
    """A call as a chat has it."""
    arguments = msgspec.json.encode(use.input).decode()
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": arguments}}


def tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a block.

    Raises:
        InvalidInput: it is no call of a function, or what the tool is given is no JSON object.
    """
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise InvalidInput("'tool_calls' has one that is no function. Expected {'id', 'function': {...}}.")
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": arguments_of(function.get("arguments")),
    }


def arguments_of(text: Any) -> dict[str, Any]:
    """What a tool is given.

    Raises:
        InvalidInput: it is no JSON object.
    """
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, TypeError) as error:
        raise InvalidInput(f"The arguments of a tool are no JSON object: {error}.") from error


def text_blocks(content: Any) -> list[dict[str, Any]]:
    """A text as blocks: none where it is empty, which Anthropic refuses."""
    text = text_of(content)
    return [{"type": "text", "text": text}] if text else []


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """A user's content as blocks.

    Raises:
        InvalidInput: a part is none that Anthropic has.
    """
    if not isinstance(content, list):
        return text_blocks(content)
    return [block for part in content for block in _block(part)]


def _block(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    kind = part.get("type")
    if kind == "text":
        return text_blocks(part.get("text"))
    given = part.get(kind) if isinstance(kind, str) else None
    if kind == "image_url" and isinstance(given, Mapping):
        url = str(given.get("url") or "")
        return [{"type": "image", "source": _source(url) or {"type": "url", "url": url}}]
    if (
        kind == "file"
        and isinstance(given, Mapping)
        and (source := _source(str(given.get("file_data") or "")))
    ):
        title = given.get("filename")
        return [{"type": "document", "source": source, **({"title": title} if title else {})}]
    raise InvalidInput(
        f"Models of Anthropic cannot read a part {str(kind)[:40]!r}. Expected text, image_url or file."
    )


def _source(url: str) -> dict[str, Any] | None:
    """What a data URL holds."""
    found = _DATA.match(url)
    return None if found is None else {"type": "base64", "media_type": found[1], "data": url[found.end() :]}
