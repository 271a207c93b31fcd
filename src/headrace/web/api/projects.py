"""Projects: what was declared, what is live, how it is doing."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from headrace.app import reading
from headrace.app.active import Active, active
from headrace.app.operations import roll_back
from headrace.core.project import Project
from headrace.web.api.request import Me, Name, Server

router = APIRouter(tags=["projects"])


@dataclass(frozen=True, kw_only=True)
class Live:
    """The release that answers now."""

    project: str
    live: str


@router.get("/projects")
def list_projects(server: Server, me: Me) -> list[Project]:
    """All projects that you may see."""
    return reading.projects(server.app, me)


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


@router.get("/projects/{project}/predictions/count")
def count_predictions(project: Name, server: Server, me: Me) -> reading.Counted:
    """Requests in the durable log, and rows of them that have reached the tables."""
    return reading.predictions_count(server.app, me, project)
