"""Roles for a while: asked for, decided by somebody else, over by themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.access.grants import BREAK_GLASS_S, LONGEST_S, USUAL_S
from headrace.app.governance import grants
from headrace.core.identity import Grant, Role
from headrace.web.api.request import Me, Server, Text

router = APIRouter(prefix="/access/grants", tags=["access"])
Id = Annotated[str, Path(max_length=64, description="The grant's id.")]
On = Annotated[Text, Field(max_length=80, description="project:NAME or workspace:NAME.")]
Why = Annotated[Text, Field(min_length=1, max_length=grants.LONGEST_REASON)]


class Wish(BaseModel):
    """A role, on what, for how long and why."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    resource: On
    reason: Why
    subject: Text | None = Field(None, max_length=63, description="A service or agent that needs it.")
    duration_s: int = Field(USUAL_S, ge=grants.SHORTEST_S, le=LONGEST_S)


class Emergency(BaseModel):
    """A role to be taken at once."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    resource: On
    reason: Why
    duration_s: int = Field(BREAK_GLASS_S, ge=grants.SHORTEST_S, le=BREAK_GLASS_S)


@router.get("")
def list_grants(
    server: Server,
    me: Me,
    state: Annotated[
        Literal["asked", "active", "refused", "ended"] | None, Query(description="Only these.")
    ] = None,
) -> list[Grant]:
    """Grants as they stand now: your own, or all if you may see everybody's rights."""
    return grants.grants(server.app, me, state)


@router.post("", status_code=201)
def ask_for_grant(server: Server, me: Me, body: Wish) -> Grant:
    """Ask for a role for a while; it begins when somebody else has approved it."""
    return grants.ask(
        server.app,
        me,
        body.role,
        body.resource,
        body.reason,
        subject=body.subject,
        duration_s=body.duration_s,
    )


@router.post("/break-glass", status_code=201)
def break_glass(server: Server, me: Me, body: Emergency) -> Grant:
    """Take a role at once, in an emergency. It raises an incident, and somebody else reviews it."""
    return grants.break_glass(server.app, me, body.role, body.resource, body.reason, body.duration_s)


@router.post("/{grant_id}/approve")
def approve_grant(grant_id: Id, server: Server, me: Me) -> Grant:
    """Approve a grant that somebody else asked for, for somebody else."""
    return grants.decide(server.app, me, grant_id, "approved")


@router.post("/{grant_id}/refuse")
def refuse_grant(grant_id: Id, server: Server, me: Me) -> Grant:
    """Refuse a grant."""
    return grants.decide(server.app, me, grant_id, "refused")


@router.post("/{grant_id}/end")
def end_grant(grant_id: Id, server: Server, me: Me) -> Grant:
    """End a grant before its time."""
    return grants.end(server.app, me, grant_id)
