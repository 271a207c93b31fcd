"""A scene on a real socket."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import uvicorn
import uvloop

from headrace.serving.grpc_server import start_grpc
from tests.serving.scene import Scene


class GrpcListening:
    """gRPC on an event loop in a thread."""

    def __init__(self, scene: Scene, **options: Any) -> None:
        self.scene = scene
        self._options = options
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> GrpcListening:
        self._thread.start()
        starting = start_grpc(self.scene.handler, self.scene.door.gatekeeper, "127.0.0.1:0", **self._options)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(20)
        self.address = f"127.0.0.1:{self._server.port}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
        self.scene.close()


class Server:
    """A real server in a thread."""

    def __init__(self, scene: Scene, app: Any = None) -> None:
        self.scene = scene
        config = uvicorn.Config(
            app or scene.app, port=0, loop="uvloop", http="httptools", lifespan="off", log_level="error"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Server:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            assert self._thread.is_alive()
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self.scene.close()

    def client(self, *roles: str, **headers: str) -> httpx.Client:
        given = {"authorization": self.scene.door.enter("-".join(roles), *roles)} if roles else {}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=given | headers, timeout=20)
