"""Whether projects keep the rules, leave to deviate from one, and whom to call."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.compliance import project_compliance
from headrace.app.governance import controls, waivers
from headrace.app.governance.accountable import Accountable, accountable
from headrace.app.governance.reviewed_texts import Decided
from headrace.core.identity import PolicyText
from headrace.core.release import Waiver
from headrace.projects.compliance import Compliance
from headrace.projects.controls import InForce
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["governance"])
Id = Annotated[str, Path(max_length=64, description="The waiver's id, or how it begins.")]


class Wish(BaseModel):
    """Which rule to deviate from, why and for how long."""

    model_config = ConfigDict(extra="forbid")

    rule: Text = Field(max_length=80, description="Such as gate:model or control:canary.")
    reason: Text = Field(min_length=1, max_length=2000)
    days: int = Field(30, ge=1, le=90)
    size: Literal["small", "medium", "large"] = "medium"


class Opinion(BaseModel):
    """Whether you agree, and why."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approved", "rejected"]
    comment: Text = Field("", max_length=2000)


class Proposal(BaseModel):
    """Rules to be decided by somebody else."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(min_length=1, max_length=controls.LARGEST, description="YAML.")
    comment: Text = Field("", max_length=2000)


@router.get("/controls")
def list_rules(server: Server, me: Me) -> list[PolicyText]:
    """All versions of the rules of your workspace, oldest first."""
    return controls.RULES.versions(server.app, me)


@router.get("/controls/live")
def show_rules(server: Server, me: Me) -> InForce:
    """The rules in force; version 0 is Headrace's own."""
    return controls.show(server.app, me)


@router.post("/controls", status_code=201)
def propose_rules(server: Server, me: Me, body: Proposal) -> PolicyText:
    """Put rules up for decision."""
    return controls.RULES.propose(server.app, me, body.text, body.comment)


@router.post("/controls/{version}/decision")
def decide_rules(
    version: Annotated[int, Path(ge=1, le=2**31)], server: Server, me: Me, body: Opinion
) -> Decided:
    """Put proposed rules into force, or refuse them; never one's own."""
    return controls.RULES.decide(server.app, me, version, body.decision, body.comment)


@router.get("/projects/{project}/compliance")
def show_compliance(project: Name, server: Server, me: Me) -> Compliance:
    """How a project stands against the rules in force now."""
    return project_compliance(server.app, me, project)


@router.get("/projects/{project}/waivers")
def list_waivers(project: Name, server: Server, me: Me) -> list[waivers.Standing]:
    """Waivers of a project, oldest first; ended and refused ones too."""
    return waivers.waivers(server.app, me, project)


@router.post("/projects/{project}/waivers", status_code=201)
def ask(project: Name, server: Server, me: Me, body: Wish) -> Waiver:
    """Ask for leave to deviate from a rule; others decide."""
    return waivers.ask(server.app, me, project, body.rule, reason=body.reason, days=body.days, size=body.size)


@router.post("/waivers/{waiver_id}/decision")
def decide(waiver_id: Id, server: Server, me: Me, body: Opinion) -> Waiver:
    """Agree to a waiver or refuse it; never one's own."""
    return waivers.decide(server.app, me, waiver_id, body.decision, body.comment)


@router.get("/accountable")
def show_accountable(
    server: Server,
    me: Me,
    of: Annotated[Text, Query(max_length=200, description="project:NAME, model:NAME@VERSION or agent:NAME.")],
) -> Accountable:
    """Who answers for it, and where to reach them."""
    return accountable(server.app, me, of)
