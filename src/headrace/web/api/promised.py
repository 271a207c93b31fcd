"""What projects promise, how ready they are, and what came of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from headrace.app.business.portfolio import Line, portfolio
from headrace.app.business.value import value
from headrace.app.data.assets import Asset, Kind, assets
from headrace.app.overviews.goals import goals
from headrace.app.overviews.lessons import Offered, lessons_offered
from headrace.app.overviews.lifecycle import Stage, stages
from headrace.app.overviews.readiness import Readiness, readiness
from headrace.app.overviews.stalls import LifecycleMap, lifecycle_map
from headrace.monitoring.value import Realised
from headrace.projects.goals import Goal
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["promises"])


@router.get("/portfolio")
def show_portfolio(server: Server, me: Me) -> list[Line]:
    """All models that you may see, the most valuable first."""
    return portfolio(server.app, me)


@router.get("/lifecycle")
def show_lifecycle(server: Server, me: Me) -> LifecycleMap:
    """Where each project stands on the way from notebook to production, and what it waits for."""
    return lifecycle_map(server.app, me)


@router.get("/assets")
def list_assets(
    server: Server,
    me: Me,
    search: Annotated[Text, Query(max_length=200, description="Words that all have to occur.")] = "",
    kind: Annotated[Kind | None, Query(description="Only these.")] = None,
) -> list[Asset]:
    """What projects have that you may use again: data, feature sets, pipelines, templates."""
    return assets(server.app, me, search, kind)


@router.get("/lessons")
def list_lessons(server: Server, me: Me) -> list[Offered]:
    """What templates have learnt from incidents and their projects have not taken up yet."""
    return lessons_offered(server.app, me)


@router.get("/projects/{project}/goals")
def list_goals(project: Name, server: Server, me: Me) -> list[Goal]:
    """What the project is held to: each goal as its charter defines it, for all roles."""
    return list(goals(server.app, me, project))


@router.get("/projects/{project}/lifecycle")
def show_stages(project: Name, server: Server, me: Me) -> list[Stage]:
    """The loop of one project from declare to decide: where it stands, and whose work each stage is."""
    return stages(server.app, me, project)


@router.get("/projects/{project}/readiness")
def show_readiness(project: Name, server: Server, me: Me) -> Readiness:
    """How ready the project is for production, with each gap, its evidence and the next step."""
    return readiness(server.app, me, project)


@router.get("/projects/{project}/value")
def show_value(project: Name, server: Server, me: Me) -> Realised:
    """The realised value by month, beside what was promised."""
    return value(server.app, me, project)
