"""``/approvals``: everything that waits for a person, with the buttons for whoever may decide."""

from __future__ import annotations

from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.composition import App
from headrace.app.governance import grants, waivers
from headrace.app.inbox import inbox
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.web.identity import principal_of
from headrace.web.pages.causes import cause_of
from headrace.web.pages.forms import read_form
from headrace.web.pages.rendering import parts_of, renderer_of


def show(request: Request) -> Response:
    """What waits, the reader's own decisions first."""
    app, me = parts_of(request).app, principal_of(request.scope)
    waiting = [
        replace(one, why=cause_of(one.why).text) if one.kind == "release" else one for one in inbox(app, me)
    ]
    return renderer_of(request).page(request, "approvals.html", waiting=waiting)


async def settle(request: Request) -> Response:
    """Decide, as the page's buttons say; releases and texts are decided on their own pages."""
    app, me = parts_of(request).app, principal_of(request.scope)
    decision = (await read_form(request)).get("decision", "")
    await run_in_threadpool(
        _decide, app, me, request.path_params["kind"], request.path_params["id"], decision
    )
    return RedirectResponse("/approvals", 303)


def _decide(app: App, me: Principal, kind: str, wanted: str, decision: str) -> None:
    if decision not in ("approved", "refused"):
        raise InvalidInput(f"A decision is 'approved' or 'refused', got {decision[:40]!r}.")
    approves = decision == "approved"
    if kind == "grant":
        grants.decide(app, me, wanted, "approved" if approves else "refused")
    elif kind == "waiver":
        waivers.decide(app, me, wanted, "approved" if approves else "rejected")
    else:
        raise NotFound(f"Nothing called {kind[:40]!r} waits here under {wanted[:40]!r}.")
