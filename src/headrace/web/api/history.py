"""What has been done: training runs and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from headrace.app.governance import auditing, exporting
from headrace.app.overviews import reading
from headrace.core.data import Run
from headrace.core.identity import AuditEntry
from headrace.web.api.request import Me, Server, Text

router = APIRouter(tags=["history"])


@router.get("/runs")
def list_runs(
    server: Server,
    me: Me,
    project: Annotated[str, Query(max_length=63, description="Name of the project.")],
    limit: Annotated[int, Query(ge=1, le=1000, description="How many of the newest.")] = 100,
) -> list[Run]:
    """Training runs, failed ones included, newest first."""
    return reading.runs(server.app, me, project, limit)


@router.get("/audit")
def list_audit(
    server: Server,
    me: Me,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only entries beyond this number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AuditEntry]:
    """The audit log, oldest first; each hash covers the entry before."""
    return auditing.entries(server.app, me, after=after, limit=limit)


@router.get("/audit/search")
def search_audit(
    server: Server,
    me: Me,
    text: Annotated[Text, Query(max_length=200, description="What an entry must hold, anywhere.")] = "",
    before: Annotated[
        int | None, Query(ge=1, le=2**53, description="Only entries before this number.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> auditing.Found:
    """Entries that hold a text, newest first."""
    return auditing.search(server.app, me, text, before=before, limit=limit)


_LINES = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}


@router.get("/audit/export", response_class=StreamingResponse, responses=_LINES)  # type: ignore[arg-type]
def export_audit(
    server: Server,
    me: Me,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only entries beyond this number.")] = 0,
    since: Annotated[AwareDatetime | None, Query(description="Only entries made then or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Only entries made before then.")] = None,
) -> StreamingResponse:
    """The whole log as JSON Lines in the field names of OCSF, oldest first."""
    entries = auditing.follow(server.app, me, after=after, since=since, until=until)
    return StreamingResponse(map(exporting.line, entries), media_type="application/x-ndjson")


@router.get("/audit/seal")
def show_seal(server: Server, me: Me) -> auditing.Sealing:
    """The newest seal, to be kept elsewhere, and how many entries have come since."""
    return auditing.sealing(server.app, me)


@router.post("/audit/verify")
def verify_audit(server: Server, me: Me) -> auditing.Verification:
    """Verify chain and seals; an edit, deletion or reorder is named. What is intact is sealed."""
    return auditing.verify(server.app, me)
