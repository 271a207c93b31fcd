"""Answers: a chat completion as a response, whole or as the typed events of its stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from headrace.gateway.llm.chat import text_of, usage_of

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_PARTS = {"output_text": "text", "refusal": "refusal"}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Responding:
    """One response, as it comes.

    Args:
        repeated: what of the request it says again.
        created_s: when it was asked for, in seconds since 1970.

    >>> choice = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    >>> made = Responding({}, 0).whole({"model": "m", "choices": [choice]}, "a-1")
    >>> made["id"], made["status"], made["output"][0]["content"][0]["text"]
    ('resp_a1', 'completed', 'Hi')
    """

    def __init__(self, repeated: Mapping[str, Any], created_s: int) -> None:
        self._repeated = repeated
        self._created_s = created_s
        self._id = self._model = self._finish = ""
        self._usage: Any = None
        self._output: list[dict[str, Any]] = []
        self._calls: dict[int, int] = {}
        self._n_events = 0

    def whole(self, completion: Mapping[str, Any], answer_id: str) -> dict[str, Any]:
        """A whole answer.

        Raises:
            KeyError, TypeError, AttributeError: it is no chat completion.
        """
        choice = completion["choices"][0]
        said = choice["message"]
        self._begin(completion, answer_id)
        self._usage, self._finish = completion.get("usage"), str(choice.get("finish_reason"))
        for kind, text in _texts(said):
            self._output.append(self._message() | {"content": [_part(kind, text)]})
        for call in said.get("tool_calls") or ():
            made = self._call(call["id"], call["function"]["name"])
            self._output.append(made | {"arguments": call["function"].get("arguments") or ""})
        for item in self._output:
            item["status"] = "completed"
        return self._response()

    def add(self, data: bytes, answer_id: str) -> Iterator[bytes]:
        """The events that a chunk is."""
        chunk = _decode(data)
        if not self._id:
            self._begin(chunk, answer_id)
            for name in ("response.created", "response.in_progress"):
                yield self._event(name, response=self._response("in_progress"))
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            for kind, text in _texts(delta):
                yield from self._text(kind, text)
            for call in delta.get("tool_calls") or ():
                yield from self._given(call)
            self._finish = choice.get("finish_reason") or self._finish

    def end(self) -> Iterator[bytes]:
        """The events with which it ends."""
        for index, item in enumerate(self._output):
            if item["status"] != "completed":
                yield from self._close(index)
        made = self._response()
        yield self._event(f"response.{made['status']}", response=made)

    def broken(self, message: str, code: str | None) -> bytes:
        """The event by which it breaks off; ``error`` is what official clients raise."""
        said = {"code": code, "message": message, "param": None}
        return self._event("error", **said, error=said | {"type": "server_error"})

    def _begin(self, completion: Mapping[str, Any], answer_id: str) -> None:
        self._id, self._model = answer_id.replace("-", ""), str(completion.get("model") or "")

    def _response(self, status: str = "") -> dict[str, Any]:
        reason = _INCOMPLETE.get(self._finish)
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": self._created_s,
            "status": status or ("incomplete" if reason else "completed"),
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._model,
            "output": [] if status else self._output,
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
            "usage": None if status else _used(self._usage),
            **self._repeated,
        }

    def _message(self) -> dict[str, Any]:
        item_id = f"msg_{self._id}_{len(self._output)}"
        return {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}

    def _call(self, call_id: Any, name: Any) -> dict[str, Any]:
        item = {"id": f"fc_{self._id}_{len(self._output)}", "type": "function_call", "status": "in_progress"}
        return item | {"call_id": call_id, "name": name, "arguments": ""}

    def _text(self, kind: str, text: str) -> Iterator[bytes]:
        last = self._output[-1] if self._output else None
        if last is None or last["type"] != "message":
            yield from self._open(self._message())
        index = len(self._output) - 1
        content = self._output[index]["content"]
        if not content or content[-1]["type"] != kind:
            if content:
                yield from self._close_part(index)
            content.append(_part(kind, ""))
            yield self._event(
                "response.content_part.added", **self._place(index, part=True), part=_part(kind, "")
            )
        content[-1][_PARTS[kind]] += text
        logprobs: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        yield self._event(f"response.{kind}.delta", **self._place(index, part=True), delta=text, **logprobs)

    def _given(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        function = call.get("function") or {}
        place = call.get("index", 0)
        if place not in self._calls:
            if self._output and self._output[-1]["type"] == "message":
                yield from self._close(len(self._output) - 1)
            self._calls[place] = len(self._output)
            yield from self._open(self._call(call.get("id"), function.get("name")))
        index = self._calls[place]
        if arguments := function.get("arguments"):
            self._output[index]["arguments"] += arguments
            yield self._event("response.function_call_arguments.delta", **self._place(index), delta=arguments)

    def _open(self, item: dict[str, Any]) -> Iterator[bytes]:
        yield self._event("response.output_item.added", output_index=len(self._output), item=item)
        self._output.append(item)

    def _close(self, index: int) -> Iterator[bytes]:
        item = self._output[index]
        if item["type"] == "message":
            yield from self._close_part(index)
        else:
            said = {"arguments": item["arguments"], "name": item["name"]}
            yield self._event("response.function_call_arguments.done", **self._place(index), **said)
        item["status"] = "completed"
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _close_part(self, index: int) -> Iterator[bytes]:
        part, place = self._output[index]["content"][-1], self._place(index, part=True)
        kind, name = part["type"], _PARTS[part["type"]]
        logprobs: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        yield self._event(f"response.{kind}.done", **place, **{name: part[name]}, **logprobs)
        yield self._event("response.content_part.done", **place, part=part)

    def _place(self, index: int, *, part: bool = False) -> dict[str, Any]:
        item = self._output[index]
        place = {"item_id": item["id"], "output_index": index}
        return place | ({"content_index": len(item["content"]) - 1} if part else {})

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._n_events, **fields}
        self._n_events += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event))


def _texts(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is said, and what is refused to be said."""
    for kind, name in (("output_text", "content"), ("refusal", "refusal")):
        if text := text_of(said.get(name)):
            yield kind, text


def _part(kind: str, text: str) -> dict[str, Any]:
    beside: dict[str, Any] = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
    return {"type": kind, _PARTS[kind]: text, **beside}


def _used(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, Mapping):
        return None
    used = usage_of(usage)
    details = usage.get("completion_tokens_details")
    thought = details.get("reasoning_tokens") if isinstance(details, Mapping) else 0
    return {
        "input_tokens": used.input,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": used.written},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": thought if isinstance(thought, int) else 0},
        "total_tokens": used.input + used.output,
    }
