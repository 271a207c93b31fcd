"""``/mlflow``: the team's MLflow behind our identities; what a request wants is asked before it goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from headrace.app.composition import App
from headrace.app.registry.tracking import admit
from headrace.core.errors import (
    Conflict,
    Denied,
    HeadraceError,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from headrace.core.identity import Principal
from headrace.plugins.mlflow import workspace_name
from headrace.plugins.mlflow_spans import spans_as_json, unpacked
from headrace.serving.telling import told
from headrace.web.guards import MAX_BODY_BYTES
from headrace.web.identity import Message, Receive, Refuse, Scope, Send, header, principal_of
from headrace.web.mlflow_kept import PLACES
from headrace.web.mlflow_requests import creates_version, read_body, wish_of
from headrace.web.mlflow_routes import Route, find_route
from headrace.web.mlflow_upstream import Sent, Upstream
from headrace.web.problems import status_of

_log = logging.getLogger(__name__)
Registered = Callable[[Principal, str, str], tuple[str, str]]
PREFIX = "/mlflow"
_PROTOBUF = "application/x-protobuf"
_PATH = "/:@!$&'()*+,;=~-._"
_PASSED_IN = (
    "accept",
    "content-type",
    "range",
    "if-none-match",
    "if-modified-since",
    "x-mlflow-experiment-id",
)
_PASSED_OUT = (
    "content-type",
    "content-length",
    "content-disposition",
    "content-range",
    "accept-ranges",
    "etag",
    "last-modified",
)
_CODES: tuple[tuple[type[HeadraceError], str], ...] = (
    (Denied, "PERMISSION_DENIED"),
    (Unauthenticated, "UNAUTHENTICATED"),
    (InvalidInput, "INVALID_PARAMETER_VALUE"),
    (NotFound, "ENDPOINT_NOT_FOUND"),
    (Conflict, "RESOURCE_CONFLICT"),
    (Unavailable, "TEMPORARILY_UNAVAILABLE"),
    (HeadraceError, "INTERNAL_ERROR"),
)
_DOWNLOADS = b"sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'"


class _Read(NamedTuple):
    """A request that has been read as far as it has to be judged."""

    route: Route
    path: str
    query: str
    fields: dict[str, Any]
    body: bytes
    media_type: str = "application/json"


class MlflowDoor:
    """ASGI application below ``/mlflow``. The scope holds the principal already.

    Args:
        registered: told who has registered which version of which model; answers with what follows.
    """

    def __init__(self, app: App, upstream: Upstream, registered: Registered) -> None:
        self._app = app
        self._upstream = upstream
        self._registered = registered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, in MLflow's own words also where Headrace refuses."""
        path = scope["path"].removeprefix(PREFIX)
        if not path:
            # MLflow's pages name their parts relative to this address.
            await RedirectResponse(f"{PREFIX}/", 307)(scope, receive, send)
            return
        try:
            me = principal_of(scope)
            read = await self._read(scope, receive, path)
            wish = wish_of(read.route, path, read.fields, workspace_name(me.workspace))
            await run_in_threadpool(admit, self._app, me, wish)
            answer = await self._upstream.send(self._sent(scope, receive, read), me.workspace)
            follows = await self._follows(me, read, answer)
        except HeadraceError as error:
            await self.refuse(error)(scope, receive, send)
            return
        await self._pass_on(scope, receive, send, read, answer, follows)

    async def _follows(self, me: Principal, read: _Read, answer: httpx.Response) -> dict[str, str]:
        """Headers that say what a registration has started."""
        if not creates_version(read.route) or answer.status_code != 200:
            return {}
        made = json.loads(await answer.aread()).get("model_version", {})
        name, version = str(made.get("name", "")), str(made.get("version", ""))
        kind, text = await run_in_threadpool(self._registered, me, name, version)
        return {f"x-headrace-{kind}": " ".join(text.encode("ascii", "backslashreplace").decode().split())}

    def refuse(self, error: HeadraceError) -> Response:
        """An error in the form that MlflowClient understands."""
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        message = told(error, self._app.clock.now())
        headers = {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
        return JSONResponse({"error_code": code, "message": message}, status_of(error), headers)

    async def _read(self, scope: Scope, receive: Receive, path: str) -> _Read:
        route = find_route(scope["method"], path)
        if route is None or route.kind == "closed":
            why = "keeps it closed" if route else "does not know it"
            raise Denied(
                f"{scope['method']} {path[:120]!r} of MLflow is not served: Headrace {why}. "
                "What is served: docs, 'Use MLflow through Headrace'."
            )
        query = scope["query_string"].decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True)
        for place in PLACES:
            if sum(name == place for name, _ in pairs) > 1:
                raise InvalidInput(f"{place} is given more than once. Expected one.")
        asked = dict(reversed(pairs))  # MLflow takes the first
        if route.kind == "upload" or route.method == "GET":
            return _Read(route, path, query, asked, b"")
        body = await _body(receive)
        if route.kind == "spans":
            body = unpacked(body, (header(scope, b"content-encoding") or "").lower(), MAX_BODY_BYTES)
            if (header(scope, b"content-type") or "").partition(";")[0].strip() == _PROTOBUF:
                return _Read(route, path, "", spans_as_json(body), body, _PROTOBUF)
        fields = read_body(body)
        # A query beside a body would be a second place to say something in.
        return _Read(route, path, "", fields, json.dumps(fields).encode())

    def _sent(self, scope: Scope, receive: Receive, read: _Read) -> Sent:
        url = quote(read.path, safe=_PATH)
        if read.query:
            url += "?" + urlencode(parse_qsl(read.query, keep_blank_values=True))
        headers = {"accept-encoding": "identity"}
        headers |= {n: value for n in _PASSED_IN if (value := header(scope, n.encode())) is not None}
        if read.route.kind != "upload":
            headers["content-type"] = read.media_type
            return Sent(scope["method"], url, headers, read.body)
        for name in ("content-length", "content-encoding"):
            value = header(scope, name.encode())
            if value is not None:
                headers[name] = value
        return Sent(scope["method"], url, headers, _stream(receive))

    async def _pass_on(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        read: _Read,
        answer: httpx.Response,
        follows: dict[str, str],
    ) -> None:
        headers = [
            (n.encode(), answer.headers[n].encode("latin-1")) for n in _PASSED_OUT if n in answer.headers
        ]
        headers += [(name.encode(), value.encode()) for name, value in follows.items()]
        headers.append((b"content-security-policy", _content_policy(scope, read.route)))
        if read.route.pattern == "/static-files/{*}":
            headers.append((b"cache-control", b"private, max-age=86400"))
        try:
            if read.route.pattern.endswith("/server-info"):
                # Clients see one MLflow, theirs: the workspace is ours to choose.
                about = json.loads(await answer.aread()) | {"workspaces_enabled": False}
                await JSONResponse(about)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.aiter_bytes():  # also of what has been read already
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()


def refuse_mlflow(door: MlflowDoor, refuse_page: Refuse) -> Refuse:
    """What somebody unknown gets: browsers the sign-in page, clients an error as MLflow words it."""

    def refuse(scope: Scope, error: HeadraceError) -> Response:
        wants_page = "text/html" in (header(scope, b"accept") or "")
        return refuse_page(scope, error) if wants_page else door.refuse(error)

    return refuse


def _content_policy(scope: Scope, route: Route) -> bytes:
    """MLflow's page may run MLflow's own scripts; whatever somebody has uploaded runs nothing."""
    if route.pattern != "/":
        return _DOWNLOADS
    host = header(scope, b"host") or ""
    known = host if all(c.isalnum() or c in ".:-[]" for c in host) else "'none'"
    scripts = f"{known}{PREFIX}/static-files/" if known == host else known
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:; frame-src 'self' blob:; "
        "manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ).encode()


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    async for chunk in _stream(receive):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidInput(
                f"The body is longer than {MAX_BODY_BYTES} bytes. Send it in several requests."
            )
    return bytes(body)


async def _stream(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise Unavailable("The client went away before its request was whole.")
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk
