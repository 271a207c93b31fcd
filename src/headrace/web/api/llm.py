"""Which calls to language models are allowed, what may be used instead, and asking for more."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.governance.reviewed_texts import Decided, Shown
from headrace.app.llm import acceptable_use, shadow_use, stopping, usage
from headrace.app.llm.acceptable_use import ACCEPTABLE_USE, Mine
from headrace.app.llm.shadow_use import Report
from headrace.app.llm.usage import LLM_USE, Instead
from headrace.core.identity import PolicyText
from headrace.gateway.llm.uses import LARGEST
from headrace.store.llm_decisions import Acknowledgement, Stop
from headrace.web.api.governance import Opinion
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(prefix="/llm", tags=["llm"])
Version = Annotated[int, Path(ge=1, le=2**31)]
Ours = Annotated[tuple[Text, ...], Query(max_length=100)]


class ListOfUses(BaseModel):
    """A list of allowed uses, to be decided by somebody else."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(min_length=1, max_length=LARGEST, description="YAML.")
    comment: Text = Field("", max_length=2000)


class Terms(ListOfUses):
    """An acceptable-use policy, to be decided by somebody else."""

    text: Text = Field(min_length=1, max_length=acceptable_use.LARGEST, description="In words.")


class Stopping(BaseModel):
    """What to stop, or let go on, and why."""

    model_config = ConfigDict(extra="forbid")

    project: Name | None = Field(None, description="None: all calls of your workspace; of main, everybody's.")
    reason: Text = Field(min_length=1, max_length=2000)


class Wanted(BaseModel):
    """A model that a project should be allowed to use, and why."""

    model_config = ConfigDict(extra="forbid")

    model: Text = Field(min_length=3, max_length=256, description="PROVIDER/MODEL.")
    reason: Text = Field(min_length=1, max_length=2000)


@router.get("/uses")
def list_uses(server: Server, me: Me) -> list[PolicyText]:
    """All versions of your workspace's list of allowed uses, oldest first."""
    return LLM_USE.versions(server.app, me)


@router.get("/uses/live")
def show_uses(server: Server, me: Me) -> Shown:
    """The list in force; version 0 is Headrace's own."""
    return LLM_USE.show(server.app, me)


@router.post("/uses", status_code=201)
def propose_uses(server: Server, me: Me, body: ListOfUses) -> PolicyText:
    """Put a list up for decision."""
    return LLM_USE.propose(server.app, me, body.text, body.comment)


@router.post("/uses/{version}/decision")
def decide_uses(version: Version, server: Server, me: Me, body: Opinion) -> Decided:
    """Put a proposed list into force, or refuse it; never one's own."""
    return LLM_USE.decide(server.app, me, version, body.decision, body.comment)


@router.get("/projects/{project}/instead")
def show_instead(project: Name, server: Server, me: Me) -> Instead:
    """Models and projects that may be used for what a project is for, with its data."""
    return usage.instead(server.app, me, project)


@router.post("/projects/{project}/asks", status_code=201)
def ask_for_model(project: Name, server: Server, me: Me, body: Wanted) -> PolicyText:
    """Ask that a project may use a model: the list with one entry more, for others to decide."""
    return usage.ask(server.app, me, project, body.model, body.reason)


@router.get("/terms")
def show_my_terms(server: Server, me: Me) -> Mine:
    """The acceptable-use policy that holds for you, and whether you have acknowledged it."""
    return acceptable_use.mine(server.app, me)


@router.get("/terms/versions")
def list_terms(server: Server, me: Me) -> list[PolicyText]:
    """All versions of your workspace's acceptable-use policy, oldest first."""
    return ACCEPTABLE_USE.versions(server.app, me)


@router.post("/terms", status_code=201)
def propose_terms(server: Server, me: Me, body: Terms) -> PolicyText:
    """Put an acceptable-use policy up for decision."""
    return ACCEPTABLE_USE.propose(server.app, me, body.text, body.comment)


@router.post("/terms/{version}/decision")
def decide_terms(version: Version, server: Server, me: Me, body: Opinion) -> Decided:
    """Publish a proposed policy, or refuse it; never one's own."""
    return ACCEPTABLE_USE.decide(server.app, me, version, body.decision, body.comment)


@router.post("/terms/{version}/acknowledgement", status_code=201)
def acknowledge_terms(version: Version, server: Server, me: Me) -> Acknowledgement:
    """Say that you have read the policy and keep it, for yourself and for what you own."""
    return acceptable_use.acknowledge(server.app, me, version)


@router.get("/terms/acknowledgements")
def list_acknowledgements(server: Server, me: Me) -> list[Acknowledgement]:
    """Who has acknowledged which version, oldest first."""
    return acceptable_use.acknowledgements(server.app, me)


@router.get("/shadow")
def show_shadow_use(server: Server, me: Me, ours: Ours = ()) -> Report:
    """Models, keys and hosts in use that nobody has approved, and what to use instead. Of proxies' logs users
    and addresses that are ``ours``, such as the gateway's, are left out."""
    return shadow_use.report(server.app, me, ours=ours)


@router.get("/stops")
def list_stops(server: Server, me: Me) -> list[Stop]:
    """What was stopped, by whom, why, and who let it go on; the newest first."""
    return stopping.stops(server.app, me)


@router.post("/stops", status_code=201)
def stop_calls(server: Server, me: Me, body: Stopping) -> Stop:
    """The kill switch: make no call of a project, or none at all, in any process, until resumed."""
    return stopping.stop(server.app, me, body.project, body.reason)


@router.post("/stops/end")
def resume_calls(server: Server, me: Me, body: Stopping) -> Stop:
    """Let calls be made again that were stopped."""
    return stopping.resume(server.app, me, body.project, body.reason)
