"""Guards over one answer of a streamed chat: its texts as they come, and what tools are given at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import Context, Hit
from headrace.gateway.guardrails.messages import ASIDES, check_arguments
from headrace.gateway.guardrails.pipeline import Checked, Pipeline
from headrace.gateway.guardrails.placeholders import Placeholders
from headrace.gateway.guardrails.streams import CheckedStream
from headrace.gateway.guardrails.tool_calls import TEXT_OF, Asked, restored, with_arguments

_UNSTREAMED = "reasoning_details"
"""Says in another form what ``reasoning`` says; in pieces of that form nothing can be looked at."""


@dataclass(kw_only=True)
class _Gathered:
    """What one tool is to be given, so far."""

    kind: str
    tool: str = ""
    pieces: list[str] = field(default_factory=list)


class CheckedDeltas:
    """The deltas of one choice. Not to be shared between threads.

    Texts go on as far as no guard waits. What a tool is given waits until the end: half of it is no use to
    anybody. After something blocks, nothing of what is given back may be sent.

    Args:
        texts: whether texts are looked at too, and not only what tools are given.
        placeholders: of the request; what they may give back stands in texts and arguments again.

    Attributes:
        hits: all until now.
    """

    def __init__(
        self, pipeline: Pipeline, context: Context, placeholders: Placeholders, *, texts: bool = True
    ) -> None:
        self.hits: list[Hit] = []
        self._pipeline, self._context, self._placeholders = pipeline, context, placeholders
        self._reads = ("content", *(name for name in ASIDES if name != _UNSTREAMED)) if texts else ()
        self._streams: dict[str, CheckedStream] = {}
        self._calls: dict[int | None, _Gathered] = {}
        self._n_asked = 0

    def feed(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """The delta as far as it may be sent now.

        Raises:
            InvalidInput: its calls are none, or a text is none.
        """
        made = dict(delta)
        if "tool_calls" in delta or "function_call" in delta:
            made |= self._gather(delta)
        for name in self._reads:
            piece = delta.get(name)
            if not piece:
                continue
            if not isinstance(piece, str):
                raise InvalidInput(f"The delta's '{name}' is {type(piece).__name__}. Expected a text.")
            made[name] = self._told(self._stream(name).feed(piece))
        if self._reads:
            made.pop(_UNSTREAMED, None)
        return made

    def close(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """The last ``delta``, once fed, with what waited put behind it."""
        made = dict(delta)
        for name, stream in self._streams.items():
            if rest := self._told(stream.close()):
                made[name] = (made.get(name) or "") + rest
        for index, call in self._calls.items():
            if text := self._asked(call):
                _append(made, index, call.kind, text)
        self._calls.clear()
        return made

    def _stream(self, name: str) -> CheckedStream:
        if name not in self._streams:
            context = Context(layer="output", sources=self._context.sources, aside=name != "content")
            self._streams[name] = CheckedStream(self._pipeline, context, self._placeholders)
        return self._streams[name]

    def _told(self, checked: Checked) -> str:
        self.hits += checked.hits
        return checked.text

    def _gather(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """The calls without what the tools are given, which waits."""
        made = with_arguments(delta, _nothing_yet, begun=True)
        for index, call in _calls_of(delta):
            for kind in TEXT_OF:
                given = call.get(kind)
                if isinstance(given, dict):
                    known = self._calls.setdefault(index, _Gathered(kind=kind))
                    known.tool += given.get("name") or ""
                    if isinstance(text := given.get(TEXT_OF[kind]), str):
                        known.pieces.append(text)
                        self._n_asked += len(text)
        # So many are refused in the end: do not keep them until then.
        self.hits += self._pipeline.hygiene.hits(self._n_asked, 0, 0, "tool_arguments")
        return made

    def _asked(self, call: _Gathered) -> str:
        asked = Asked(call.kind, call.tool, "".join(call.pieces))
        text, hits = check_arguments(self._pipeline, asked, self._context, self._placeholders)
        self.hits += hits
        return restored(asked._replace(text=text), self._placeholders)


def _nothing_yet(_: Asked) -> str:
    return ""


def _calls_of(delta: Mapping[str, Any]) -> Sequence[tuple[int | None, Mapping[str, Any]]]:
    """Calls by their index; that of the old form has none."""
    listed = delta.get("tool_calls")
    calls: list[tuple[int | None, Mapping[str, Any]]] = []
    for position, call in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(call, dict):
            index = call.get("index")
            calls.append((index if isinstance(index, int) else position, call))
    if isinstance(delta.get("function_call"), dict):
        calls.append((None, {"function": delta["function_call"]}))
    return calls


def _append(delta: dict[str, Any], index: int | None, kind: str, text: str) -> None:
    """Put what a tool is given into the delta's call of that index."""
    name = TEXT_OF[kind]
    if index is None:
        delta["function_call"] = {**(delta.get("function_call") or {}), name: text}
        return
    calls = list(delta.get("tool_calls") or ())
    for position, (known, call) in enumerate(_calls_of({"tool_calls": calls})):
        if known == index:
            calls[position] = {**call, kind: {**(call.get(kind) or {}), name: text}}
            break
    else:
        calls.append({"index": index, kind: {name: text}})
    delta["tool_calls"] = calls
