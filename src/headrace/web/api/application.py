"""The FastAPI application of ``/api``: routes, and every error as a problem document."""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from headrace.core.errors import HeadraceError
from headrace.core.ids import new_id
from headrace.web.api import (
    access_grants,
    access_policies,
    alerts,
    answers,
    catalogue,
    drafts,
    feedback,
    governance,
    handoffs,
    history,
    identities,
    incidents,
    later,
    llm,
    monitors,
    predict,
    projects,
    promised,
    releases,
    tokens,
    traces,
)
from headrace.web.parts import Parts
from headrace.web.problems import MEDIA_TYPE, SCHEMA, problem, problem_of, problem_of_shape

_log = logging.getLogger(__name__)
_DESCRIPTION = (
    "The control plane of Headrace. Every request carries `Authorization: Bearer TOKEN`; "
    "`headrace access token --as NAME` prints one that lives 15 minutes. "
    "Errors are problem documents (RFC 9457)."
)


class _Api(FastAPI):
    """Describes errors as they are answered, and not as FastAPI would answer them."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = SCHEMA
            shown = {"schema": {"$ref": "#/components/schemas/Problem"}}
            refused = {"description": "A problem.", "content": {MEDIA_TYPE: shown}}
            for methods in document["paths"].values():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = refused
        return self.openapi_schema or {}


def api_application(parts: Parts) -> FastAPI:
    """Everything below ``/api``, paths taken whole."""
    api = _Api(
        title="Headrace",
        version=version("headrace"),
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        routes=list(_nouns().routes),
    )
    api.state.parts = parts
    _answer_errors(api, parts)
    return api


@cache
def _nouns() -> APIRouter:
    """The routes of every server of this process: they hold nothing of one, and what they take and give takes
    a tenth of a second to work out.

    What ``FastAPI`` is given for its own routes, such as dependencies, does not hold for these.
    """
    router = APIRouter()
    for noun in (
        projects,
        releases,
        monitors,
        alerts,
        predict,
        later,
        answers,
        history,
        incidents,
        identities,
        tokens,
        access_policies,
        access_grants,
        governance,
        llm,
        promised,
        catalogue,
        feedback,
        drafts,
        handoffs,
        traces,
    ):
        router.include_router(noun.router, prefix="/api/v1")
    return router


def _answer_errors(api: FastAPI, parts: Parts) -> None:
    clock = parts.app.clock

    @api.exception_handler(HeadraceError)
    def _ours(request: Request, error: HeadraceError) -> Response:
        return problem_of(error, instance=request.url.path, now=clock.now())

    @api.exception_handler(RequestValidationError)
    def _shape(request: Request, error: RequestValidationError) -> Response:
        return problem_of_shape(error.errors(), instance=request.url.path, body=error.body)

    @api.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        detail = f"{request.method} {request.url.path[:200]}: {error.detail}"
        return problem(error.status_code, detail, instance=request.url.path, headers=error.headers)

    @api.exception_handler(Exception)
    def _broken(request: Request, error: Exception) -> Response:
        incident = new_id(clock.now())
        _log.error("Incident %s at %s", incident, request.url.path, exc_info=error)
        detail = f"Headrace failed to answer. The server's log has the details under {incident}."
        return problem(500, detail, instance=request.url.path, kind="InternalError")
