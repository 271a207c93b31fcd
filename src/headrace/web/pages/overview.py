"""``/``: every project in a line, and what waits for a person."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headrace.app import reading
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.pages.series import Spark, spark

_SHOWN_WINDOWS = 30


@dataclass(frozen=True, kw_only=True)
class Line:
    """One project: declared, at a glance, and its live release's loss as a small line."""

    project: Project
    glance: reading.Glance
    spark: Spark | None


def show(request: Request) -> Response:
    """The overview."""
    app, me = parts_of(request).app, principal_of(request.scope)
    glances = {glance.name: glance for glance in reading.overview(app, me).projects}
    lines = []
    for project in reading.projects(app, me):
        glance = glances[project.name]
        losses = [m for m in reading.performance(app, me, project.name) if m.release_id == glance.live_id]
        reference = losses[-1].detail.get("reference") if losses else None
        drawn = spark([m.value for m in losses[-_SHOWN_WINDOWS:]], reference=reference)
        lines.append(Line(project=project, glance=glance, spark=drawn))
    waiting: list[Release] = [r for r in reading.releases(app, me) if r.state == "waiting"]
    return renderer_of(request).page(request, "overview.html", lines=lines, waiting=waiting)
