"""What a scripted model says, and what goes wrong: as data, and as the bytes that a provider would send."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

CREATED_S = 1_767_225_600
"""When every answer was made: the same request gets the same bytes."""
MODEL = "scripted-1"
_PIECES = re.compile(r"\s*\S+|\s+")
_WIDTH = 8


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says, and how it is sent.

    Attributes:
        text: what it says; streamed word by word, or as ``pieces``.
        pieces: the parts in which ``text`` is streamed.
        tools: the tools it calls: name and arguments (JSON text) of each.
        prompt_tokens, cached_tokens, completion_tokens: what it says that was used; None counts the pieces.
        delay_s: how long nothing is sent.
        pause_s: how long it waits between the events of a stream.
        cut_after: the connection is cut after so many events; of a whole answer, after half of it.
        stall_after: nothing more is sent after so many events, and the connection stays open.
        is_endless: the stream repeats its text until somebody goes.
        without_done: the stream ends without its last event.
    """

    text: str = "This is a scripted answer."
    pieces: tuple[str, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    prompt_tokens: int = 10
    cached_tokens: int = 0
    completion_tokens: int | None = None
    delay_s: float = 0.0
    pause_s: float = 0.0
    cut_after: int | None = None
    stall_after: int | None = None
    is_endless: bool = False
    without_done: bool = False

    @property
    def parts(self) -> Sequence[str]:
        """The text as it is streamed."""
        return self.pieces or _PIECES.findall(self.text)

    @property
    def said(self) -> str:
        """The whole text."""
        return "".join(self.pieces) or self.text

    @property
    def n_said(self) -> int:
        """How many tokens it says that it has made."""
        return len(self.parts) if self.completion_tokens is None else self.completion_tokens


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An error in the provider's own form; ``retry_after`` as the header has it, None for no such header."""

    status: int = 429
    retry_after: str | None = None
    message: str = "The script says no."
    delay_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Exactly these bytes, whatever was asked; with ``cut`` the connection ends before a last one comes."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    delay_s: float = 0.0
    cut: bool = False

    @classmethod
    def stream(cls, body: bytes) -> Raw:
        """A whole stream of events, right or wrong."""
        return cls(body=body, content_type="text/event-stream")


@dataclass(frozen=True)
class Closes:
    """The connection is closed without a byte."""


WRONG_JSON = Raw(body=b'{"id": "chatcmpl-scripted", "choices": [')
MALFORMED_STREAM = Raw.stream(b'data: {"id": "chatcmpl-scripted"\n\nnonsense\n\ndata: [DONE]\n\n')


def huge_chunk(size_bytes: int) -> Raw:
    """A stream with one event of so many bytes, and no end."""
    return Raw.stream(b"data: " + b"x" * size_bytes)


Scripted = Answer | Refusal | Raw | Closes


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """What of a request decides the form of its answer."""

    model: str = MODEL
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    n: int | None = 1
    input: str | list[Any] = ""
    dimensions: int | None = None
    encoding_format: str | None = "float"

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with what was used."""
        return self.stream_options is not None and self.stream_options.include_usage


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def refusal_body(refusal: Refusal, *, anthropic: bool) -> bytes:
    """The error as its provider writes it."""
    kind = {401: "authentication_error", 429: "rate_limit_error", 500: "api_error"}.get(
        refusal.status, "invalid_request_error"
    )
    if anthropic:
        return _json({"type": "error", "error": {"type": kind, "message": refusal.message}})
    return _json({"error": {"message": refusal.message, "type": kind, "param": None, "code": None}})


def models_body(models: Sequence[str]) -> bytes:
    """The list of models, as OpenAI writes it."""
    listed = [
        {"id": m, "object": "model", "created": CREATED_S, "owned_by": "headrace-script"} for m in models
    ]
    return _json({"object": "list", "data": listed})


def embeddings_body(wanted: Wanted) -> bytes:
    """A vector for each text: the same for the same text, and different for another."""
    several = isinstance(wanted.input, list) and all(isinstance(i, str | list) for i in wanted.input)
    texts = wanted.input if several else [wanted.input]
    vectors = [_vector(_json(text), wanted.dimensions or _WIDTH) for text in texts]
    packed = wanted.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if packed else v,
        }
        for i, v in enumerate(vectors)
    ]
    used = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return _json({"object": "list", "data": data, "model": wanted.model, "usage": used})


def moderations_body(wanted: Wanted) -> bytes:
    """A verdict for each input: a text with ``hate`` or ``kill`` in it is flagged."""
    inputs: list[Any] = wanted.input if isinstance(wanted.input, list) else [wanted.input]
    if inputs and isinstance(inputs[0], dict):
        inputs = [_json(inputs).decode()]
    results = []
    for text in inputs:
        found = {"hate": "hate" in text, "violence": "kill" in text}
        scores = {name: 0.9 if holds else 0.01 for name, holds in found.items()}
        results.append({"flagged": any(found.values()), "categories": found, "category_scores": scores})
    return _json({"id": "modr-scripted", "model": wanted.model, "results": results})


def _vector(text: bytes, width: int) -> list[float]:
    drawn = hashlib.shake_128(text).digest(width)
    return [(byte - 127.5) / 128 for byte in drawn]


# --- OpenAI --------------------------------------------------------------------------------------------


def chat_body(answer: Answer, wanted: Wanted) -> bytes:
    """A whole chat completion, as OpenAI writes it."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.said, "refusal": None}
    if answer.tools:
        message |= {"content": None, "tool_calls": _tool_calls(answer)}
    choices = [
        {"index": i, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        for i in range(wanted.n or 1)
    ]
    return _json(_chat("chat.completion", wanted) | {"choices": choices, "usage": _used(answer, wanted)})


def chat_events(answer: Answer, wanted: Wanted) -> Iterator[bytes]:
    """The events of a streamed chat completion; without end if the answer is endless."""
    head = _chat("chat.completion.chunk", wanted) | ({"usage": None} if wanted.with_usage else {})

    def event(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: %b\n\n" % _json(head | {"choices": [choice]})

    everybody = range(wanted.n or 1)
    for i in everybody:
        yield event(i, {"role": "assistant", "content": None if answer.tools else ""})
    if answer.tools:
        for i in everybody:
            for at, call in enumerate(_tool_calls(answer)):
                yield event(i, {"tool_calls": [{"index": at, **call}]})
    else:
        yield from _said(answer, [[event(i, {"content": part}) for i in everybody] for part in answer.parts])
    for i in everybody:
        yield event(i, {}, _finish(answer))
    if wanted.with_usage:
        yield b"data: %b\n\n" % _json(head | {"choices": [], "usage": _used(answer, wanted)})
    if not answer.without_done:
        yield b"data: [DONE]\n\n"


def _said(answer: Answer, parts: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    while True:
        for part in parts:
            yield from part
        if not answer.is_endless:
            return


def _chat(kind: str, wanted: Wanted) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": CREATED_S, "model": wanted.model}


def _tool_calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"id": f"call_scripted_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(answer.tools)
    ]


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.tools else "stop"


def _used(answer: Answer, wanted: Wanted) -> dict[str, Any]:
    n_said = answer.n_said * (wanted.n or 1)
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": n_said,
        "total_tokens": answer.prompt_tokens + n_said,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
    }


# --- Anthropic -----------------------------------------------------------------------------------------


def message_body(answer: Answer, wanted: Wanted) -> bytes:
    """A whole message, as Anthropic writes it."""
    blocks = [
        {
            "type": "tool_use",
            "id": f"toolu_scripted_{i}",
            "name": name,
            "input": msgspec.json.decode(arguments),
        }
        for i, (name, arguments) in enumerate(answer.tools)
    ] or [{"type": "text", "text": answer.said}]
    return _json(_message(answer, wanted, answer.n_said) | {"content": blocks, "stop_reason": _stop(answer)})


def message_events(answer: Answer, wanted: Wanted) -> Iterator[bytes]:
    """The events of a streamed message; without end if the answer is endless."""
    yield _named({"type": "message_start", "message": _message(answer, wanted, 1)})
    for i, (name, arguments) in enumerate(answer.tools):
        block = {"type": "tool_use", "id": f"toolu_scripted_{i}", "name": name, "input": {}}
        yield _named({"type": "content_block_start", "index": i, "content_block": block})
        delta = {"type": "input_json_delta", "partial_json": arguments}
        yield _named({"type": "content_block_delta", "index": i, "delta": delta})
        yield _named({"type": "content_block_stop", "index": i})
    if not answer.tools:
        block = {"type": "text", "text": ""}
        yield _named({"type": "content_block_start", "index": 0, "content_block": block})
        yield _named({"type": "ping"})
        deltas = [{"type": "text_delta", "text": part} for part in answer.parts]
        yield from _said(
            answer, [[_named({"type": "content_block_delta", "index": 0, "delta": d})] for d in deltas]
        )
        yield _named({"type": "content_block_stop", "index": 0})
    stop = {"stop_reason": _stop(answer), "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": stop, "usage": {"output_tokens": answer.n_said}})
    if not answer.without_done:
        yield _named({"type": "message_stop"})


def _named(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _json(event))


def _message(answer: Answer, wanted: Wanted, n_said: int) -> dict[str, Any]:
    used = {
        "input_tokens": answer.prompt_tokens - answer.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached_tokens,
        "output_tokens": n_said,
    }
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": wanted.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": used,
    }


def _stop(answer: Answer) -> str:
    return "tool_use" if answer.tools else "end_turn"
