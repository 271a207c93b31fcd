"""The pages as one Starlette application, and every error as a page."""

from __future__ import annotations

import contextlib
import logging
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.app.overviews import reading
from headrace.core.errors import HeadraceError, ProofNeeded, Unauthenticated
from headrace.core.ids import new_id
from headrace.serving.telling import told
from headrace.web.identity import Refuse, Scope, SessionEnded, find_principal
from headrace.web.pages import (
    access,
    alerts,
    answers,
    approvals,
    asked,
    assets,
    audit,
    downloads,
    drafts,
    explain,
    handoffs,
    incidents,
    labelling,
    overview,
    portfolio,
    project,
    prompts,
    provider,
    readiness,
    release,
    rollout,
    security,
    shadow,
    signin,
    status,
    texts,
    traces,
    waivers,
    widget,
)
from headrace.web.pages.rendering import Renderer, parts_of, renderer_of
from headrace.web.parts import Parts
from headrace.web.problems import problem, status_of

_log = logging.getLogger(__name__)
OPEN_PATHS = (
    "/signin",
    "/signin/oidc",
    "/signin/oidc/callback",
    "/slack/actions",
    "/feedback",
    "/healthz",
    "/readyz",
    "/static/",
    "/favicon.ico",
    "/.well-known/jwks.json",
)
"""Answered for anybody."""

