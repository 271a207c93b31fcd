"""A scene on a real socket."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import uvicorn

from tests.serving.scene import Scene


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
        self.scene.recorder.close()

    def client(self, *roles: str, **headers: str) -> httpx.Client:
        given = {"authorization": self.scene.door.enter("-".join(roles), *roles)} if roles else {}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=given | headers, timeout=20)
