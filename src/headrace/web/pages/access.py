"""``/access``: everybody who can do something here, what they hold and what is wrong; and freezing."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.governance import grants, identities, incidents, inventory
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_form
from headrace.web.pages.rendering import parts_of, renderer_of


def show(request: Request) -> Response:
    """All identities of the reader's workspace, roles for a while, and roles that nobody uses."""
    app, me = parts_of(request).app, principal_of(request.scope)
    return renderer_of(request).page(
        request,
        "access.html",
        reports=inventory.summaries(app, me),
        unused=inventory.unused(app, me),
        grants=grants.grants(app, me, "active"),
        may_write=app.gatekeeper.allows(me, "access.write", f"workspace:{me.workspace}"),
    )


def show_identity(request: Request) -> Response:
    """One identity: what it may, did and never did, and what it proves itself with."""
    app, me = parts_of(request).app, principal_of(request.scope)
    name = request.path_params["name"]
    keeper, resource = app.gatekeeper, f"principal:{name}"
    report = inventory.identity(app, me, name)
    never_used: dict[tuple[str, ...], list[str]] = {}  # one line for all resources with the same actions
    for reach in report.never_used:
        never_used.setdefault(reach.actions, []).append(reach.resource)
    return renderer_of(request).page(
        request,
        "identity.html",
        report=report,
        never_used=never_used,
        incidents=incidents.incidents_about(app, me, name),
        may_audit=keeper.allows(me, "audit.read", "audit:log"),
        may_write=keeper.allows(me, "access.write", resource)
        or keeper.lacks_proof(me, "access.write", resource),
    )


async def freeze(request: Request) -> Response:
    """Let an identity do nothing, from its next request on."""
    app, me, name = parts_of(request).app, principal_of(request.scope), request.path_params["name"]
    reason = (await read_form(request)).get("reason", "")
    await run_in_threadpool(identities.freeze, app, me, name, reason)
    return RedirectResponse(f"/access/{name}", 303)


def unfreeze(request: Request) -> Response:
    """Let it act again."""
    app, me, name = parts_of(request).app, principal_of(request.scope), request.path_params["name"]
    identities.unfreeze(app, me, name)
    return RedirectResponse(f"/access/{name}", 303)


def end_grant(request: Request) -> Response:
    """End a role before its time."""
    app, me = parts_of(request).app, principal_of(request.scope)
    grants.end(app, me, request.path_params["id"])
    return RedirectResponse("/access", 303)
