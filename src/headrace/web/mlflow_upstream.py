"""The way to the team's MLflow: a server of ours behind a socket, or one that the team runs already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import httpx
from starlette.concurrency import run_in_threadpool

from headrace.core.errors import Denied, Unavailable
from headrace.core.identity import MAIN
from headrace.plugins.mlflow import workspace_name
from headrace.plugins.mlflow_process import MlflowProcess

_TIMEOUT = httpx.Timeout(60.0, read=600.0, pool=60.0)
_WORKSPACE = "x-mlflow-workspace"
_NOT_THERE = (
    httpx.ConnectError,
    httpx.RemoteProtocolError,
    httpx.ReadError,
    httpx.WriteError,
    httpx.TimeoutException,
)


class Sent(NamedTuple):
    """One request, as MLflow gets it."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | AsyncIterator[bytes]


class Upstream:
    """Sends requests to MLflow, each within one workspace.

    Args:
        server: our own server's process, or the address of the team's.
        transport: how the address is reached, instead of over the network.
    """

    def __init__(
        self, server: MlflowProcess | str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._server = server
        self._transport = transport
        self._lock = asyncio.Lock()
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._workspaces: set[str] = set()
        self._divided: bool | None = None

    async def send(self, sent: Sent, workspace: str) -> httpx.Response:
        """The answer; its body is still to be read, and the answer then to be closed.

        Raises:
            Unavailable: MLflow does not answer.
            Denied: the team's server keeps one workspace only, and this is another one.
        """
        client = await self._client()
        name = await self._workspace(client, workspace)
        headers = dict(sent.headers) | ({} if name is None else {_WORKSPACE: name})
        return await self._ask(client, sent._replace(headers=headers))

    async def close(self) -> None:
        """Close connections, and end the server where it is ours."""
        await self._disconnect()
        if not isinstance(self._server, str):
            await run_in_threadpool(self._server.close)

    async def _disconnect(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients = {}

    async def _client(self) -> httpx.AsyncClient:
        if isinstance(self._server, str):
            where, base = self._server, self._server.rstrip("/")
        else:
            socket = await run_in_threadpool(self._server.socket)
            # Another process has another socket: connections to the one before are of no use.
            where, base = str(socket), "http://localhost"
        if where not in self._clients:
            await self._disconnect()
            transport = self._transport
            if transport is None and not isinstance(self._server, str):
                transport = httpx.AsyncHTTPTransport(uds=where)
            # MLflow's address is given on purpose: no proxy of the environment stands between.
            self._clients = {
                where: httpx.AsyncClient(
                    base_url=base, transport=transport, timeout=_TIMEOUT, trust_env=False
                )
            }
        return self._clients[where]

    async def _workspace(self, client: httpx.AsyncClient, workspace: str) -> str | None:
        """MLflow's name of our ``workspace``, which is made where it is not there yet."""
        name = workspace_name(workspace)
        async with self._lock:
            if self._divided is None:
                self._divided = not isinstance(self._server, str) or await self._is_divided(client)
            if not self._divided:
                if workspace != MAIN:
                    raise Denied(
                        f"The team's MLflow server keeps one workspace only, and yours is {workspace!r}. "
                        "Ask its operators for 'mlflow server --enable-workspaces'."
                    )
                return None
            if workspace != MAIN and name not in self._workspaces:
                made = Sent("POST", "/api/3.0/mlflow/workspaces", {}, b'{"name": "%s"}' % name.encode())
                answer = await self._ask(client, made)
                await answer.aread()
                if answer.status_code >= 400 and "ALREADY_EXISTS" not in answer.text:
                    raise Unavailable(f"MLflow's workspace {name!r} cannot be made: {answer.text[:200]}.")
                self._workspaces.add(name)
        return name

    async def _is_divided(self, client: httpx.AsyncClient) -> bool:
        answer = await self._ask(client, Sent("GET", "/api/3.0/mlflow/server-info", {}, b""))
        await answer.aread()
        if answer.status_code == 404:  # older servers do not have it
            return False
        if answer.status_code != 200:
            raise Unavailable(f"MLflow's server does not say what it is: it answers {answer.status_code}.")
        return bool(answer.json().get("workspaces_enabled"))

    async def _ask(self, client: httpx.AsyncClient, sent: Sent) -> httpx.Response:
        url = client.base_url.copy_with(raw_path=client.base_url.raw_path.rstrip(b"/") + sent.url.encode())
        headers = {"content-type": "application/json"} | dict(sent.headers)
        request = client.build_request(sent.method, url, headers=headers, content=sent.content)
        try:
            return await client.send(request, stream=True)
        except _NOT_THERE as error:
            raise Unavailable(
                f"MLflow's server does not answer ({type(error).__name__}). Try again."
            ) from error
