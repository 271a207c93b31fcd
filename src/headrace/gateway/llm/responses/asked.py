"""Requests: what a client of the Responses API asks, as a chat.

What needs a response that was stored, or a tool that the provider runs itself, is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.chat import require_some
from headrace.gateway.llm.reading import UNREADABLE, unreadable
from headrace.store.documents import convert

_STATELESS = "Nothing of a response is kept to go on from: send the whole conversation as 'input'."
_WHOLE = "All of the input goes to the model."
_REFUSED: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("previous_response_id", (None, ""), _STATELESS),
    ("conversation", (None,), _STATELESS),
    (
        "store",
        (None, False),
        "Nothing of a response is kept to be read again: leave it out. It is on record.",
    ),
    ("background", (None, False), "The answer comes with the call."),
    (
        "prompt",
        (None,),
        "The prompt is the release's; its variables go into 'headrace': {'variables': {...}}.",
    ),
    ("truncation", (None, "disabled"), _WHOLE),
    ("context_management", (None, []), _WHOLE),
    ("max_tool_calls", (None,), "Tools are run by who asks, who can count them."),
    ("moderation", (None,), "The guards of the release look at every call."),
    ("top_logprobs", (None, 0), "Guards look at whole texts, and not at tokens."),
    ("include", (None, [], ["reasoning.encrypted_content"]), "There is nothing more to include."),
)
"""What is not there, the values at which nothing is missed, and what to do instead."""


class _InputText(msgspec.Struct, tag="input_text"):
    text: str


class _OutputText(msgspec.Struct, tag="output_text"):
    text: str


class _Refusal(msgspec.Struct, tag="refusal"):
    refusal: str


class _Image(msgspec.Struct, tag="input_image"):
    image_url: str | None = None
    detail: str | None = None


class _File(msgspec.Struct, tag="input_file"):
    file_data: str | None = None
    filename: str | None = None


_Part = _InputText | _OutputText | _Refusal | _Image | _File


class _Message(msgspec.Struct, tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part]


class _Call(msgspec.Struct, tag="function_call"):
    call_id: str
    name: str
    arguments: str


class _Output(msgspec.Struct, tag="function_call_output"):
    call_id: str
    output: str | list[_InputText]


class _Reasoning(msgspec.Struct, tag="reasoning"):
    """What a model thought; it says nothing to another one."""


class _Tool(msgspec.Struct, tag="function"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Choice(msgspec.Struct, tag="function"):
    name: str


class _Plain(msgspec.Struct, tag="text"):
    pass


class _Json(msgspec.Struct, tag="json_object"):
    pass


class _Schema(msgspec.Struct, tag="json_schema"):
    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    format: _Plain | _Json | _Schema | None = None
    verbosity: str | None = None


class _Thought(msgspec.Struct):
    effort: str | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    model: str
    input: str | list[_Message | _Call | _Output | _Reasoning]
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | _Choice | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Thought | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    headrace: dict[str, Any] | None = None
    # Hints, which change nothing of an answer.
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    service_tier: Any = None
    stream_options: Any = None
    # Refused, unless they say what holds anyhow.
    previous_response_id: Any = None
    conversation: Any = None
    store: Any = None
    background: Any = None
    prompt: Any = None
    truncation: Any = None
    context_management: Any = None
    max_tool_calls: Any = None
    moderation: Any = None
    top_logprobs: Any = None
    include: Any = None


_decode = msgspec.json.Decoder(dict[str, Any]).decode


def chat_of(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a client asks as the fields of a chat, and what of its own words its answer repeats.

    Raises:
        InvalidInput: it is no such request, or asks for what is not there; the message names it.

    >>> chat_of(b'{"model": "support", "input": "Hi", "max_output_tokens": 9}')[0]
    {'model': 'support', 'messages': [{'role': 'user', 'content': 'Hi'}], 'max_completion_tokens': 9}
    """
    try:
        raw = _decode(body)
        asked = convert(_typed(raw), _Request)
    except UNREADABLE as error:
        raise InvalidInput(f"The body is no request that can be answered: {unreadable(error)}.") from error
    for name, usual, instead in _REFUSED:
        if getattr(asked, name) not in usual:
            raise InvalidInput(f"'{name}' is not there. {instead}")
    require_some("max_output_tokens", asked.max_output_tokens)
    messages = [] if asked.instructions is None else [{"role": "system", "content": asked.instructions}]
    text = asked.text or _Text()
    chat = {
        "model": asked.model,
        "messages": messages + _messages(asked.input),
        "max_completion_tokens": asked.max_output_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stream": asked.stream,
        # The last event says what was used, whether or not it was asked for.
        "stream_options": {"include_usage": True} if asked.stream else None,
        "tools": [_function(tool) for tool in asked.tools] if asked.tools else None,
        "tool_choice": _choice(asked.tool_choice),
        "parallel_tool_calls": asked.parallel_tool_calls if asked.tools else None,
        "response_format": _format(text.format),
        "verbosity": text.verbosity,
        "reasoning_effort": asked.reasoning.effort if asked.reasoning else None,
        "user": asked.user,
        "safety_identifier": asked.safety_identifier,
        "headrace": asked.headrace,
    }
    return {name: value for name, value in chat.items() if value is not None}, _repeated(raw)


