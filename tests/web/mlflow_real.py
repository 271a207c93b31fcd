"""The door before a real MLflow server, without a port of ours before it."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from headrace.app.composition import App
from headrace.app.registry.tracking import mlflow_server
from headrace.web.identity import Identified
from headrace.web.mlflow import MlflowDoor, refuse_mlflow
from headrace.web.mlflow_upstream import Upstream
from headrace.web.problems import problem_of
from headrace.web.sessions import Sessions

Rows = dict[str, set[str]]


@dataclass(kw_only=True)
class Real:
    """The door, and what lies behind it."""

    app: App
    client: httpx.AsyncClient
    runner: asyncio.Runner

    def ask(self, by: str, method: str, path: str, **more: Any) -> httpx.Response:
        """One request to ``/mlflow`` + ``path`` by the identity of this name."""
        headers = {"authorization": f"Bearer {self.app.tokens.issue(self.app.identities.resolve(by))}"}
        headers |= more.pop("headers", {})
        return self.runner.run(self.client.request(method, f"/mlflow{path}", headers=headers, **more))

    def files(self) -> dict[str, str]:
        """Digests of all artefacts, by their place."""
        root = self.app.settings.home / "mlflow"
        found = (path for path in root.rglob("*") if path.is_file())
        return {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found
        }

    def rows(self) -> Rows:
        """Every row of MLflow's database, as text, by its table."""
        path = Path(self.app.settings.mlflow_url.removeprefix("sqlite:///"))
        found: Rows = {}
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            names = [row[0] for row in database.execute("select name from sqlite_master where type='table'")]
            for name in names:
                cursor = database.execute(f'select * from "{name}"')
                columns = [about[0] for about in cursor.description]
                found[name] = {repr(dict(zip(columns, row, strict=True))) for row in cursor}
        return found


@contextmanager
def real_door(app: App) -> Iterator[Real]:
    """Open the door; the server behind it starts with the first request and ends with the block."""
    upstream = Upstream(mlflow_server(app))
    door = MlflowDoor(app, upstream, lambda *_: ("note", "nothing follows"))

    def page(_: Any, error: Any) -> Any:
        return problem_of(error, instance="page", now=app.clock.now())

    sessions = Sessions(app.store.expiring, app.store.epoch, app.clock)
    asgi = Identified(door, app, sessions, cookie_writes=True, refuse=refuse_mlflow(door, page))
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=asgi), base_url="http://testserver", timeout=120
        )
        try:
            yield Real(app=app, client=client, runner=runner)
        finally:
            runner.run(client.aclose())
            runner.run(upstream.close())
