"""``/portfolio``: all models by value and risk, where they stand, and what they wait for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace.app.business.portfolio import portfolio
from headrace.app.overviews.stalls import lifecycle_map
from headrace.core.canonical import plain
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of, renderer_of


def show(request: Request) -> Response:
    """The most valuable first; then the map of all stages, the longest waiting first."""
    app, me = parts_of(request).app, principal_of(request.scope)
    return renderer_of(request).page(
        request, "portfolio.html", lines=portfolio(app, me), map=lifecycle_map(app, me)
    )


def as_json(request: Request) -> Response:
    """The same as JSON."""
    return JSONResponse(plain(portfolio(parts_of(request).app, principal_of(request.scope))))
