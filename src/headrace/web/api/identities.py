"""The inventory: every identity, what it can reach, and which rights nobody uses."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from headrace.access.inventory import UnusedRole
from headrace.app.governance import identities, inventory
from headrace.app.governance.inventory import IdentityReport
from headrace.core.identity import Principal
from headrace.web.api.request import Me, Server, Text

router = APIRouter(tags=["identities"])


class Reason(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    why: Annotated[Text, Field(min_length=1, max_length=2_000)]


@router.get("/access/identities")
def list_identities(server: Server, me: Me) -> list[IdentityReport]:
    """Every person, service and agent of one's own workspace, and what is wrong with each."""
    return inventory.identities(server.app, me)


@router.get("/access/identities/{name}")
def show_identity(server: Server, me: Me, name: str) -> IdentityReport:
    """One identity: what it can reach, uses and never used."""
    return inventory.identity(server.app, me, name)


@router.post("/access/identities/{name}/freeze")
def freeze_identity(server: Server, me: Me, name: str, body: Reason) -> Principal:
    """Let an identity do nothing from its next request on; nothing is deleted."""
    return identities.freeze(server.app, me, name, body.why)


@router.post("/access/identities/{name}/unfreeze")
def unfreeze_identity(server: Server, me: Me, name: str) -> Principal:
    """Let a frozen identity act again."""
    return identities.unfreeze(server.app, me, name)


@router.get("/access/unused")
def list_unused(server: Server, me: Me) -> list[UnusedRole]:
    """Roles that nobody would miss, with the change that takes each away."""
    return inventory.unused(server.app, me)
