"""The trace that a request belongs to (W3C trace context), and what is noted of it on its way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from headrace.core.record import Prediction, Span

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NOTHING = re.compile("0+")


class Parent(NamedTuple):
    """Whose step a request is; ``sampled``: that whoever began the trace wants it kept."""

    trace_id: str
    span_id: str
    sampled: bool


@dataclass(kw_only=True)
class Noted:
    """What a traced request came to: an answer, or what was raised and when. No value of it is kept.

    ``span_id`` is of the request's own span.
    """

    trace_id: str
    span_id: str
    prediction: Prediction | None = None
    raised: str | None = None
    raised_at: datetime | None = None


class Spans(Protocol):
    """Takes spans that have ended, at once."""

    def emit(self, spans: Sequence[Span]) -> None:
        """Never blocks, and never raises for a collector's sake."""


PARENT: ContextVar[Parent | None] = ContextVar("headrace_parent", default=None)
"""Of the request that is being answered, whether or not it is traced."""
NOTED: ContextVar[Noted | None] = ContextVar("headrace_noted", default=None)
"""Of a request that is traced."""


def parse_parent(header: bytes) -> Parent | None:
    """What a ``traceparent`` header says; none where it is not one.

    >>> parse_parent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    """
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    trace_id, span_id = match[1].decode(), match[2].decode()
    if _NOTHING.fullmatch(trace_id) or _NOTHING.fullmatch(span_id):
        return None
    return Parent(trace_id, span_id, bool(int(match[3], 16) & 1))


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Parent | None:
    """What the headers of a request, names in lower case, say."""
    return next((parse_parent(value) for name, value in headers if name == b"traceparent"), None)


def trace_id() -> str | None:
    """Of the request that is being answered, if it named one."""
    parent = PARENT.get()
    return None if parent is None else parent.trace_id
