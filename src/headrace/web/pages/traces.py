"""``/projects/{name}/traces``: what applications and agents did, step by step, on one line of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace.app.llm import traces
from headrace.app.provenance import facts, provenance
from headrace.core.errors import NotFound
from headrace.gateway.llm.steps import ANSWER
from headrace.monitoring.dialects import (
    AGENT,
    ARGUMENTS,
    DOCUMENTS,
    INPUT_TOKENS,
    INSTRUCTIONS,
    OPERATION,
    OUTPUT_TOKENS,
    QUERY,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    RESULT,
    TOOL,
)
from headrace.monitoring.messages import INPUT, OUTPUT, text_of
from headrace.monitoring.spans import Step, Trace, Wanted, error_of
from headrace.web.identity import principal_of
from headrace.web.pages.places import bar_of
from headrace.web.pages.project import project_name
from headrace.web.pages.rendering import parts_of, renderer_of

OPERATIONS = (
    "chat",
    "embeddings",
    "execute_tool",
    "invoke_agent",
    "invoke_workflow",
    "moderations",
    "retrieval",
)
_TEXTS = {
    INSTRUCTIONS: "Instructions",
    INPUT: "In",
    QUERY: "Query",
    ARGUMENTS: "Arguments",
    OUTPUT: "Out",
    RESULT: "Result",
    DOCUMENTS: "Documents",
}
_MOST_CHAINS = 5
_DEEPEST, _LEAST = 10, 0.4
_LONGEST, _MOST_SHOWN = 4_000, 2_000_000
"""Characters of one text, and of all that a page holds: beyond, steps have only their names."""


class Line(NamedTuple):
    """One step as it is drawn: ``start`` and ``length`` in percent of the trace's time.

    Attributes:
        about: the model, tool or agent.
        texts: what went in and came out, by a word for it.
        rest: all other attributes.
    """

    id: str
    name: str
    depth: int
    start: float
    length: float
    duration_ms: float
    error: str | None
    operation: str
    about: str
    tokens: tuple[Any, Any] | None
    texts: list[tuple[str, str]]
    rest: list[tuple[str, str]]
    events: list[tuple[str, float, list[tuple[str, str]]]]
    is_bare: bool = False

    @property
    def n_characters(self) -> int:
        """That opening it shows."""
        pairs = [*self.texts, *self.rest, *(pair for event in self.events for pair in event[2])]
        return sum(len(name) + len(text) for name, text in pairs)

    def bare(self) -> Line:
        """Without what opening it shows."""
        return self._replace(texts=[], rest=[], events=[], is_bare=True)


async def show_all(request: Request) -> Response:
    """The newest traces, or those that are searched for."""
    parts, me, name = parts_of(request), principal_of(request.scope), project_name(request)
    asked = request.query_params
    wanted = Wanted(
        text=asked.get("text", "").strip()[:200],
        operation=asked.get("operation", "").strip()[:200],
        model=asked.get("model", "").strip()[:200],
        errors=asked.get("errors") == "yes",
    )
    found = await run_in_threadpool(traces.listed, parts.app, me, name, wanted)
    return renderer_of(request).page(
        request,
        "traces.html",
        project=name,
        bar=await run_in_threadpool(bar_of, request, name),
        wanted=wanted,
        narrowed=wanted != Wanted(),
        operations=OPERATIONS,
        found=found,
        longest_ms=max((one.duration_ms for one in found), default=0.0) or 1.0,
    )


async def show(request: Request) -> Response:
    """One trace: its steps as a tree beside their time."""
    name, found = await _found(request)
    return renderer_of(request).page(
        request,
        "trace.html",
        project=name,
        bar=await run_in_threadpool(bar_of, request, name),
        trace=found,
        lines=lines(found),
        deepest=_DEEPEST,
        chains=await run_in_threadpool(_chains, request, name, found),
    )


def _chains(request: Request, name: str, found: Trace) -> list[tuple[str, list[tuple[str, str]]]]:
    """Where the answers in a trace come from, for who may read the record."""
    app, me = parts_of(request).app, principal_of(request.scope)
    if not app.gatekeeper.allows(me, "data.read", f"project:{name}"):
        return []
    asked = [str(step.span.attributes[ANSWER]) for step in found.steps if ANSWER in step.span.attributes]
    chains = []
    for answer in dict.fromkeys(asked[:_MOST_CHAINS]):
        try:
            chains.append((answer, list(facts(provenance(app, me, name, answer)))))
        except NotFound:  # embeddings, and what is not kept any more
            continue
    return chains


async def as_otlp(request: Request) -> Response:
    """One trace, to be opened in another tool."""
    _, found = await _found(request)
    kept = {"content-disposition": f'attachment; filename="trace-{found.summary.trace_id}.json"'}
    return JSONResponse(traces.as_otlp(found), headers=kept)


async def _found(request: Request) -> tuple[str, Trace]:
    parts, me, name = parts_of(request), principal_of(request.scope), project_name(request)
    return name, await run_in_threadpool(traces.trace, parts.app, me, name, request.path_params["trace_id"])


def lines(trace: Trace) -> Sequence[Line]:
    """The steps as they are drawn."""
    begin, whole_ms = trace.summary.started_at, trace.summary.duration_ms or 1.0
    found: list[Line] = []
    n_shown = 0
    for step in trace.steps:
        span = step.span
        start_ms = (span.started_at - begin).total_seconds() * 1000
        length_ms = (span.ended_at - span.started_at).total_seconds() * 1000
        length = min(max(100 * length_ms / whole_ms, _LEAST), 100.0)
        events = [
            (event.name, (event.at - begin).total_seconds() * 1000, _pairs(event.attributes))
            for event in span.events
        ]
        line = Line(
            id=span.span_id,
            name=span.name[:_LONGEST],
            depth=min(step.depth, _DEEPEST),
            start=min(100 * start_ms / whole_ms, 100.0 - length),
            length=length,
            duration_ms=length_ms,
            error=error_of(span),
            events=events,
            **_said(step),
        )
        n_shown += line.n_characters
        found.append(line if n_shown <= _MOST_SHOWN else line.bare())
    return found


def _said(step: Step) -> dict[str, Any]:
    given = step.span.attributes
    about = next((given[name] for name in (RESPONSE_MODEL, REQUEST_MODEL, TOOL, AGENT) if name in given), "")
    texts = [
        (word, (text_of(given[name]) if name in (INPUT, OUTPUT) else str(given[name]))[:_LONGEST])
        for name, word in _TEXTS.items()
        if name in given
    ]
    counted = (given.get(INPUT_TOKENS), given.get(OUTPUT_TOKENS))
    return {
        "operation": str(given.get(OPERATION, "")),
        "about": str(about),
        "tokens": None if counted == (None, None) else counted,
        "texts": [(word, text) for word, text in texts if text],
        "rest": [pair for pair in _pairs(given) if pair[0] not in _TEXTS],
    }


def _pairs(attributes: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value)[:_LONGEST]) for name, value in sorted(attributes.items())]
