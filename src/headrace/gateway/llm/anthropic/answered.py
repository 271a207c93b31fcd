"""Whole answers: a chat completion as a message, and a message as a chat completion; refusals likewise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.blocks import ToolUse, arguments_of, tool_call
from headrace.gateway.llm.chat import text_of, usage_of

ERRORS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error",
}  # fmt: skip
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
          "content_filter": "refusal"}  # fmt: skip
_FINISHES = {"max_tokens": "length", "model_context_window_exceeded": "length", "tool_use": "tool_calls",
             "refusal": "content_filter"}  # fmt: skip
_UNSEEN = frozenset(("thinking", "redacted_thinking"))


def message_of(completion: Mapping[str, Any]) -> dict[str, Any]:
    """A chat completion as the Messages API gives it.

    >>> choice = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    >>> message_of({"id": "c", "model": "m", "choices": [choice]})["content"]
    [{'type': 'text', 'text': 'Hi'}]
    """
    choice = completion["choices"][0]
    said = choice["message"]
    text = text_of(said.get("content")) or text_of(said.get("refusal"))
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    for call in said.get("tool_calls") or ():
        function = call["function"]
        block = {"type": "tool_use", "id": call["id"], "name": function["name"]}
        content.append(block | {"input": arguments_of(function.get("arguments"))})
    stop = {"stop_reason": stop_of(choice), "stop_sequence": stop_sequence_of(choice)}
    return begun(completion) | {"content": content, "usage": used_of(completion.get("usage"))} | stop


def begun(completion: Mapping[str, Any]) -> dict[str, Any]:
    """A message of which nothing has been said yet."""
    return {
        "id": str(completion.get("id") or "msg"),
        "type": "message",
        "role": "assistant",
        "model": str(completion.get("model") or ""),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": used_of(None),
    }


def stop_of(choice: Mapping[str, Any]) -> str:
    """Why an answer ended, as the Messages API says it."""
    if stop_sequence_of(choice) is not None:
        return "stop_sequence"
    return _STOPS.get(str(choice.get("finish_reason")), "end_turn")


def stop_sequence_of(choice: Mapping[str, Any]) -> str | None:
    """The text at which an answer ended, where a provider says it: vLLM does, in this field."""
    found = choice.get("stop_reason")
    return found if isinstance(found, str) else None


def used_of(usage: Any) -> dict[str, Any]:
    """Tokens as the Messages API counts them: those from the cache, and into it, are not among the input."""
    used = usage_of(usage)
    cached = min(used.cached, used.input)
    written = min(used.written, used.input - cached)
    said = {
        "input_tokens": used.input - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": used.output,
    }
    if not written:
        return said
    hour = min(used.written_1h, written)
    by_time = {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour}
    return said | {"cache_creation": by_time}


def completion_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a chat completion.

    Raises:
        InvalidInput: it has what a completion cannot hold.
        KeyError, TypeError, AttributeError: it is no message.

    >>> said = {
    ...     "id": "m",
    ...     "model": "c",
    ...     "content": [{"type": "text", "text": "Hi"}],
    ...     "stop_reason": "end_turn",
    ... }
    >>> completion_of(said)["choices"][0]["message"]
    {'role': 'assistant', 'content': 'Hi', 'refusal': None}
    """
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in message["content"]:
        kind = block["type"]
        if kind == "text":
            texts.append(block["text"])
        elif kind == "tool_use":
            calls.append(tool_call(ToolUse(block["id"], block["name"], block["input"])))
        elif kind in _UNSEEN:
            thoughts.append(block.get("thinking") or "")
        else:
            raise InvalidInput(
                f"The provider's answer has a block {str(kind)[:40]!r}, which cannot be passed on."
            )
    said: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": None,
    }
    said |= {"tool_calls": calls} if calls else {}
    said |= {"reasoning_content": "".join(thoughts)} if any(thoughts) else {}
    choice = {"index": 0, "message": said, "logprobs": None, **finish_of(message)}
    usage = message.get("usage")
    made = head_of(message, "chat.completion") | {"choices": [choice]}
    return made if usage is None else made | {"usage": chat_usage_of(usage)}


def head_of(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What every piece of an answer begins with; when it was made Anthropic does not say."""
    return {"id": message["id"], "object": kind, "created": 0, "model": message.get("model") or ""}


def finish_of(stopped: Mapping[str, Any]) -> dict[str, Any]:
    """Why an answer ended, as a chat completion says it."""
    finish: dict[str, Any] = {"finish_reason": _FINISHES.get(str(stopped.get("stop_reason")), "stop")}
    sequence = stopped.get("stop_sequence")
    return finish if sequence is None else finish | {"stop_reason": sequence}


def chat_usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens as a chat completion counts them."""
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    told = usage["input_tokens"] + cached + written
    said = usage["output_tokens"]
    details = {"cached_tokens": cached}
    if written:
        details |= {"cache_creation_tokens": written, "cache_creation_1h_tokens": hour}
    return {
        "prompt_tokens": told,
        "completion_tokens": said,
        "total_tokens": told + said,
        "prompt_tokens_details": details,
    }


def error_body(status: int, message: str) -> bytes:
    """An error as the Messages API says it."""
    kind = ERRORS.get(status, "api_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


def error_text(body: bytes) -> str:
    """What a provider's refusal says, whichever of the two forms it has; itself where it has neither."""
    try:
        said = msgspec.json.decode(body)
        return str(said["error"]["message"])
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError):
        return body[:1_000].decode(errors="replace") or "The provider refused, and did not say why."
