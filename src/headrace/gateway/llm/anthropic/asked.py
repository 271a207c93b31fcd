"""Requests: what Anthropic's clients send as a chat, and a chat as Anthropic's models want it.

What has no counterpart on the other side is refused by name, and never left out in silence; hints without
which an answer is an answer too (``cache_control``, ``service_tier``, ``seed``) are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.blocks import (
    Block,
    Document,
    Image,
    Text,
    ToolResult,
    ToolUse,
    blocks_of,
    content_of,
    result_text,
    text_blocks,
    tool_call,
    tool_use,
)
from headrace.gateway.llm.chat import require_some, text_of
from headrace.gateway.llm.reading import UNREADABLE, unreadable

ANSWER_TOKENS = 4_096
"""The most that an answer may have where nobody says it: Anthropic wants a number."""
_FIXED = frozenset(
    "messages max_tokens max_completion_tokens stop tools tool_choice parallel_tool_calls response_format "
    "reasoning_effort".split()
)
"""Has a counterpart of another form."""
_HINTS = frozenset("stream_options seed verbosity".split())
_USUAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"], []),
    "audio": (),
    "prediction": (),
    "functions": ([],),
    "function_call": (),
}
"""What Anthropic has no counterpart for, and the values at which none is missed."""
_EFFORTS = frozenset("low medium high xhigh max".split())
_NO_ARGUMENTS = {"type": "object", "properties": {}}


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class _Tool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    type: Literal["custom"] | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    effort: str | None = None
    format: _Format | None = None


class _Thinking(msgspec.Struct):
    type: Literal["disabled"]


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    model: str
    max_tokens: int
    messages: list[_Message]
    system: str | list[Text] | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stream: bool | None = None
    metadata: _Metadata | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    output_config: _Output | None = None
    thinking: _Thinking | None = None
    cache_control: Any = None
    service_tier: Any = None
    headrace: dict[str, Any] | None = None


_request = msgspec.json.Decoder(_Request)


def chat_of(body: bytes) -> dict[str, Any]:
    """What a client of the Messages API asks, as the fields of a chat.

    Raises:
        InvalidInput: it is no such request, or asks for what a chat cannot give; the message names the place.

    >>> chat_of(b'{"model": "support", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}')
    {'model': 'support', 'max_completion_tokens': 9, 'messages': [{'role': 'user', 'content': 'Hi'}]}
    """
    try:
        raw = _request.decode(body)
    except UNREADABLE as error:
        raise InvalidInput(f"The body is no request that can be answered: {unreadable(error)}.") from error
    require_some("max_tokens", raw.max_tokens)
    messages = [] if raw.system is None else [{"role": "system", "content": _joined(raw.system)}]
    for message in raw.messages:
        messages += _chat_messages(message)
    same = {"temperature": raw.temperature, "top_p": raw.top_p, "top_k": raw.top_k, "stream": raw.stream}
    chat = {
        "model": raw.model,
        "max_completion_tokens": raw.max_tokens,
        "messages": messages,
        **same,
        "stop": raw.stop_sequences or None,
        "user": None if raw.metadata is None else raw.metadata.user_id,
        "tools": None if raw.tools is None else [_function(tool) for tool in raw.tools],
        "headrace": raw.headrace,
        # The last event says what was used, whether or not it was asked for.
        "stream_options": {"include_usage": True} if raw.stream else None,
    }
    if raw.tool_choice is not None:
        chat |= _chat_choice(raw.tool_choice)
    if raw.output_config is not None:
        chat |= _chat_output(raw.output_config)
    return {name: value for name, value in chat.items() if value is not None}


def _joined(system: str | list[Text]) -> str:
    return system if isinstance(system, str) else "\n\n".join(block.text for block in system)


def _chat_messages(message: _Message) -> Iterator[dict[str, Any]]:
    """The messages of a chat that one message is: each result of a tool is one of its own there."""
    if isinstance(message.content, str):
        yield {"role": message.role, "content": message.content}
        return
    results = [block for block in message.content if isinstance(block, ToolResult)]
    uses = [block for block in message.content if isinstance(block, ToolUse)]
    rest = [block for block in message.content if not isinstance(block, ToolResult | ToolUse)]
    pictures = [block for block in rest if isinstance(block, Image | Document)]
    strange: dict[str, list[Block]] = {
        "user": [*uses],
        "assistant": [*results, *pictures],
        "system": [*results, *uses, *pictures],
    }
    if wrong := strange[message.role]:
        what = wrong[0].__struct_config__.tag
        raise InvalidInput(f"A message of role {message.role!r} has a block {what!r} of another role.")
    for result in results:
        yield {"role": "tool", "tool_call_id": result.tool_use_id, "content": result_text(result)}
    if message.role == "assistant":
        said = "".join(block.text for block in rest if isinstance(block, Text))
        made: dict[str, Any] = {"role": "assistant", "content": said or None}
        yield made | ({"tool_calls": [tool_call(use) for use in uses]} if uses else {})
    elif rest or not results:
        yield {"role": message.role, "content": content_of(rest)}


def _function(tool: _Tool) -> dict[str, Any]:
    said = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    function = {name: value for name, value in said.items() if value is not None}
    return {
        "type": "function",
        "function": function | ({} if tool.strict is None else {"strict": tool.strict}),
    }


def _chat_choice(choice: _Choice) -> dict[str, Any]:
    made: Any = {"auto": "auto", "any": "required", "none": "none"}.get(choice.type)
    if made is None:
        made = {"type": "function", "function": {"name": choice.name or ""}}
    return {"tool_choice": made} | (
        {"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {}
    )


def _chat_output(output: _Output) -> dict[str, Any]:
    made: dict[str, Any] = {} if output.effort is None else {"reasoning_effort": output.effort}
    if output.format is not None:
        schema = {"name": "answer", "schema": output.format.schema, "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    return made


def request_of(chat: Mapping[str, Any]) -> dict[str, Any]:
    """A chat as the body for one of Anthropic's models; fields that OpenAI does not have go on as they are.

    Raises:
        InvalidInput: it asks for what Anthropic has no counterpart for.

    >>> hi = {"role": "user", "content": "Hi"}
    >>> request_of({"model": "m", "messages": [{"role": "system", "content": "Be kind."}, hi], "stop": "."})
    {'model': 'm', 'max_tokens': 4096, 'messages': [{'role': 'user', 'content': 'Hi'}], 'system': 'Be kind.', 'stop_sequences': ['.']}
    """  # noqa: E501  one line of output
    limits = [n for name in ("max_completion_tokens", "max_tokens") if isinstance(n := chat.get(name), int)]
    messages = chat["messages"]
    system = [text_of(m.get("content")) for m in messages if m["role"] in ("system", "developer")]
    stop = chat.get("stop")
    made: dict[str, Any] = {
        "model": chat.get("model"),
        "max_tokens": max(limits, default=ANSWER_TOKENS),
        "messages": _merged(_messages(messages)),
        "system": "\n\n".join(text for text in system if text) or None,
        "stop_sequences": [stop] if isinstance(stop, str) else stop,
    }
    for name, value in chat.items():
        if name in _USUAL:
            if value is not None and value not in _USUAL[name]:
                raise InvalidInput(f"Models of Anthropic have nothing like {name!r}. Leave it out.")
        elif name not in _FIXED and name not in _HINTS:
            made[name] = value
    if chat.get("tools"):
        made["tools"] = [_tool(tool) for tool in chat["tools"]]
    made |= _choice(chat) | _output(chat, made.get("output_config") or {})
    return {name: value for name, value in made.items() if value is not None}


def _messages(messages: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "user":
            yield "user", blocks_of(content)
        elif role == "assistant":
            if message.get("function_call"):
                raise InvalidInput(
                    "A message has 'function_call', which is the old form. Expected 'tool_calls'."
                )
            said = text_blocks(content) or text_blocks(message.get("refusal"))
            yield "assistant", [*said, *(tool_use(call) for call in message.get("tool_calls") or ())]
        elif role == "tool":
            call_id = message.get("tool_call_id")
            yield "user", [{"type": "tool_result", "tool_use_id": call_id, "content": text_of(content)}]
        elif role == "function":
            raise InvalidInput("A message has the role 'function', which is the old form. Expected 'tool'.")


def _merged(said: Iterable[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """One message for all that follow each other and are of the same role; a single text is a text."""
    whole: list[tuple[str, list[dict[str, Any]]]] = []
    for role, blocks in said:
        if whole and whole[-1][0] == role:
            whole[-1][1].extend(blocks)
        else:
            whole.append((role, list(blocks)))
    return [
        {
            "role": role,
            "content": blocks[0]["text"] if [b["type"] for b in blocks] == ["text"] else blocks,
        }
        for role, blocks in whole
        if blocks
    ]


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidInput(
            "'tools' has one that is no function. Expected {'type': 'function', 'function': {...}}."
        )
    schema = function.get("parameters") or _NO_ARGUMENTS
    said = {"name": function["name"], "description": function.get("description"), "input_schema": schema}
    said["strict"] = function.get("strict")
    return {name: value for name, value in said.items() if value is not None}


def _choice(chat: Mapping[str, Any]) -> dict[str, Any]:
    asked, alone = chat.get("tool_choice"), chat.get("parallel_tool_calls") is False
    if asked is None and not (alone and chat.get("tools")):
        return {}
    if isinstance(asked, Mapping):
        name = (asked.get("function") or {}).get("name")
        if not isinstance(name, str):
            raise InvalidInput("'tool_choice' names no function. Expected {'function': {'name': ...}}.")
        choice: dict[str, Any] = {"type": "tool", "name": name}
    else:
        kind = {None: "auto", "auto": "auto", "required": "any", "none": "none"}.get(asked)
        if kind is None:
            raise InvalidInput("'tool_choice' is unknown. Expected auto, required, none or a function.")
        choice = {"type": kind}
    if alone and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tool_choice": choice}


def _output(chat: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(given)
    if (effort := chat.get("reasoning_effort")) in _EFFORTS:
        made["effort"] = effort
    wanted = chat.get("response_format") or {"type": "text"}
    form = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    if isinstance(form, Mapping):
        made["format"] = {"type": "json_schema", "schema": form.get("schema") or {}}
    elif wanted != {"type": "text"}:
        raise InvalidInput("Models of Anthropic answer as text or by a JSON schema. Expected 'json_schema'.")
    return {"output_config": made} if made else {}
