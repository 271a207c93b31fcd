"""``/projects/{name}/readiness``: what the project promises, how ready it is, and who owns each stage."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace.app.business.value import value
from headrace.app.overviews import reading
from headrace.app.overviews.goals import goals
from headrace.app.overviews.readiness import readiness
from headrace.core.canonical import plain
from headrace.projects.intake import intake_of
from headrace.web.identity import principal_of
from headrace.web.pages.places import bar_of
from headrace.web.pages.project import project_name
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.pages.value_plot import value_plot


def show(request: Request) -> Response:
    """The gaps first, then what is there, then the stages."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    project, found = reading.project(app, me, name), readiness(app, me, name)
    worth = value(app, me, name)
    return renderer_of(request).page(
        request,
        "readiness.html",
        project=project,
        bar=bar_of(request, name),
        intake=intake_of(project),
        found=found,
        goals=goals(app, me, name),
        worth=worth,
        plot=value_plot(worth),
    )


def as_json(request: Request) -> Response:
    """The same as JSON."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    return JSONResponse(plain(readiness(app, me, name)))


def value_as_json(request: Request) -> Response:
    """The realised value by month, beside the hypothesis."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    return JSONResponse(plain(value(app, me, name)))
