"""Signing in with a one-time link or a pasted token, and out again."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.core.errors import NotFound, Unauthenticated
from headrace.core.identity import Session
from headrace.web.identity import (
    cookie,
    end_session,
    find_principal,
    require_same_origin,
    set_session,
)
from headrace.web.pages.forms import read_form
from headrace.web.pages.rendering import parts_of, renderer_of


def show(request: Request) -> Response:
    """The sign-in page; with a valid ticket, the way in."""
    ticket = request.query_params.get("ticket")
    if ticket is None:
        return ask(request, target=request.query_params.get("next", "/"))
    name = parts_of(request).tickets.redeem(ticket) if request.method == "GET" else None
    if name is None:
        why = "This link was used already or is older than ten minutes. The command for a new one is below."
        return ask(request, status=401, problem=why)
    return welcome(request, name)


async def enter(request: Request) -> Response:
    """Sign in with a pasted token."""
    require_same_origin(request.scope)
    form = await read_form(request)
    token, target = form.get("token", "").strip(), safe_target(form.get("next", "/"))
    app = parts_of(request).app
    try:
        principal = await run_in_threadpool(app.gatekeeper.authenticate, f"Bearer {token}" if token else None)
    except Unauthenticated as error:
        return await run_in_threadpool(ask, request, status=401, problem=str(error), target=target)
    if principal.kind != "person":
        # Its token lives minutes, bound to a run; a session would live hours, bound to nothing.
        why = f"{principal.name!r} is no person. Only people sign in; programs send their token."
        return await run_in_threadpool(ask, request, status=401, problem=why, target=target)
    return await run_in_threadpool(
        _signed_in, request, RedirectResponse(target, 303), principal.name, principal.session
    )


def leave(request: Request) -> Response:
    """Sign out."""
    parts, me = parts_of(request), find_principal(request.scope)
    parts.sessions.close(cookie(request.scope))
    if me is not None:
        parts.app.store.audit.append(me.name, "session.end", f"principal:{me.name}", {})
    response = RedirectResponse("/signin", 303)
    end_session(response)
    return response


def welcome(request: Request, name: str, target: str = "/") -> Response:
    """Let in whoever has just proved to be ``name``, unless that identity is frozen, over or gone.

    Not by a redirect: browsers send no strict cookie along one that began on another site.
    """
    try:
        parts_of(request).app.identities.resolve(name)
    except (NotFound, Unauthenticated) as error:
        return ask(request, status=401, problem=str(error), target=target)
    page = renderer_of(request).page(request, "welcome.html", name=name, target=safe_target(target))
    return _signed_in(request, page, name)


def ask(request: Request, *, status: int = 200, problem: str = "", target: str = "/") -> Response:
    """The sign-in page."""
    return renderer_of(request).page(
        request, "signin.html", status, problem=problem, target=safe_target(target)
    )


def safe_target(text: str) -> str:
    """``text`` if it is a path on this server, else the overview."""
    here = text.startswith("/") and not text.startswith(("//", "/\\", "/signin"))
    return text if here and text.isprintable() and len(text) <= 200 else "/"


def _signed_in(request: Request, response: Response, name: str, token: Session | None = None) -> Response:
    parts = parts_of(request)
    parts.sessions.close(cookie(request.scope))
    parts.app.store.audit.append(name, "session.start", f"principal:{name}", {})
    generation = parts.app.access.revocations.generation(name)
    value = parts.sessions.open(name, token, generation=generation)
    set_session(response, value, secure=request.url.scheme == "https")
    return response
