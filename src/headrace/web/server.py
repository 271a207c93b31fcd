"""The server: one ASGI application that answers models, API and pages on one port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool

from headrace.app.answers.later import StoredSubmissions
from headrace.app.composition import App, open_app
from headrace.app.elsewhere.adopting import registered
from headrace.app.llm.batch_run import BatchWork
from headrace.app.llm.batches import KIND as BATCHES
from headrace.app.registry.tracking import mlflow_server
from headrace.app.workflows import Workflows, launch
from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.settings import Settings, read_settings
from headrace.serving.asgi import InferenceApp
from headrace.serving.grpc_server import GrpcServer, start_grpc
from headrace.serving.invocations import BELOW, PATHS, InvocationsApp
from headrace.serving.plain_rows import PlainRows
from headrace.serving.process import settle
from headrace.serving.tools import ModelTools
from headrace.serving.trace_context import PARENT, parent_of
from headrace.web import openai
from headrace.web.api import tokens
from headrace.web.api.application import api_application
from headrace.web.background import Background
from headrace.web.guards import MAX_BODY_BYTES, BodyLimit, SecureHeaders
from headrace.web.http_protocol import protocol_of
from headrace.web.identity import Asgi, Identified, Message, Receive, Scope, Send
from headrace.web.latency import Timed
from headrace.web.mcp import McpDoor
from headrace.web.mlflow import PREFIX, MlflowDoor, refuse_mlflow
from headrace.web.mlflow_upstream import Upstream
from headrace.web.openai import OpenAiDoor
from headrace.web.otlp import OtlpDoor
from headrace.web.pages.application import OPEN_PATHS, page_application, refuse_page
from headrace.web.pages.rendering import Renderer
from headrace.web.pages.texts import LARGER_FORMS
from headrace.web.parts import Parts, assemble
from headrace.web.tracing import Begun

_log = logging.getLogger(__name__)
_PREDICT = "/api/v1/predict/"
_INFER = ("/v2/models/", BELOW, _PREDICT)
_MAX_FORM_BYTES = 64 << 10


class Server:
    """ASGI 3 application. ``/v2`` goes straight to the inference protocol; no framework is on that path.

    Args:
        mlflow: the way to the team's MLflow.
        grpc_address: where gRPC listens beside it (``HOST:PORT``); nowhere when not given.
        on_close: called last when the server ends, after all that it accepted has been answered.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        mlflow: Upstream | None = None,
        grpc_address: str | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        app = parts.app
        self.parts = parts
        self.grpc: GrpcServer | None = None
        self._tracing = parts.tracing
        self._grpc_address = grpc_address
        self._on_close = on_close
        self._background = Background(parts)
        self._stopping = asyncio.Event()
        self._answering: asyncio.Task[None] | None = None
        submissions = StoredSubmissions(app)
        self._inference = InferenceApp(
            parts.handler, app.gatekeeper, explaining=parts.explanations, submissions=submissions
        )
        self._plain_rows = PlainRows(self._others, parts.scoring)
        self._invocations = InvocationsApp(
            parts.handler, app.gatekeeper, explaining=parts.explanations, submissions=submissions
        )
        api = BodyLimit(api_application(parts), MAX_BODY_BYTES)
        self._api = SecureHeaders(
            Identified(api, app, parts.sessions, open_paths=tokens.OPEN_PATHS, cookie_writes=False)
        )
        provider = "" if app.provider is None else urlsplit(app.provider.issuer).netloc
        renderer = Renderer(app.clock, provider)
        pages = BodyLimit(page_application(parts, renderer), _MAX_FORM_BYTES, LARGER_FORMS)
        self._pages = SecureHeaders(
            Identified(
                pages,
                app,
                parts.sessions,
                open_paths=OPEN_PATHS,
                cookie_writes=True,
                refuse=refuse_page(renderer),
            )
        )
        tools = ModelTools(parts.handler, app.gatekeeper, lambda name: app.access.privacy.rules(name).project)
        self._tools = McpDoor(tools, parts.routes, app.clock)
        self._mcp = SecureHeaders(Identified(self._tools, app, parts.sessions, cookie_writes=False))
        self._otlp = OtlpDoor(parts)
        self._openai = OpenAiDoor(parts, parts.gateway.handler)
        parts.later.also(BATCHES, BatchWork(app, self._openai.ask))
        self._upstream = mlflow or Upstream(mlflow_server(app))
        door = MlflowDoor(app, self._upstream, partial(registered, app, parts.work))
        refuse = refuse_mlflow(door, refuse_page(renderer))
        self._mlflow = SecureHeaders(Identified(door, app, parts.sessions, cookie_writes=True, refuse=refuse))

    @property
    def protocol(self) -> Any:
        """For uvicorn's ``http``: plain rows are answered before they become ASGI."""
        scoring = self.parts.scoring
        return protocol_of(scoring) if self._tracing is None else self._tracing.protocol(scoring)

    def new_ticket(self, principal: Principal) -> str:
        """A path that signs ``principal`` in once, within ten minutes: ``/signin?ticket=...``."""
        return self.parts.tickets.path(principal.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end with the process."""
        if scope["type"] == "http":
            is_traced = self._tracing is not None and self._tracing.takes(scope)
            await (self._others if is_traced else self._plain_rows)(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _others(self, scope: Scope, receive: Receive, send: Send) -> None:
        clock, latencies, status = self.parts.app.clock, self.parts.latencies, None

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        started_s = clock.monotonic_s()
        part, inner = self._part(scope["path"])
        latencies.begin(part)
        begun = self._trace(scope)
        try:
            await inner(scope, receive, noting)
        finally:
            if self._tracing is not None and begun is not None:
                self._tracing.end(begun, scope["method"], part, status)
            project = self._project(scope["path"]) if part == "infer" else ""
            latencies.end(Timed(part, project), clock.monotonic_s() - started_s, status)

    def _trace(self, scope: Scope) -> Begun | None:
        """Keep the trace in mind that the record is to name; and begin its span, if it is followed."""
        parent = parent_of(scope["headers"])
        PARENT.set(parent)
        return None if self._tracing is None else self._tracing.begin(parent)

    def _part(self, path: str) -> tuple[str, Asgi]:
        """Who answers at ``path``, and what that part is called."""
        if path.startswith("/v2/") or path == "/v2":
            return "infer", self._inference
        if path.startswith(BELOW) or path in PATHS:
            return "infer", self._invocations
        if path.startswith(_PREDICT):
            return "infer", self._api
        if path.startswith("/api/") or path == "/api":
            return "api", self._api
        if path.startswith(f"{PREFIX}/") or path == PREFIX:
            return "mlflow", self._mlflow
        if path.startswith("/mcp/"):
            return "mcp", self._mcp
        if path.startswith(f"{openai.PREFIX}/"):
            return "llm", self._openai
        if path.startswith("/otlp/"):
            return "otlp", self._otlp
        return "pages", self._pages

    def _project(self, path: str) -> str:
        """The project that a path of predictions names, if it is one that answers: series stay few."""
        below = next((prefix for prefix in _INFER if path.startswith(prefix)), None)
        if below is None:
            return ""
        name = path[len(below) :].partition("/")[0]
        try:
            return self.parts.routes.get(name).project
        except NotFound:
            return ""

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await run_in_threadpool(self._background.start)
            if self._grpc_address is not None:
                self.grpc = await start_grpc(
                    self.parts.handler, self.parts.app.gatekeeper, self._grpc_address
                )
            self._answering = asyncio.create_task(self.parts.later.run(self._stopping))
            settle()
        except Exception as error:  # noqa: BLE001
            # Boundary: the server runner wants to be told in the protocol's own words.
            _log.exception("The server could not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self.grpc is not None:
            await self.grpc.stop()
        if self._answering is not None:
            self._stopping.set()
            await self._answering
        await self._tools.close()
        await self._upstream.close()
        await self.parts.gateway.close()
        await run_in_threadpool(self._close)
        await send({"type": "lifespan.shutdown.complete"})

    def _close(self) -> None:
        """In this order: no new work, what waits is written, then the stores."""
        self._background.stop()
        self.parts.shadows.close()
        self.parts.explanations.close()
        self.parts.recorder.close()
        if self.parts.spans is not None:
            self.parts.spans.close()
        if self._on_close is not None:
            self._on_close()


def build_server(
    app: App,
    work: Workflows,
    *,
    mlflow: Upstream | None = None,
    on_close: Callable[[], None] | None = None,
) -> Server:
    """The server over an opened app and its running workflows, which stay the caller's to close.

    Example::

        with open_app(read_settings()) as app, launch(app, role="server") as work:
            server = build_server(app, work)
            print("http://127.0.0.1:8000" + server.new_ticket(app.me()))
            uvicorn.run(server, loop="uvloop", http=server.protocol)
    """
    return Server(assemble(app, work), mlflow=mlflow, on_close=on_close)


def create_app(
    settings: Settings | None = None,
    *,
    address: str | None = None,
    grpc_address: str | None = None,
    counts: Path | None = None,
) -> Server:
    """Open the home, run its workflows, and serve; everything is closed when the server ends.

    Args:
        settings: the environment's when not given.
        address: where it will be reached, told to other processes of this home.
        grpc_address: where gRPC listens (``HOST:PORT``); nowhere when not given.
        counts: folder in which the processes that share a port write what they count; None for one process.

    Example::

        uvicorn.run("headrace.web.server:create_app", factory=True, loop="uvloop", http="httptools")
    """

    def opened_server() -> Server:
        with ExitStack() as opened:
            app = opened.enter_context(open_app(settings or read_settings()))
            app.me()
            work = opened.enter_context(launch(app, role="server", address=address))
            parts = assemble(app, work, counts=counts)
            return Server(parts, grpc_address=grpc_address, on_close=opened.pop_all().close)

    # A server that calls a factory does so within its event loop, where taking over what others left
    # unfinished is refused because it blocks. Nothing is answered yet: blocking is what is wanted.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(opened_server).result()
