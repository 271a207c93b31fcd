"""``/security``: one's own second factors and sessions, and proving that it is oneself."""

from __future__ import annotations

from typing import Any

import msgspec
import segno
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from headrace.access.passkeys import Site
from headrace.app import credentials
from headrace.app.governance import proving
from headrace.app.governance.proving import Proved
from headrace.core.errors import Denied, InvalidInput
from headrace.core.identity import Principal
from headrace.web.identity import cookie, end_session, principal_of
from headrace.web.pages.forms import read_form
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.pages.signin import safe_target

_PROVE = "/security/prove"


def show(request: Request) -> Response:
    """One's own second factors."""
    me = principal_of(request.scope)
    factors = proving.own_factors(parts_of(request).app, me)
    return renderer_of(request).page(
        request,
        "security.html",
        factors=factors,
        has_app=any(factor.kind == "code" for factor in factors),
        no_site=_no_site(request),
        proved=_proved_until(request, me),
    )


def begin_app(request: Request) -> Response:
    """Make a key for an authenticator app."""
    proving.begin_app(parts_of(request).app, _in_browser(request))
    return RedirectResponse("/security/app", 303)


def show_app(request: Request) -> Response:
    """The key that waits for its first code."""
    return _app_page(request)


async def add_app(request: Request) -> Response:
    """Keep the key, once its first code is right."""
    me, form = _in_browser(request), await read_form(request)
    try:
        proved = await run_in_threadpool(proving.add_app, parts_of(request).app, me, form.get("code", ""))
    except (Denied, InvalidInput) as error:
        if proving.pending_app(parts_of(request).app, me) is None:
            raise
        return await run_in_threadpool(_app_page, request, str(error), 403)
    _note(request, proved)
    return RedirectResponse("/security", 303)


async def offer_passkey(request: Request) -> Response:
    """What the browser is asked to make."""
    me, site = _in_browser(request), _site(request)
    return JSONResponse(await run_in_threadpool(proving.offer_passkey, parts_of(request).app, me, site))


async def add_passkey(request: Request) -> Response:
    """Keep the passkey that the browser has made."""
    me, site, sent = _in_browser(request), _site(request), await _read_json(request)
    answer, label = sent.get("answer"), sent.get("label")
    if not isinstance(answer, dict) or not isinstance(label, str):
        raise InvalidInput('The body has another form. Expected {"answer": {...}, "label": "..."}.')
    _note(
        request,
        await run_in_threadpool(proving.add_passkey, parts_of(request).app, me, site, answer, label),
    )
    return JSONResponse({"next": "/security"})


def remove(request: Request) -> Response:
    """End one second factor."""
    me = principal_of(request.scope)
    proving.remove_factor(parts_of(request).app, me, request.path_params["factor_id"])
    return RedirectResponse("/security", 303)


def leave_everywhere(request: Request) -> Response:
    """Sign out in every browser, on every worker; tokens end with it."""
    parts, me = parts_of(request), principal_of(request.scope)
    credentials.revoke_tokens(parts.app, me, me.name)
    parts.app.store.audit.append(me.name, "session.end", f"principal:{me.name}", {"everywhere": True})
    parts.sessions.close_all(me.name)
    response = RedirectResponse("/signin", 303)
    end_session(response)
    return response


def ask(request: Request) -> Response:
    """Where one proves that it is oneself."""
    return prove_page(request, request.query_params.get("next", "/"))


def prove_page(request: Request, target: str, *, problem: str = "", status: int = 200) -> Response:
    """The page that asks for a second factor and then goes on to ``target``."""
    me, no_site = principal_of(request.scope), _no_site(request)
    factors = proving.own_factors(parts_of(request).app, me)
    host = "" if no_site else _site(request).name
    return renderer_of(request).page(
        request,
        "prove.html",
        status,
        problem=problem,
        target=safe_target(target),
        has_app=any(factor.kind == "code" for factor in factors),
        has_passkey=any(factor.site == host for factor in factors if factor.kind == "passkey"),
        elsewhere=sorted({factor.site for factor in factors if factor.kind == "passkey"} - {host}),
    )


async def prove_by_code(request: Request) -> Response:
    """Take the code of an authenticator app, and go on."""
    me, form = _in_browser(request), await read_form(request)
    target = safe_target(form.get("next", "/"))
    try:
        proved = await run_in_threadpool(
            proving.prove_by_code, parts_of(request).app, me, form.get("code", "")
        )
    except (Denied, InvalidInput) as error:
        return await run_in_threadpool(prove_page, request, target, problem=str(error), status=403)
    _note(request, proved)
    return RedirectResponse(target, 303)


async def ask_passkey(request: Request) -> Response:
    """What the browser's passkey is asked to sign."""
    me, site = _in_browser(request), _site(request)
    return JSONResponse(await run_in_threadpool(proving.ask_passkey, parts_of(request).app, me, site))


async def prove_by_passkey(request: Request) -> Response:
    """Take what the passkey has signed."""
    me, site, sent = _in_browser(request), _site(request), await _read_json(request)
    answer = sent.get("answer")
    if not isinstance(answer, dict):
        raise InvalidInput('The body has another form. Expected {"answer": {...}}.')
    _note(request, await run_in_threadpool(proving.prove_by_passkey, parts_of(request).app, me, site, answer))
    return JSONResponse({})


def _app_page(request: Request, problem: str = "", status: int = 200) -> Response:
    waiting = proving.pending_app(parts_of(request).app, principal_of(request.scope))
    if waiting is None:
        return RedirectResponse("/security", 303)
    groups = [waiting.key[at : at + 4] for at in range(0, len(waiting.key), 4)]
    return renderer_of(request).page(
        request,
        "app.html",
        status,
        groups=groups,
        link=waiting.link,
        code=qr_code(waiting.link),
        problem=problem,
    )


def qr_code(link: str) -> Markup:
    """``link`` as an SVG that a phone's camera reads: black on white, also where the page is dark.

    The quiet zone of four modules around it is what ISO/IEC 18004 asks for.
    """
    drawn = segno.make_qr(link, error="m").svg_inline(
        scale=4, border=4, dark="#000", light="#fff", svgclass=None, lineclass=None, omitsize=True
    )
    return Markup(drawn)  # noqa: S704 - drawn from modules alone: nothing of the link's text is in it


def _in_browser(request: Request) -> Principal:
    """Who asks. A proof is kept in a browser's session; a token has none to keep it in."""
    parts = parts_of(request)
    if "authorization" in request.headers or parts.sessions.find(cookie(request.scope)) is None:
        raise InvalidInput("A second factor is shown in a browser. Sign in at /signin, without a token.")
    return principal_of(request.scope)


def _note(request: Request, proved: Proved) -> None:
    parts_of(request).sessions.prove(cookie(request.scope), proved.until, proved.proof)


def _proved_until(request: Request, me: Principal) -> object:
    session = me.session
    fresh = parts_of(request).app.gatekeeper.circumstance(me).proved
    return session.proved_until if fresh and session is not None else None


def _site(request: Request) -> Site:
    return Site.at(request.headers.get("host", ""))


def _no_site(request: Request) -> str:
    """Where this page can be opened so that passkeys work; empty if they work here."""
    try:
        _site(request)
    except InvalidInput:
        port = request.url.port
        return f"{request.url.scheme}://localhost{f':{port}' if port else ''}/security"
    return ""


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The body is no JSON object ({error}).") from error
