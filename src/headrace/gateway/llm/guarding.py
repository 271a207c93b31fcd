"""The guards in the path of one call: what a caller sends, and what the model says to it.

Where no guard changes anything, the bytes of the provider go on as they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from headrace.core.errors import UserError
from headrace.gateway.guardrails.guards import Context, Hit
from headrace.gateway.guardrails.messages import check_answer, check_request
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.placeholders import Placeholders
from headrace.gateway.guardrails.rules import guardrails_of, pipeline_of
from headrace.gateway.guardrails.streams import CheckedStream
from headrace.gateway.prompts import Prompt

_SECRETS = {
    "action": "pass",
    "actions": {"SECRET": "mask"},
    "layers": ["input", "context", "tool_arguments", "tool_result"],
}
_encode = msgspec.json.Encoder().encode


class Blocked(UserError):
    """A guard lets nothing through; the message names the rules, and nothing of the text."""


def guards_of(prompt: Prompt, *, personal: bool) -> Pipeline:
    """The guards of a release: those of its prompt, and unless it says otherwise secrets are masked, of data
    about people everything that is recognised, and what looks like an order to the model is flagged.

    Args:
        personal: whether the project's data is about people.

    >>> [guard.name for guard in guards_of(Prompt(template="", models=("a/b",)), personal=True).guards]
    ['personal', 'injection']
    """
    usual = {"personal": {} if personal else _SECRETS, "injection": {}}
    return pipeline_of(guardrails_of(usual | prompt.guardrails))


class Guarded:
    """The guards of one call; not to be shared.

    Attributes:
        sources: what the answer may rest on.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.hits: list[Hit] = []
        self._pipeline = pipeline
        self._placeholders = Placeholders()
        self._masked = False
        self._looks = any("output" in guard.layers for guard in pipeline.guards)
        self._streams: dict[int, CheckedStream] = {}
        self.sources: tuple[str, ...] = ()

    @property
    def said(self) -> list[str]:
        """Rule, layer and action of each hit, once each, as it is recorded."""
        return list(dict.fromkeys(f"{hit.rule} {hit.layer} {hit.action}" for hit in self.hits))

    def request(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages as they may leave.

        Raises:
            Blocked: they may not.
        """
        checked = check_request(self._pipeline, messages, self._placeholders)
        self.hits += checked.all_hits
        if checked.blocked:
            raise Blocked(checked.reason)
        self._masked = any(hit.action == "mask" for hit in self.hits)
        return list(checked.messages)

    def answer(self, body: bytes) -> bytes:
        """A whole answer as its caller may have it, with what was masked of their own in its place again.

        Raises:
            Blocked: they may not.
        """
        if not (self._looks or self._masked):
            return body
        raw = msgspec.json.decode(body)
        before = [choice["message"] for choice in raw["choices"]]
        for choice, message in zip(raw["choices"], before, strict=True):
            checked = check_answer(
                self._pipeline, message, sources=self.sources, placeholders=self._placeholders
            )
            self.hits += checked.all_hits
            if checked.blocked:
                raise Blocked(checked.reason)
            choice["message"] = checked.messages[0]
        return body if [choice["message"] for choice in raw["choices"]] == before else _encode(raw)

    def chunk(self, data: bytes, chunk: dict[str, Any]) -> Iterator[bytes]:
        """A piece of an answer as far as it may go on; what waits comes with a later one.

        Raises:
            Blocked: nothing may go on any more.
        """
        if not (self._looks or self._masked):
            yield data
            return
        for choice in chunk.get("choices") or ():
            if rest := self._rest(choice):
                last = {**choice, "delta": {"content": rest}, "finish_reason": None}
                yield _encode({**chunk, "choices": [last]})
        yield _encode(chunk)

    def _rest(self, choice: dict[str, Any]) -> str:
        """Look at one choice's piece; returns what waited, at its end."""
        delta, rest = choice.get("delta") or {}, ""
        stream = self._streams.get(choice.get("index", 0))
        if stream is None:
            stream = CheckedStream(
                self._pipeline, Context(layer="output", sources=self.sources), self._placeholders
            )
            self._streams[choice.get("index", 0)] = stream
        if delta.get("content"):
            checked = stream.feed(delta["content"])
            self._keep(checked.hits, blocked=checked.blocked, reason=checked.reason)
            delta["content"] = checked.text
        if choice.get("finish_reason"):
            last = stream.close()
            self._keep(last.hits, blocked=last.blocked, reason=last.reason)
            rest = last.text
        return rest

    def _keep(self, hits: Sequence[Hit], *, blocked: bool, reason: str) -> None:
        self.hits += hits
        if blocked:
            raise Blocked(reason)
