"""Projects: what was declared, what is live, how it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.operations import roll_back
from headrace.app.overviews import reading
from headrace.app.overviews.active import Active, active
from headrace.app.overviews.fleet import Overview, overview
from headrace.app.overviews.glance import State
from headrace.app.rollouts.falling_back import fall_back
from headrace.app.rollouts.splitting import SplitReport, Wanted, end_split, split, split_report
from headrace.core.project import Project
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["projects"])


@dataclass(frozen=True, kw_only=True)
class Live:
    """The release that answers now."""

    project: str
    live: str


class Arm(BaseModel):
    """One arm of an A/B test."""

    model_config = ConfigDict(extra="forbid")

    version: Text = Field(max_length=80, description="A model version such as 2, or a release.")
    share: float = Field(gt=0, lt=1, description="Its part of the traffic; all add up to 1.")
    name: Text | None = Field(None, max_length=20, description="Recorded with its answers; v2 for version 2.")


class Shares(BaseModel):
    """The arms of an A/B test; the live release is one of them."""

    model_config = ConfigDict(extra="forbid")

    arms: list[Arm] = Field(min_length=2, max_length=20)


@router.get("/projects")
def list_projects(server: Server, me: Me) -> list[Project]:
    """All projects that you may see."""
    return reading.projects(server.app, me)


@router.get("/fleet")
def show_fleet(
    server: Server,
    me: Me,
    words: Annotated[str, Query(max_length=300, description="Each is said of a project.")] = "",
    state: Annotated[State | None, Query(description="Only projects in this state.")] = None,
) -> Overview:
    """How all models that you may see are doing, the most urgent first."""
    return overview(server.app, me, words=words, state=state or "")


@router.get("/active")
def list_active(server: Server, me: Me) -> list[Active]:
    """Which version is active in each environment of the projects that you may see."""
    return active(server.app, me)


@router.get("/projects/{project}")
def show_project(project: Name, server: Server, me: Me) -> reading.ProjectReport:
    """One project: its declaration, its route, its health, what is on its way."""
    return reading.project_report(server.app, me, project)


@router.post("/projects/{project}/rollback")
def rollback(project: Name, server: Server, me: Me) -> Live:
    """Stop the rollout under way, else give the traffic back to the release before."""
    return Live(project=project, live=roll_back(server.app, server.work, me, project).id)


@router.post("/projects/{project}/fallback")
def fallback(project: Name, server: Server, me: Me) -> Live:
    """Let the fallback answer instead of the live release, until another one is rolled out."""
    return Live(project=project, live=fall_back(server.app, me, project).id)


@router.get("/projects/{project}/split")
def show_split(project: Name, server: Server, me: Me) -> SplitReport:
    """The A/B test under way: its arms, and how their losses compare."""
    return split_report(server.app, me, project)


@router.put("/projects/{project}/split")
def begin_split(project: Name, server: Server, me: Me, body: Shares) -> SplitReport:
    """Begin an A/B test, or give the one that stands other shares."""
    wanted = [Wanted(version=one.version, share=one.share, name=one.name) for one in body.arms]
    return split(server.app, me, project, wanted)


@router.delete("/projects/{project}/split")
def finish_split(
    project: Name,
    server: Server,
    me: Me,
    keep: Annotated[
        str | None, Query(max_length=80, description="Arm, version or release that gets all traffic.")
    ] = None,
) -> Live:
    """End the A/B test: the release that is kept answers alone; the live one unless another is named."""
    return Live(project=project, live=end_split(server.app, me, project, keep).id)


@router.get("/projects/{project}/predictions/count")
def count_predictions(project: Name, server: Server, me: Me) -> reading.Counted:
    """Requests in the durable log, and rows of them that have reached the tables."""
    return reading.predictions_count(server.app, me, project)
