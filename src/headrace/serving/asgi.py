"""HTTP for the Open Inference Protocol: everything below ``/v2`` as one plain ASGI 3 application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.metadata import version
from typing import Any, NamedTuple

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.networks import network_of
from headrace.core.errors import (
    Conflict,
    Denied,
    HeadraceError,
    InternalError,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
    UserError,
)
from headrace.core.identity import Principal
from headrace.core.text import printable
from headrace.serving import oip
from headrace.serving.handler import Handler

_log = logging.getLogger(__name__)
MAX_BODY_BYTES = 8 << 20
_INLINE_BYTES = 64 << 10

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_STATUS: tuple[tuple[type[HeadraceError], int], ...] = (
    (InvalidInput, 400),
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (UserError, 400),
    (Unavailable, 503),
    (InternalError, 500),
)
_EXTRA: dict[int, list[tuple[bytes, bytes]]] = {
    401: [(b"www-authenticate", b"Bearer")],
    413: [(b"connection", b"close")],
    503: [(b"retry-after", b"1")],
}
_HEALTH = ("/v2/health/live", "/v2/health/ready")


class _Refused(Exception):
    """A request that HTTP itself has a status for."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class _Gone(Exception):
    """The client closed the connection; nobody is left to answer."""


class _Headers(NamedTuple):
    """What a request's headers say; ``binary``: tensors follow the JSON as raw bytes."""

    authorization: str | None
    length: str
    encoding: str
    binary: bool


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class InferenceApp:
    """ASGI application for ``/v2``. Paths are taken whole, so it may be mounted or stand alone.

    Args:
        max_body_bytes: longer requests are refused with 413.

    Example::

        uvicorn.run(InferenceApp(handler, gatekeeper), loop="uvloop", http="httptools")
    """

    def __init__(
        self, handler: Handler, gatekeeper: Gatekeeper, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._handler = handler
        self._gatekeeper = gatekeeper
        self._max_body_bytes = max_body_bytes
        self._server = oip.encode_server(version("headrace"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error has the protocol's own form."""
        if scope["type"] != "http":
            raise RuntimeError(f"/v2 speaks HTTP only, not {scope['type']}.")
        try:
            answer = await self._answer(scope, receive)
        except _Gone:
            return
        except _Refused as refused:
            answer = _Answer(refused.status, oip.encode_error(str(refused)), refused.headers)
        except HeadraceError as error:
            status = next(code for kind, code in _STATUS if isinstance(error, kind))
            answer = _Answer(status, oip.encode_error(str(error)))
        except Exception:  # noqa: BLE001
            # Boundary: whatever broke is ours, and its details are for our log only.
            _log.exception("%s %s failed", scope["method"], printable(scope["path"]))
            answer = _Answer(
                500, oip.encode_error("Headrace failed to answer; its log says why. Please report it.")
            )
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer.body))]
        if answer.status != 200:
            headers += [*answer.headers, *_EXTRA.get(answer.status, ())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer:
        path: str = scope["path"]
        if path in _HEALTH:
            _only(scope, "GET")
            return self._health(path)
        headers = _headers(scope)
        principal = self._gatekeeper.authenticate(headers.authorization, network_of(scope.get("client")))
        match path.split("/")[2:]:
            case ["models", name, "infer"]:
                _only(scope, "POST")
                return await self._infer(headers, receive, principal, name)
            case ["models", name, "versions", named, "infer"]:
                _only(scope, "POST")
                return await self._infer(headers, receive, principal, name, named)
            case [] | [""]:
                _only(scope, "GET")
                return _Answer(200, self._server)
            case ["models", name]:
                _only(scope, "GET")
                return await self._model(principal, name)
            case ["models", name, "versions", named]:
                _only(scope, "GET")
                return await self._model(principal, name, named)
            case ["models", name, "ready"]:
                _only(scope, "GET")
                return await self._model_ready(principal, name)
            case ["models", name, "versions", named, "ready"]:
                _only(scope, "GET")
                return await self._model_ready(principal, name, named)
        raise _Refused(
            404, f"There is nothing at {path[:200]!r}. Expected /v2/models/NAME/infer or /v2/models/NAME."
        )

    def _health(self, path: str) -> _Answer:
        if path == "/v2/health/live":
            return _Answer(200, oip.encode_live())
        ready = self._handler.ready()
        return _Answer(200 if ready else 503, oip.encode_ready(ready=ready))

    async def _infer(
        self,
        headers: _Headers,
        receive: Receive,
        principal: Principal,
        name: str,
        named: str | None = None,
    ) -> _Answer:
        body = await self._body(headers, receive)
        if len(body) <= _INLINE_BYTES:
            call = oip.decode_infer(body)
        else:
            call = await asyncio.to_thread(oip.decode_infer, body)
        prediction = await self._handler.predict(
            name,
            call.values,
            principal=principal,
            key=call.key,
            event_time=call.event_time,
            keys=call.keys,
            request_id=call.request_id,
            version=named,
            outputs=call.outputs,
        )
        return _Answer(
            200, oip.encode_infer(prediction, self._handler.version(prediction.release_id), call.outputs)
        )

    async def _model(self, principal: Principal, name: str, named: str | None = None) -> _Answer:
        await self._handler.require(principal, "project.read", name)
        return _Answer(200, oip.encode_model(name, await self._handler.describe(name, named)))

    async def _model_ready(self, principal: Principal, name: str, named: str | None = None) -> _Answer:
        await self._handler.require(principal, "project.read", name)
        try:
            await self._handler.describe(name, named)
        except Unavailable:
            return _Answer(503, oip.encode_model_ready(name, ready=False))
        return _Answer(200, oip.encode_model_ready(name, ready=True))

    async def _body(self, headers: _Headers, receive: Receive) -> bytes:
        if headers.binary:
            raise InvalidInput("Binary tensors are not served yet. Send tensors as JSON (binary_data=False).")
        if headers.encoding not in ("", "identity"):
            raise _Refused(415, "The body is compressed. Expected plain JSON.")
        limit = self._max_body_bytes
        if headers.length.isdecimal() and int(headers.length) > limit:
            raise _too_long(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_long(limit)
            if not message.get("more_body", False):
                return b"".join([*parts, part]) if parts else part
            parts.append(part)


def _headers(scope: Scope) -> _Headers:
    """Pick the few that matter in one pass; ASGI gives names in lower case."""
    authorization: str | None = None
    length = encoding = ""
    binary = False
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"content-length":
            length = value.decode("latin-1")
        elif name == b"content-encoding":
            encoding = value.decode("latin-1")
        elif name == b"inference-header-content-length":
            binary = True
    return _Headers(authorization, length, encoding, binary)


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise _Refused(
            405,
            f"{scope['path'][:200]!r} does not answer {scope['method']}. Expected {method}.",
            (b"allow", method.encode()),
        )


def _too_long(limit: int) -> _Refused:
    return _Refused(413, f"The body is longer than {limit} bytes. Send the rows in several requests.")
