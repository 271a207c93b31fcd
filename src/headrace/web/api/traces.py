"""Traces of applications and agents; they are sent to ``/otlp/v1/traces``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from headrace.app.llm import traces
from headrace.app.provenance import Provenance, provenance
from headrace.monitoring.spans import Summary, Trace, Wanted
from headrace.web.api.monitors import Moment
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["traces"])
Part = Annotated[Text, Query(max_length=200)]
Id = Annotated[Text, Path(max_length=60, description="32 hexadecimal digits, or the first 8 or more.")]


@router.get("/projects/{project}/traces")
def list_traces(
    server: Server,
    me: Me,
    project: Name,
    *,
    text: Annotated[Text, Query(max_length=200, description="In the name or an attribute of a step.")] = "",
    operation: Part = "",
    model: Part = "",
    service: Part = "",
    user: Part = "",
    conversation: Part = "",
    errors: Annotated[bool, Query(description="Only those with a step that failed.")] = False,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=traces.MOST_FOUND)] = 50,
) -> list[Summary]:
    """Traces with a step that is wanted, the newest first."""
    wanted = Wanted(
        text=text,
        operation=operation,
        model=model,
        service=service,
        user=user,
        conversation=conversation,
        errors=errors,
        since=since,
        until=until,
    )
    return traces.listed(server.app, me, project, wanted, limit=limit)


@router.get("/projects/{project}/traces/{trace_id}")
def show_trace(server: Server, me: Me, project: Name, trace_id: Id) -> Trace:
    """One trace, its steps in the order of a tree."""
    return traces.trace(server.app, me, project, trace_id)


@router.get("/projects/{project}/traces/{trace_id}/otlp")
def export_trace(server: Server, me: Me, project: Name, trace_id: Id) -> dict[str, Any]:
    """One trace as an exporter would send it, for other tools."""
    return traces.as_otlp(traces.trace(server.app, me, project, trace_id))


@router.get("/projects/{project}/answers/{answer}/provenance")
def show_provenance(
    server: Server,
    me: Me,
    project: Name,
    answer: Annotated[Text, Path(max_length=60, description="Its id, as headrace-answer says it.")],
) -> Provenance:
    """Where one answer comes from: what was asked and given, what answered, and who decided."""
    return provenance(server.app, me, project, answer)
