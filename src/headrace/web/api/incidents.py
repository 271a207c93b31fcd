"""Incidents: flagged by anybody, looked into by somebody else, closed with a result."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.governance import incidents
from headrace.core.identity import Incident
from headrace.web.api.request import Me, Server, Text

router = APIRouter(tags=["incidents"])
Words = Annotated[Text, Field(min_length=1, max_length=2_000)]


class Flag(BaseModel):
    """What looks wrong about whom."""

    model_config = ConfigDict(extra="forbid")

    subject: Text = Field(min_length=1, max_length=63, description="Name of the identity.")
    why: Words


class Note(BaseModel):
    """What was found out."""

    model_config = ConfigDict(extra="forbid")

    text: Words


class Result(BaseModel):
    """What came of it."""

    model_config = ConfigDict(extra="forbid")

    resolution: Words


@router.post("/incidents", status_code=201)
def flag(server: Server, me: Me, body: Flag) -> Incident:
    """Say that something about an identity looks suspicious; whoever has a role may."""
    return incidents.flag(server.app, me, body.subject, body.why)


@router.get("/incidents")
def list_incidents(
    server: Server,
    me: Me,
    state: Annotated[Literal["open", "investigating", "closed"] | None, Query()] = None,
) -> list[Incident]:
    """Incidents of one's own workspace, newest first."""
    return incidents.incidents(server.app, me, state)


@router.get("/incidents/{incident_id}")
def show(server: Server, me: Me, incident_id: str) -> Incident:
    """One incident with evidence and notes."""
    return incidents.incident(server.app, me, incident_id)


@router.post("/incidents/{incident_id}/take")
def take(server: Server, me: Me, incident_id: str) -> Incident:
    """Look into it."""
    return incidents.take(server.app, me, incident_id)


@router.post("/incidents/{incident_id}/notes")
def note(server: Server, me: Me, incident_id: str, body: Note) -> Incident:
    """Write down what was found out."""
    return incidents.note(server.app, me, incident_id, body.text)


@router.post("/incidents/{incident_id}/close")
def close(server: Server, me: Me, incident_id: str, body: Result) -> Incident:
    """Say what came of it; never about oneself."""
    return incidents.close(server.app, me, incident_id, body.resolution)