_ROUTES = [
    Route("/", overview.show),
    Route("/fleet.{form}", downloads.show_fleet),
    Route("/portfolio", portfolio.show),
    Route("/portfolio.json", portfolio.as_json),
    Route("/assets", assets.show),
    Route("/projects/{name}", project.show),
    Route("/projects/{name}/watch", project.watch, methods=["POST"]),
    Route("/projects/{name}/rollback", project.rollback, methods=["POST"]),
    Route("/projects/{name}/fallback", project.fallback, methods=["POST"]),
    Route("/projects/{name}/review", project.review, methods=["POST"]),
    Route("/projects/{name}/answers", answers.show),
    Route("/projects/{name}/labelling", labelling.show),
    Route("/projects/{name}/labelling", labelling.judge, methods=["POST"]),
    Route("/projects/{name}/drafts", drafts.show),
    Route("/projects/{name}/drafts", drafts.decide, methods=["POST"]),
    Route("/projects/{name}/handoffs", handoffs.show),
    Route("/projects/{name}/handoffs", handoffs.act, methods=["POST"]),
    Route("/projects/{name}/traces", traces.show_all),
    Route("/projects/{name}/traces/{trace_id}.json", traces.as_otlp),
    Route("/projects/{name}/traces/{trace_id}", traces.show),
    Route("/projects/{name}/prompts", prompts.show),
    Route("/projects/{name}/budgets", prompts.show_budgets),
    Route("/projects/{name}/guards", prompts.show_guards),
    Route("/projects/{name}/readiness", readiness.show),
    Route("/projects/{name}/readiness.json", readiness.as_json),
    Route("/projects/{name}/value.json", readiness.value_as_json),
    Route("/projects/{name}/{file}", downloads.show),
    Route("/releases/{release_id}", release.show),
    Route("/releases/{release_id}/rollout", rollout.show),
    Route("/releases/{release_id}/looks.{form}", rollout.download),
    Route("/releases/{release_id}/flight", release.tick_item, methods=["POST"]),
    Route("/releases/{release_id}/decision", release.settle, methods=["POST"]),
    Route("/access", access.show),
    Route("/access/grants/{id}/end", access.end_grant, methods=["POST"]),
    Route("/access/{name}", access.show_identity),
    Route("/access/{name}/freeze", access.freeze, methods=["POST"]),
    Route("/access/{name}/unfreeze", access.unfreeze, methods=["POST"]),
    Route("/alerts", alerts.show_all),
    Route("/alerts/periods", alerts.name_period, methods=["POST"]),
    Route("/alerts/{id}", alerts.show),
    Route("/alerts/{id}", alerts.answer, methods=["POST"]),
    Route("/incidents", incidents.show_all),
    Route("/incidents/{id}", incidents.show),
    Route("/incidents/{id}", incidents.step, methods=["POST"]),
    Route("/flag", incidents.show_flag),
    Route("/flag", incidents.flag, methods=["POST"]),
    Route("/asked/{token}", asked.show),
    Route("/asked/{token}", asked.settle, methods=["POST"]),
    Route("/slack/actions", asked.slack, methods=["POST"]),
    Route("/feedback", widget.take, methods=["POST"]),
    Route("/approvals", approvals.show),
    Route("/approvals/{kind}/{id}", approvals.settle, methods=["POST"]),
    *(
        Route(pages.address + path, handler, methods=[method])
        for pages in texts.ALL
        for path, handler, method in (
            ("", pages.show, "GET"),
            ("/propose", pages.edit, "GET"),
            ("/propose", pages.propose, "POST"),
            ("/check", pages.check, "POST"),
            ("/{version:int}", pages.show_version, "GET"),
            ("/{version:int}/decision", pages.settle, "POST"),
        )
    ),
    Route("/policy/acceptable-use/acknowledge", texts.acknowledge, methods=["POST"]),
    Route("/policy/llm/switch", texts.switch, methods=["POST"]),
    Route("/policy/shadow", shadow.show),
    Route("/policy/waivers", waivers.show_all),
    Route("/policy/waivers", waivers.ask, methods=["POST"]),
    Route("/policy/waivers/{id}", waivers.show),
    Route("/policy/waivers/{id}/decision", waivers.settle, methods=["POST"]),
    Route("/policy/explain", explain.show),
    Route("/audit", audit.show),
    Route("/audit/verify", audit.verify, methods=["POST"]),
    Route("/signin", signin.show),
    Route("/signin", signin.enter, methods=["POST"]),
    Route("/signin/oidc", provider.begin),
    Route("/signin/oidc/callback", provider.finish),
    Route("/signout", signin.leave, methods=["POST"]),
    Route("/security", security.show),
    Route("/security/app", security.show_app),
    Route("/security/app", security.begin_app, methods=["POST"]),
    Route("/security/app/code", security.add_app, methods=["POST"]),
    Route("/security/passkey", security.add_passkey, methods=["POST"]),
    Route("/security/passkey/options", security.offer_passkey, methods=["POST"]),
    Route("/security/factors/{factor_id}/remove", security.remove, methods=["POST"]),
    Route("/security/signout", security.leave_everywhere, methods=["POST"]),
    Route("/security/prove", security.ask),
    Route("/security/prove", security.prove_by_code, methods=["POST"]),
    Route("/security/prove/options", security.ask_passkey, methods=["POST"]),
    Route("/security/prove/passkey", security.prove_by_passkey, methods=["POST"]),
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
        code, said = status_of(error), told(error)
        if not _wants_page(request):
            return problem(code, said, instance=scope["path"], kind=type(error).__name__)
        if isinstance(error, Unauthenticated):
            target = signin.safe_target(scope["path"])
            ended = str(error) if isinstance(error, SessionEnded) else ""
            response = renderer.page(request, "signin.html", code, problem=ended, target=target)
            response.headers["www-authenticate"] = "Bearer"
            return response
        return renderer.page(
            request, "error.html", code, title=_TITLES.get(code, "Refused"), detail=said, project=""
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
    detail = told(error, parts_of(request).app.clock.now())
    if isinstance(error, ProofNeeded) and _wants_page(request):
        return security.prove_page(request, _came_from(request), problem=detail, status=status_of(error))
    return _answer(request, status_of(error), detail, kind=type(error).__name__)


def _came_from(request: Request) -> str:
    """The page to go on with: this one, or the one whose form was sent."""
    if request.method == "GET":
        return request.url.path
    page = urlsplit(request.headers.get("referer", ""))
    return page.path if page.netloc == request.headers.get("host") else "/"


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


def _answer(request: Request, code: int, detail: str, *, kind: str | None = None) -> Response:
    if not _wants_page(request):
        return problem(code, detail, instance=request.url.path, kind=kind)
    title = _TITLES.get(code, "Refused")
    return renderer_of(request).page(
        request, "error.html", code, title=title, detail=detail, project=_project_of(request)
    )


def _project_of(request: Request) -> str:
    """The project whose page was asked for, if there is one that the reader may see."""
    me, name = find_principal(request.scope), request.path_params.get("name", "")
    if me is not None and request.url.path.startswith(f"/projects/{name}/"):
        with contextlib.suppress(HeadraceError):
            return reading.project(parts_of(request).app, me, name).name
    return ""


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
