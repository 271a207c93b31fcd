"""``/incidents``: what looked suspicious, who looks into it, and what came of it."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.composition import App
from headrace.app.governance import incidents
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.web.identity import principal_of
from headrace.web.pages.evidence import blocks
from headrace.web.pages.forms import read_form
from headrace.web.pages.rendering import parts_of, renderer_of


def show_all(request: Request) -> Response:
    """All incidents that the reader may look into: what is open first."""
    app, me = parts_of(request).app, principal_of(request.scope)
    found = incidents.incidents(app, me)
    return renderer_of(request).page(
        request,
        "incidents.html",
        pending=[one for one in found if one.state != "closed"],
        closed=[one for one in found if one.state == "closed"],
    )


def show(request: Request) -> Response:
    """One incident: its evidence, and what was found out."""
    app, me = parts_of(request).app, principal_of(request.scope)
    found = incidents.incident(app, me, request.path_params["id"])
    return renderer_of(request).page(
        request,
        "incident.html",
        incident=found,
        kind=_kind_of(app, found.subject),
        blocks=blocks(found.evidence),
        may_audit=app.gatekeeper.allows(me, "audit.read", "audit:log"),
    )


async def step(request: Request) -> Response:
    """Take it over, add a note, or close it with its result."""
    app, me, wanted = parts_of(request).app, principal_of(request.scope), request.path_params["id"]
    form = await read_form(request)
    await run_in_threadpool(_step, app, me, wanted, form.get("step", ""), form.get("text", ""))
    return RedirectResponse(f"/incidents/{wanted}", 303)


async def flag(request: Request) -> Response:
    """Say that something about an identity looks suspicious; whoever has a role may."""
    app, me = parts_of(request).app, principal_of(request.scope)
    form = await read_form(request)
    await run_in_threadpool(incidents.flag, app, me, form.get("name", "").strip(), form.get("why", ""))
    return RedirectResponse("/flag?thanks", 303)


def show_flag(request: Request) -> Response:
    """The form for saying so."""
    return renderer_of(request).page(request, "flag.html", thanks="thanks" in request.query_params)


def _kind_of(app: App, subject: str) -> str:
    """What an incident is about: an identity is named plainly, anything else as ``kind:name``."""
    kind, colon, _ = subject.partition(":")
    if colon:
        return kind
    return "" if app.store.principals.find(subject) is None else "principal"


def _step(app: App, me: Principal, wanted: str, kind: str, text: str) -> None:
    match kind:
        case "take":
            incidents.take(app, me, wanted)
        case "note":
            incidents.note(app, me, wanted, text)
        case "close":
            incidents.close(app, me, wanted, text)
        case other:
            raise InvalidInput(f"A step is 'take', 'note' or 'close', got {other[:40]!r}.")
