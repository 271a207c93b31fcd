"""Answers in pieces: the events of a message as chunks of a chat completion, and chunks as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.anthropic.answered import (
    begun,
    chat_usage_of,
    error_text,
    finish_of,
    head_of,
    stop_of,
    stop_sequence_of,
    used_of,
)
from headrace.gateway.llm.chat import text_of
from headrace.gateway.llm.reading import UNREADABLE

DONE = b"[DONE]"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Chunks:
    """Takes the events of one message and gives the chunks that they are.

    >>> said = {"id": "m", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}}
    >>> (
    ...     list(Chunks().add(b'{"type": "ping"}')),
    ...     len(list(Chunks().add(_encode({"type": "message_start", "message": said})))),
    ... )
    ([], 1)
    """

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._tools: dict[int, int] = {}
        self._empty: set[int] = set()

    def add(self, data: bytes) -> Iterator[bytes]:
        """The chunks that an event is, the last one ``[DONE]``.

        Raises:
            InvalidInput: it is no event of a message, or one that cannot be passed on.
        """
        try:
            event = _decode(data)
            yield from self._made(event)
        except (*UNREADABLE, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"An event is none of a message ({type(error).__name__}).") from error

    def _made(self, event: Mapping[str, Any]) -> Iterator[bytes]:
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
            self._head = head_of(message, "chat.completion.chunk")
            self._usage = dict(message.get("usage") or {})
            yield self._chunk({"role": "assistant", "content": ""})
        elif kind == "content_block_start":
            yield from self._begin(event["index"], event["content_block"])
        elif kind == "content_block_delta":
            yield from self._go_on(event["index"], event["delta"])
        elif kind == "content_block_stop":
            if event["index"] in self._empty:  # a tool that is given nothing
                yield self._call(self._tools[event["index"]], {"function": {"arguments": "{}"}})
        elif kind == "message_delta":
            self._usage |= {name: n for name, n in (event.get("usage") or {}).items() if n is not None}
            yield self._chunk({}, finish_of(event["delta"]))
        elif kind == "message_stop":
            if self._usage:
                yield _encode(self._head | {"choices": [], "usage": chat_usage_of(self._usage)})
            yield DONE
        elif kind == "error":
            yield _encode({"error": {"message": error_text(_encode(event)), "type": "server_error"}})

    def _begin(self, index: int, block: Mapping[str, Any]) -> Iterator[bytes]:
        kind = block["type"]
        if kind == "tool_use":
            self._tools[index] = len(self._tools)
            self._empty.add(index)
            call = {"id": block["id"], "type": "function"}
            yield self._call(
                self._tools[index], call | {"function": {"name": block["name"], "arguments": ""}}
            )
        elif kind == "text":
            if block.get("text"):
                yield self._chunk({"content": block["text"]})
        elif kind not in ("thinking", "redacted_thinking"):
            raise InvalidInput(f"An event begins a block {str(kind)[:40]!r}, which cannot be passed on.")

    def _go_on(self, index: int, delta: Mapping[str, Any]) -> Iterator[bytes]:
        kind = delta["type"]
        if kind == "text_delta":
            yield self._chunk({"content": delta["text"]})
        elif kind == "thinking_delta":
            yield self._chunk({"reasoning_content": delta["thinking"]})
        elif kind == "input_json_delta" and delta["partial_json"]:
            self._empty.discard(index)
            yield self._call(self._tools[index], {"function": {"arguments": delta["partial_json"]}})

    def _call(self, index: int, call: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [{"index": index, **call}]})

    def _chunk(self, delta: dict[str, Any], finish: dict[str, Any] | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, **(finish or {"finish_reason": None})}
        return _encode(self._head | {"choices": [choice]})


class Events:
    """Takes the chunks of one chat completion and gives the events of the message that it is.

    Blocks come one after the other there: a call of a tool waits while another one is not whole.
    """

    def __init__(self) -> None:
        self._n_blocks = 0
        self._open: int | str | None = None
        self._waiting: dict[int, list[dict[str, Any]]] = {}
        self._begun = False
        self._last: Mapping[str, Any] = {}
        self._usage: Any = None

    def add(self, data: bytes) -> Iterator[bytes]:
        """The events, named, that a chunk is as far as they can be given now."""
        chunk = _decode(data)
        if not self._begun:
            self._begun = True
            yield _named({"type": "message_start", "message": begun(chunk)})
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if text := text_of(delta.get("content")) or text_of(delta.get("refusal")):
                yield from self._text(text)
            for call in delta.get("tool_calls") or ():
                yield from self._call(call)
            if choice.get("finish_reason"):
                self._last = choice

    def end(self) -> Iterator[bytes]:
        """The events with which it ends."""
        yield from self._close()
        for index in sorted(self._waiting):
            for call in self._waiting[index]:
                yield from self._given(index, call)
            yield from self._close()
        stop = {"stop_reason": stop_of(self._last), "stop_sequence": stop_sequence_of(self._last)}
        yield _named({"type": "message_delta", "delta": stop, "usage": used_of(self._usage)})
        yield _named({"type": "message_stop"})

    def _text(self, text: str) -> Iterator[bytes]:
        if self._open != "text":
            yield from self._close()
            yield from self._open_block("text", {"type": "text", "text": ""})
        yield self._delta({"type": "text_delta", "text": text})

    def _call(self, call: dict[str, Any]) -> Iterator[bytes]:
        index = call.get("index", 0)
        if self._open in (None, "text", index) and index not in self._waiting:
            yield from self._given(index, call)
        else:
            self._waiting.setdefault(index, []).append(call)

    def _given(self, index: int, call: dict[str, Any]) -> Iterator[bytes]:
        function = call.get("function") or {}
        if self._open != index:
            yield from self._close()
            block: dict[str, Any] = {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": {},
            }
            yield from self._open_block(index, block)
        if arguments := function.get("arguments"):
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _open_block(self, what: int | str, block: dict[str, Any]) -> Iterator[bytes]:
        self._open = what
        yield _named({"type": "content_block_start", "index": self._n_blocks, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _named({"type": "content_block_delta", "index": self._n_blocks, "delta": delta})

    def _close(self) -> Iterator[bytes]:
        if self._open is not None:
            yield _named({"type": "content_block_stop", "index": self._n_blocks})
            self._open, self._n_blocks = None, self._n_blocks + 1


def _named(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event))
