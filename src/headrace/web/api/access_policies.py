"""The access policy: versions, review, examples, and why somebody may or may not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.access.rules import LARGEST
from headrace.app.answers.explaining import Explanation, Reach, explain, reach
from headrace.app.governance.policies import POLICY, Tested, try_examples
from headrace.app.governance.reviewed_texts import Shown
from headrace.core.identity import PolicyText
from headrace.web.api.request import Me, Server, Text

router = APIRouter(prefix="/access", tags=["access"])
Version = Annotated[int, Path(ge=0, le=2**31, description="Its number; 0 is the default policy.")]
Who = Annotated[Text, Query(max_length=63, description="Name of the identity.")]


class Proposal(BaseModel):
    """A policy text to be reviewed."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(max_length=LARGEST, description="Cedar.")
    comment: Text = Field("", max_length=2000)


class Reason(BaseModel):
    """Why it was decided so; kept in the audit log."""

    model_config = ConfigDict(extra="forbid")

    comment: Text = Field("", max_length=2000)


class Candidate(BaseModel):
    """A policy text to be tried; the one in force when absent."""

    model_config = ConfigDict(extra="forbid")

    text: Text | None = Field(None, max_length=LARGEST)


@router.get("/policies")
def list_policies(server: Server, me: Me) -> list[PolicyText]:
    """All versions of your workspace's policy, oldest first."""
    return POLICY.versions(server.app, me)


@router.get("/policies/live")
def show_live_policy(server: Server, me: Me) -> Shown:
    """The version in force."""
    return POLICY.show(server.app, me)


@router.get("/policies/{version}")
def show_policy(version: Version, server: Server, me: Me) -> Shown:
    """One version with its text."""
    return POLICY.show(server.app, me, version)


@router.get("/policies/{version}/difference")
def show_policy_difference(version: Version, server: Server, me: Me) -> str:
    """What it would change of the policy in force, as a unified diff."""
    return POLICY.difference(server.app, me, version)


@router.post("/policies", status_code=201)
def propose_policy(server: Server, me: Me, body: Proposal) -> PolicyText:
    """Put a text up for review; it holds once somebody else has approved it."""
    return POLICY.propose(server.app, me, body.text, body.comment)


@router.post("/policies/test")
def try_policy(server: Server, me: Me, body: Annotated[Candidate | None, Body()] = None) -> Tested:
    """Put a policy's own examples to the test."""
    return try_examples(server.app, me, None if body is None else body.text)


@router.post("/policies/revert", status_code=201)
def revert_policy(server: Server, me: Me, body: Annotated[Reason | None, Body()] = None) -> PolicyText:
    """Propose the text that was in force before this one."""
    return POLICY.revert(server.app, me, "" if body is None else body.comment)


@router.post("/policies/{version}/approve")
def approve_policy(
    version: Version, server: Server, me: Me, body: Annotated[Reason | None, Body()] = None
) -> PolicyText:
    """Put a waiting version into force; never one's own."""
    return POLICY.decide(server.app, me, version, "approved", "" if body is None else body.comment).text


@router.post("/policies/{version}/reject")
def reject_policy(
    version: Version, server: Server, me: Me, body: Annotated[Reason | None, Body()] = None
) -> PolicyText:
    """Refuse a waiting version; never one's own."""
    return POLICY.decide(server.app, me, version, "rejected", "" if body is None else body.comment).text


@router.get("/explain")
def explain_decision(
    server: Server,
    me: Me,
    principal: Who,
    action: Annotated[Text, Query(max_length=63, description="Such as release.approve.")],
    resource: Annotated[Text, Query(max_length=200, description="KIND:NAME, such as project:cars.")],
) -> Explanation:
    """Whether somebody may, by which rule, and which roles would suffice."""
    return explain(server.app, me, principal, action, resource)


@router.get("/may")
def list_reach(server: Server, me: Me, principal: Who) -> list[Reach]:
    """What somebody may do, by workspace and project."""
    return reach(server.app, me, principal)
