"""Tokens: end them before their time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from headrace.app import credentials
from headrace.web.api.request import Me, Server, Text

router = APIRouter(tags=["tokens"])
_Id = Annotated[Text | None, Field(max_length=200)]


class Revocation(BaseModel):
    """Whose tokens end: all of them, or the one with the id ``token``, or those of ``run``."""

    model_config = ConfigDict(extra="forbid")

    principal: Text = Field(max_length=63)
    token: _Id = None
    run: _Id = None


@router.post("/access/revoke")
def revoke(server: Server, me: Me, body: Revocation) -> credentials.Revoked:
    """End tokens before their time; every worker refuses them at its next request."""
    return credentials.revoke_tokens(server.app, me, body.principal, token=body.token, run=body.run)
