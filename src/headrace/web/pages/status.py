"""What machines ask: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace.web.identity import principal_of
from headrace.web.metrics import MEDIA_TYPE, exposition
from headrace.web.pages.rendering import parts_of, renderer_of


async def healthz(_: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Routes are known, and answers can be stored or are given without record.

    Those of language models never are given without.
    """
    parts = parts_of(request)
    stores = parts.recorder.is_worth_asking() or not parts.gateway.routes.all()
    ready = stores and parts.handler.ready()
    return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


def jwks(request: Request) -> Response:
    """The public keys that verify our tokens (RFC 7517)."""
    return JSONResponse(parts_of(request).app.access.keys.jwks(), media_type="application/jwk-set+json")


def metrics(request: Request) -> Response:
    """Prometheus' text format, about the projects that the reader may see."""
    return Response(exposition(parts_of(request), principal_of(request.scope)), media_type=MEDIA_TYPE)


def asset(request: Request) -> Response:
    """A script, style or image of the pages."""
    return renderer_of(request).assets.answer(request.path_params["name"])


def icon(request: Request) -> Response:
    """The icon that browsers ask for by this name."""
    return renderer_of(request).assets.answer("icon.svg")
