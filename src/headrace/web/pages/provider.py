"""Signing in at the OpenID provider that the settings name: there, and back again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.access.oidc import Provider
from headrace.access.signins import WAIT_S
from headrace.app.governance import linking
from headrace.core.errors import HeadraceError, NotFound, Unauthenticated, Unavailable
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.pages.signin import ask, safe_target, welcome
from headrace.web.problems import status_of

COOKIE = "headrace_signin"
_PATH = "/signin/oidc"


def begin(request: Request) -> Response:
    """Send the browser to the provider."""
    parts, provider = parts_of(request), _provider(request)
    redirect_uri = f"{request.url.scheme}://{request.headers.get('host', '')}{_PATH}/callback"
    try:
        address, attempt = provider.begin(redirect_uri)
    except Unavailable as error:
        return ask(request, status=status_of(error), problem=str(error))
    sealed = parts.app.access.signins.begin(attempt, safe_target(request.query_params.get("next", "/")))
    response = RedirectResponse(address, 303)
    # Lax: the browser has to send it when the provider sends the person back.
    response.set_cookie(
        COOKIE, sealed, max_age=WAIT_S, path=_PATH, httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


def finish(request: Request) -> Response:
    """Let in whoever comes back with the provider's word."""
    provider = _provider(request)
    try:
        response = _finish(request, provider)
    except (Unauthenticated, Unavailable) as error:
        response = ask(request, status=status_of(error), problem=str(error))
    response.delete_cookie(COOKIE, path=_PATH, httponly=True, samesite="lax")
    return response


def _finish(request: Request, provider: Provider) -> Response:
    parts, said = parts_of(request), request.query_params
    state = said.get("state", "")
    begun = parts.app.access.signins.finish(request.cookies.get(COOKIE, ""), state)
    if "code" not in said:
        why = said.get("error", "no code")[:100]
        raise Unauthenticated(
            f"The provider did not sign you in ({why}). Start over, or ask whoever runs it."
        )
    person = provider.finish(begun.attempt, state, said["code"], said.get("iss", ""))
    name = linking.known_as(parts.app, person)
    if name is None:
        return renderer_of(request).page(
            request, "stranger.html", 403, person=person, admins=linking.whom_to_ask(parts.app)
        )
    return welcome(request, name, begun.target)


def _provider(request: Request) -> Provider:
    provider = parts_of(request).app.provider
    if provider is None:
        error: HeadraceError = NotFound(
            "No OpenID provider is set here. Sign in at /signin, or set HEADRACE_OIDC_ISSUER."
        )
        raise error
    return provider
