"""HTTP as MLflow's scoring server speaks it: ``/invocations/MODEL``, ``/ping``, ``/health``, ``/version``."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import msgspec

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.networks import network_of
from headrace.serving.handler import Handler
from headrace.serving.mlflow_forms import InvocationCall, encode_answer, read_csv, read_json
from headrace.serving.wire import (
    INLINE_BYTES,
    MAX_BODY_BYTES,
    Answer,
    Headers,
    Receive,
    Refused,
    Scope,
    Send,
    only,
    read_body,
    serve,
)

PATHS = frozenset(("/ping", "/health", "/version", "/invocations"))
BELOW = "/invocations/"
_JSON, _CSV = "application/json", "text/csv"
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "BAD_REQUEST",
    409: "RESOURCE_CONFLICT",
    413: "REQUEST_LIMIT_EXCEEDED",
    415: "BAD_REQUEST",
    503: "TEMPORARILY_UNAVAILABLE",
}


class InvocationsApp:
    """ASGI application for MLflow's clients. A model is named in the path: a server has several.

    Args:
        max_body_bytes: longer requests are refused with 413.
    """

    def __init__(
        self, handler: Handler, gatekeeper: Gatekeeper, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._handler = handler
        self._gatekeeper = gatekeeper
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error has MLflow's own form."""
        await serve(self, scope, receive, send)

    def error(self, status: int, message: str) -> bytes:
        """As MLflow writes an error."""
        return msgspec.json.encode({"error_code": _CODES.get(status, "INTERNAL_ERROR"), "message": message})

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Answer one request."""
        path: str = scope["path"]
        if path in ("/ping", "/health"):
            only(scope, "GET")
            return Answer(200 if self._handler.ready() else 503, b"\n")
        me = self._gatekeeper.authenticate(headers.authorization, network_of(scope.get("client")))
        if path == "/version":
            only(scope, "GET")
            return Answer(200, version("mlflow-skinny").encode(), b"text/plain; charset=utf-8")
        only(scope, "POST")
        name = path.removeprefix(BELOW) if path.startswith(BELOW) else ""
        if not name or "/" in name:
            raise Refused(
                404, f"{path[:200]!r} names no model, and this server has several: /invocations/MODEL."
            )
        body = await read_body(headers, receive, self._max_body_bytes)
        if len(body) <= INLINE_BYTES:
            call = _read(headers.media_type, body)
        else:
            call = await asyncio.to_thread(_read, headers.media_type, body)
        prediction = await self._handler.predict(
            name,
            call.values,
            principal=me,
            key=call.key,
            keys=call.keys,
            event_time=call.event_time,
            version=call.version,
        )
        return Answer(200, encode_answer(prediction, self._handler.version(prediction.release_id)))


def _read(media_type: str, body: bytes) -> InvocationCall:
    kind, *parameters = (part.strip() for part in media_type.lower().split(";"))
    for parameter in parameters:
        if parameter.replace('"', "") not in ("charset=utf-8", "charset=utf8", ""):
            raise Refused(
                415, f"The content type is {media_type[:80]!r}. Expected no parameter but charset=utf-8."
            )
    if kind == _JSON:
        return read_json(body)
    if kind == _CSV:
        return read_csv(body)
    raise Refused(415, f"The content type is {media_type[:80]!r}. Expected {_JSON} or {_CSV}.")
