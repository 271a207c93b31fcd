"""Which requests are traced, and the spans that they leave: the request, its preparation and its model.

A request is traced when whoever began its trace wants that, or by lot; and no more than so many a second, so
that nobody slows the server by asking to be traced. A traced row takes the ordinary way, where its steps are
known: the quick way loses no time to traces.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from random import random
from secrets import token_hex
from typing import Any, NamedTuple

from headrace.core.ports import Clock
from headrace.core.record import Span, SpanEvent
from headrace.serving.plain_rows import Scoring
from headrace.serving.trace_context import NOTED, Noted, Parent, Spans, parent_of, parse_parent
from headrace.web.http_protocol import ScoringProtocol
from headrace.web.identity import Scope

MOST_PER_S = 200
_LINE = re.compile(rb"\r\n[Tt]raceparent: ?([0-9a-f-]{55})\r\n")
_HEAD_BYTES = 4_096
_CHOSEN: ContextVar[bool] = ContextVar("headrace_chosen", default=False)


class Begun(NamedTuple):
    """A request that is traced."""

    parent_id: str | None
    started_at: datetime
    noted: Noted


class Tracing:
    """Chooses requests and makes their spans.

    Args:
        ratio: share of the requests without a trace of their own that are traced, from 0 to 1.
        most_per_s: beyond so many within a second none is.
    """

    def __init__(
        self, spans: Spans, clock: Clock, *, ratio: float = 0.0, most_per_s: int = MOST_PER_S
    ) -> None:
        self._spans = spans
        self._clock = clock
        self._ratio = ratio
        self._most_per_s = most_per_s
        self._second, self._n_chosen = 0, 0

    def chooses(self, parent: Parent | None) -> bool:
        """Whether a request is traced; asking counts."""
        wanted = random() < self._ratio if parent is None else parent.sampled
        if not wanted:
            return False
        second = int(self._clock.monotonic_s())
        if second != self._second:
            self._second, self._n_chosen = second, 0
        self._n_chosen += 1
        return self._n_chosen <= self._most_per_s

    def takes(self, scope: Scope) -> bool:
        """Whether the request is traced; the answer stays for :meth:`begin`."""
        if not _CHOSEN.get():
            _CHOSEN.set(self.chooses(parent_of(scope["headers"])))
        return _CHOSEN.get()

    def begin(self, parent: Parent | None) -> Begun | None:
        """Begin to note what a request comes to; none unless it is traced."""
        if not _CHOSEN.get():
            return None
        trace_id, parent_id = (token_hex(16), None) if parent is None else parent[:2]
        noted = Noted(trace_id=trace_id, span_id=token_hex(8))
        NOTED.set(noted)
        return Begun(parent_id, self._clock.now(), noted)

    def end(self, begun: Begun, method: str, part: str, status: int | None) -> None:
        """Send the spans of a request that is over."""
        prediction, now = begun.noted.prediction, self._clock.now()
        attributes: dict[str, Any] = {"http.request.method": method, "headrace.part": part}
        if status is not None:
            attributes["http.response.status_code"] = status
        raised, raised_at = begun.noted.raised, begun.noted.raised_at
        events: tuple[SpanEvent, ...] = ()
        if raised is not None and raised_at is not None:
            attributes["error.type"] = raised
            events = (SpanEvent(name="exception", at=raised_at, attributes={"exception.type": raised}),)
        spans = []
        if prediction is not None:
            attributes |= {
                "headrace.project": prediction.project,
                "headrace.release": prediction.release_id,
                "headrace.route": prediction.arm,
                "headrace.prediction": prediction.id,
                "headrace.rows": prediction.n_rows,
            }
            prepared = prediction.at + timedelta(milliseconds=prediction.prepare_ms)
            inferred = prepared + timedelta(milliseconds=prediction.infer_ms)
            spans = [
                self._inside(begun, "prepare", prediction.at, prepared),
                self._inside(begun, "infer", prepared, inferred),
            ]
        name = f"{method} {part}" if prediction is None else f"predict {prediction.project}"
        request = Span(
            trace_id=begun.noted.trace_id,
            span_id=begun.noted.span_id,
            parent_id=begun.parent_id,
            name=name,
            started_at=begun.started_at,
            ended_at=now,
            attributes=attributes,
            events=events,
        )
        self._spans.emit([request, *spans])

    def protocol(self, scoring: Scoring) -> Any:
        """For uvicorn's ``http``: as :func:`headrace.web.http_protocol.protocol_of`, with traces."""
        return partial(_TracedProtocol, self, scoring)

    def _inside(self, begun: Begun, name: str, started_at: datetime, ended_at: datetime) -> Span:
        return Span(
            trace_id=begun.noted.trace_id,
            span_id=token_hex(8),
            parent_id=begun.noted.span_id,
            name=name,
            started_at=started_at,
            ended_at=ended_at,
        )


class _TracedProtocol(ScoringProtocol):
    """One connection, of which traced requests take the ordinary way."""

    def __init__(self, tracing: Tracing, scoring: Scoring, **of_uvicorn: Any) -> None:
        super().__init__(scoring, **of_uvicorn)
        self._tracing = tracing

    def _begin(self, data: bytes) -> None:
        line = _LINE.search(data, 0, _HEAD_BYTES)
        if not self._tracing.chooses(None if line is None else parse_parent(line[1])):
            super()._begin(data)
            return
        token = _CHOSEN.set(True)
        try:
            self._hand_over(data)
        finally:
            _CHOSEN.reset(token)
