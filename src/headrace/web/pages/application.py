"""The pages as one Starlette application, and every error as a page."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.errors import HeadraceError, Unauthenticated
from headrace.core.ids import new_id
from headrace.web.identity import Refuse, Scope
from headrace.web.pages import audit, downloads, overview, project, release, signin, status
from headrace.web.pages.rendering import Renderer, parts_of, renderer_of
from headrace.web.parts import Parts
from headrace.web.problems import problem, shown_message, status_of

_log = logging.getLogger(__name__)
OPEN_PATHS = ("/signin", "/healthz", "/readyz", "/static/", "/favicon.ico", "/.well-known/jwks.json")
"""Answered for anybody."""

_ROUTES = [
    Route("/", overview.show),
    Route("/projects/{name}", project.show),
    Route("/projects/{name}/watch", project.watch, methods=["POST"]),
    Route("/projects/{name}/rollback", project.rollback, methods=["POST"]),
    Route("/projects/{name}/{file}", downloads.show),
    Route("/releases/{release_id}", release.show),
    Route("/releases/{release_id}/decision", release.settle, methods=["POST"]),
    Route("/audit", audit.show),
    Route("/audit/verify", audit.verify, methods=["POST"]),
    Route("/signin", signin.show),
    Route("/signin", signin.enter, methods=["POST"]),
    Route("/signout", signin.leave, methods=["POST"]),
    Route("/static/{name}", status.asset),
    Route("/favicon.ico", status.icon),
    Route("/metrics", status.metrics),
    Route("/.well-known/jwks.json", status.jwks),
    Route("/healthz", status.healthz),
    Route("/readyz", status.readyz),
]


def page_application(parts: Parts, renderer: Renderer) -> Starlette:
    """Everything that is neither ``/v2`` nor ``/api``."""
    handlers = {HeadraceError: _ours, HTTPException: _http, Exception: _broken}
    pages = Starlette(routes=_ROUTES, exception_handlers=handlers)  # type: ignore[arg-type]
    pages.state.parts = parts
    pages.state.renderer = renderer
    return pages


def refuse_page(renderer: Renderer) -> Refuse:
    """What somebody unknown gets: browsers the sign-in page, programs a problem document; both are 401."""

    def refuse(scope: Scope, error: HeadraceError) -> Response:
        request = Request(scope)
        code = status_of(error)
        if not _wants_page(request):
            return problem(code, str(error), instance=scope["path"], kind=type(error).__name__)
        if isinstance(error, Unauthenticated):
            target = signin.safe_target(scope["path"])
            response = renderer.page(request, "signin.html", code, problem="", target=target)
            response.headers["www-authenticate"] = "Bearer"
            return response
        return renderer.page(
            request, "error.html", code, title=_TITLES.get(code, "Refused"), detail=str(error)
        )

    return refuse


_TITLES = {
    400: "That was not understood",
    403: "You may not do this",
    404: "Not here",
    409: "It has changed meanwhile",
    500: "Headrace failed",
    503: "Not available right now",
}


def _ours(request: Request, error: HeadraceError) -> Response:
    return _answer(request, status_of(error), shown_message(error, parts_of(request).app.clock.now()))


def _http(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    if error.status_code == 404:
        detail = f"There is no page {request.url.path[:200]!r}. The overview lists everything."
    response = _answer(request, error.status_code, detail)
    response.headers.update(error.headers or {})
    return response


def _broken(request: Request, error: Exception) -> Response:
    incident = new_id(parts_of(request).app.clock.now())
    _log.error("Incident %s at %s", incident, request.url.path, exc_info=error)
    detail = f"Headrace failed to answer. The server's log has the details under {incident}."
    return _answer(request, 500, detail)


def _answer(request: Request, code: int, detail: str) -> Response:
    if not _wants_page(request):
        return problem(code, detail, instance=request.url.path)
    title = _TITLES.get(code, "Refused")
    return renderer_of(request).page(request, "error.html", code, title=title, detail=detail)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
