"""Speaks to an ASGI application in this process, its lifespan included; no socket is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from headrace.web.server import Server

_PATIENCE_S = 30.0


class MemoryClient:
    """Requests as ``httpx`` sends them, answered by ``server`` on an event loop of its own."""

    def __init__(self, server: Server, portal: BlockingPortal) -> None:
        transport = httpx.ASGITransport(app=server, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://testserver")
        self._portal = portal

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request; no cookie is remembered, no redirect followed."""

        async def send() -> httpx.Response:
            self._http.cookies.clear()
            return await self._http.request(method, path, **more)

        return self._portal.call(send)


class Lifespan:
    """The two halves of a server's life."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._to: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._from: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> str:
        """Start; returns what the server said."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        self._task = asyncio.create_task(self._server(scope, self._to.get, self._from.put))
        return await self._tell("lifespan.startup")

    async def end(self) -> str:
        """Stop; returns what the server said."""
        said = await self._tell("lifespan.shutdown")
        if self._task is not None:
            await self._task
        return said

    async def _tell(self, kind: str) -> str:
        await self._to.put({"type": kind})
        said: str = (await asyncio.wait_for(self._from.get(), _PATIENCE_S))["type"]
        return said


@contextmanager
def in_memory(server: Server) -> Iterator[MemoryClient]:
    """Run ``server`` from the first to the last word of its lifespan."""
    with start_blocking_portal("asyncio") as portal:
        lifespan = portal.call(_made, server)
        assert portal.call(lifespan.begin) == "lifespan.startup.complete"
        try:
            yield MemoryClient(server, portal)
        finally:
            assert portal.call(lifespan.end) == "lifespan.shutdown.complete"


async def _made(server: Server) -> Lifespan:
    return Lifespan(server)