def _typed(raw: dict[str, Any]) -> dict[str, Any]:
    """With the type of each message, which may be left out."""
    items = raw.get("input")
    if not isinstance(items, list):
        return raw
    made = [
        {"type": "message", **item} if isinstance(item, dict) and "role" in item else item for item in items
    ]
    return raw | {"input": made}


def _repeated(raw: dict[str, Any]) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "user": None,
    }
    return {name: value if raw.get(name) is None else raw[name] for name, value in usual.items()}


def _messages(said: str | Sequence[_Message | _Call | _Output | _Reasoning]) -> list[dict[str, Any]]:
    """A call belongs to the message of the model before it, as in a chat."""
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    made: list[dict[str, Any]] = []
    for item in said:
        if isinstance(item, _Message):
            made.append({"role": item.role, "content": _content(item)})
        elif isinstance(item, _Call):
            if not made or made[-1]["role"] != "assistant":
                made.append({"role": "assistant", "content": None})
            function = {"name": item.name, "arguments": item.arguments}
            call = {"id": item.call_id, "type": "function", "function": function}
            made[-1].setdefault("tool_calls", []).append(call)
        elif isinstance(item, _Output):
            text = item.output if isinstance(item.output, str) else "\n".join(p.text for p in item.output)
            made.append({"role": "tool", "tool_call_id": item.call_id, "content": text})
    return made


def _content(message: _Message) -> str | list[dict[str, Any]]:
    if isinstance(message.content, str):
        return message.content
    parts = [_part(part) for part in message.content]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if message.role != "user" and len(texts) == len(parts):
        return "".join(texts) if message.role == "assistant" else "\n\n".join(texts)
    return texts[0] if len(texts) == len(parts) == 1 else parts


def _part(part: _Part) -> dict[str, Any]:
    if isinstance(part, _InputText | _OutputText):
        return {"type": "text", "text": part.text}
    if isinstance(part, _Refusal):
        return {"type": "text", "text": part.refusal}
    if isinstance(part, _Image) and part.image_url:
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
    if isinstance(part, _File) and part.file_data:
        return {
            "type": "file",
            "file": {"filename": part.filename or "document", "file_data": part.file_data},
        }
    raise InvalidInput(
        "A picture or a file is named by its id. Expected 'image_url' or 'file_data': no file is kept."
    )


def _function(tool: _Tool) -> dict[str, Any]:
    said = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    function = {name: value for name, value in (said | {"strict": tool.strict}).items() if value is not None}
    return {"type": "function", "function": function}


def _choice(choice: str | _Choice | None) -> Any:
    if isinstance(choice, _Choice):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def _format(said: _Plain | _Json | _Schema | None) -> dict[str, Any] | None:
    if isinstance(said, _Schema):
        schema = {
            "name": said.name,
            "description": said.description,
            "schema": said.schema,
            "strict": said.strict,
        }
        form = {name: value for name, value in schema.items() if value is not None}
        return {"type": "json_schema", "json_schema": form}
    return {"type": "json_object"} if isinstance(said, _Json) else None
