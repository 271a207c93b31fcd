"""``/mcp/models``: live models as tools of the Model Context Protocol, over streamable HTTP; needs ``[mcp]``.

Nothing is kept between requests, so any process or replica answers any of them. Who asks is whom the bearer
token names, looked up for every request as everywhere else.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.core.errors import HeadraceError, InternalError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ports import Clock
from headrace.serving.routes import RouteTable
from headrace.serving.telling import told
from headrace.serving.tools import ModelTools, Tool
from headrace.web.identity import Receive, Scope, Send, principal_of
from headrace.web.problems import problem, problem_of

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.subscriptions import InMemorySubscriptionBus
    from mcp_types import (
        CallToolRequestParams,
        CallToolResult,
        ListToolsResult,
        PaginatedRequestParams,
    )

PATH = "/mcp/models"
MAX_BODY_BYTES = 1 << 20
LOOK_S = 0.25
"""How often it is looked whether routes have changed, once anybody has asked for tools."""
_INSTRUCTIONS = (
    "Each tool asks one model that is in production here. Ask it in place of estimating the number yourself, "
    "and quote the 'id' of its answer. Answers and refusals are on record under your identity."
)


class McpDoor:
    """ASGI application behind :class:`headrace.web.identity.Identified`.

    The library is loaded, and its tasks are started, when somebody asks for the first time.
    """

    def __init__(self, tools: ModelTools, routes: RouteTable, clock: Clock) -> None:
        self._tools = tools
        self._routes = routes
        self._clock = clock
        self._starting = asyncio.Lock()
        self._manager: StreamableHTTPSessionManager | None = None
        self._bus: InMemorySubscriptionBus | None = None
        self._running: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            # Nothing is said that was not asked: there is no stream to open, and no session to end.
            detail = f"{scope['method']} is not answered here. Expected POST, as MCP clients send."
            refusal = problem(405, detail, instance=scope["path"], headers={"allow": "POST"})
            await refusal(scope, receive, send)
            return
        try:
            if scope["path"] != PATH:
                raise NotFound(f"There is nothing at {scope['path'][:100]!r}. Expected {PATH}.")
            manager = await self._started()
        except HeadraceError as error:
            await problem_of(error, instance=scope["path"], now=self._clock.now())(scope, receive, send)
            return
        await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End open streams; nothing is answered afterwards."""
        if self._running is not None:
            self._stopping.set()
            await self._running

    async def _started(self) -> StreamableHTTPSessionManager:
        async with self._starting:
            if self._manager is None:
                server, self._bus = await asyncio.to_thread(self._load)
                self._manager = _manager_of(server)
                ready = asyncio.Event()
                self._running = asyncio.create_task(self._run(self._manager, ready))
                await ready.wait()
            return self._manager

    def _load(self) -> tuple[Server[Any], InMemorySubscriptionBus]:
        try:
            from mcp.server.lowlevel import Server
            from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
        except ImportError as error:
            raise InvalidInput(
                "Models are shown to agents with the package mcp, which is not installed. Run: "
                "pip install 'headrace[mcp]'"
            ) from error
        bus = InMemorySubscriptionBus()
        server = Server[Any](
            "headrace-models",
            version=version("headrace"),
            title="Models in production",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
            on_subscriptions_listen=ListenHandler(bus),
        )
        server.middleware.clear()  # requests are traced by the server around it
        return server, bus

    async def _run(self, manager: StreamableHTTPSessionManager, ready: asyncio.Event) -> None:
        """The library's tasks begin and end in one task."""
        from mcp.server.subscriptions import ToolsListChanged

        async with manager.run():
            ready.set()
            edition = self._routes.edition
            while not self._stopping.is_set():
                try:
                    await asyncio.wait_for(self._stopping.wait(), LOOK_S)
                except TimeoutError:
                    if self._routes.edition is not edition and self._bus is not None:
                        edition = self._routes.edition
                        await self._bus.publish(ToolsListChanged())

    async def _list(
        self, context: ServerRequestContext[Any, Any], _: PaginatedRequestParams | None
    ) -> ListToolsResult:
        from mcp_types import ListToolsResult

        found = await self._tools.list(_caller(context))
        # Not to be kept: it is the caller's own, and another one as soon as rights or routes change.
        return ListToolsResult(tools=[_as_mcp(tool) for tool in found], ttl_ms=0, cache_scope="private")

    async def _call(
        self, context: ServerRequestContext[Any, Any], asked: CallToolRequestParams
    ) -> CallToolResult:
        from mcp_types import CallToolResult, TextContent

        me = _caller(context)
        try:
            answer = await self._tools.call(me, asked.name, asked.arguments or {})
        except HeadraceError as error:
            text = told(error, self._clock.now())
            return CallToolResult(content=[TextContent(text=text)], is_error=True)
        body = msgspec.json.encode(answer)
        return CallToolResult(
            content=[TextContent(text=body.decode())], structured_content=msgspec.json.decode(body)
        )


def _caller(context: ServerRequestContext[Any, Any]) -> Principal:
    """Whom the request's own token names."""
    if context.request is None:
        raise InternalError("A call of a tool came by no request, so that nobody knows who asks.")
    return principal_of(context.request.scope)


def _manager_of(server: Server[Any]) -> StreamableHTTPSessionManager:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    return StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=MAX_BODY_BYTES
    )


def _as_mcp(tool: Tool) -> Any:
    from mcp_types import Tool as McpTool
    from mcp_types import ToolAnnotations

    return McpTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.inputs,
        output_schema=tool.outputs,
        # Asking changes nothing but the record.
        annotations=ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False),
    )
