from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from socket import socket
from typing import Any, TypeVar

import httpx
import pytest

from headrace.app.composition import App, open_app
from headrace.app.rollouts.deliver import DECISION, TICK
from headrace.app.workflows import Workflows, launch
from headrace.testing.factories import make_settings
from headrace.web.server import Server, build_server
from tests.once import templates_compiled_once
from tests.web.making import AUTHOR
from tests.web.memory_client import MemoryClient, in_memory
from tests.web.prompted import Desk, prompted
from tests.web.seed import Seeded, resume, seed

_Opened = TypeVar("_Opened")


@dataclass(frozen=True, kw_only=True)
class Site:
    """A seeded home that is being served, in memory."""

    app: App
    work: Workflows
    server: Server
    seeded: Seeded
    client: MemoryClient

    def token(self, name: str) -> str:
        """A bearer token of ``name``."""
        return self.app.tokens.issue(self.app.identities.resolve(name))

    def ask(self, method: str, path: str, *, by: str | None = AUTHOR, **more: Any) -> httpx.Response:
        """One request; redirects are not followed, cookies are not kept."""
        headers = {"authorization": f"Bearer {self.token(by)}"} if by else {}
        headers |= more.pop("headers", {})
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """A GET, by the author unless ``by`` says otherwise."""
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        """A POST, by the author unless ``by`` says otherwise."""
        return self.ask("POST", path, **more)

    def page(self, path: str, *, by: str = AUTHOR, **more: Any) -> httpx.Response:
        """A page, as a browser asks for it."""
        return self.get(path, by=by, headers={"accept": "text/html"}, **more)


@cache
def _seeded() -> tuple[Path, Seeded]:
    """A home of months of work, and what is in it; made once, because to copy it takes a hundredth."""
    folder = tempfile.TemporaryDirectory(prefix="seeded-")
    atexit.register(folder.cleanup)
    home = Path(folder.name) / "home"
    with open_app(make_settings(home)) as app:
        return home, seed(app)


@contextmanager
def serving(home: Path) -> Iterator[Site]:
    """Serve in ``home`` a copy of what was seeded."""
    filled, seeded = _seeded()
    shutil.copytree(filled, home)
    with open_app(make_settings(home)) as app, launch(app, role="server") as work:
        server = build_server(app, work)
        resume(work, seeded)
        try:
            with in_memory(server) as client:
                yield Site(app=app, work=work, server=server, seeded=seeded, client=client)
        finally:
            give_up(work)


@contextmanager
def aside(context: AbstractContextManager[_Opened]) -> Iterator[_Opened]:
    """Enter and leave ``context`` in a thread of its own: Playwright keeps an event loop running in the
    tests' thread, and workflows refuse to be started where one runs."""
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(context.__enter__).result()
        try:
            yield found
        finally:
            thread.submit(context.__exit__, None, None, None).result()


def give_up(work: Workflows) -> None:
    """End deliveries that wait for somebody: their threads would keep the interpreter from ending."""
    for workflow_id in work.durable.unfinished("deliver"):
        work.durable.cancel(workflow_id)
        for topic in (DECISION, TICK):
            work.durable.send(workflow_id, topic, "given up")


@pytest.fixture(scope="session", autouse=True)
def _pages_made_once() -> Iterator[None]:
    """Hundreds of tests serve pages."""
    with templates_compiled_once():
        yield


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A home that the tests of a module read; they may add to it, but change nothing that is there."""
    with aside(serving(tmp_path_factory.mktemp("site") / "home")) as found:
        yield found


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A home of the test's own."""
    with aside(serving(tmp_path / "home")) as found:
        yield found


@contextmanager
def listening() -> Iterator[Callable[..., str]]:
    """Serves on a free port of the loopback, by the same server that ``headrace up`` uses."""
    import uvicorn

    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(server: Server, http: Any = "httptools") -> str:
        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # The memory client has begun the server's life and will end it.
        config = uvicorn.Config(
            server, port=port, loop="uvloop", http=http, log_level="error", lifespan="off"
        )
        runner = uvicorn.Server(config)
        thread = threading.Thread(target=runner.run, daemon=True)
        thread.start()
        running.append((runner, thread))
        clock = server.parts.app.clock
        while not runner.started and thread.is_alive():
            clock.sleep(0.02)
        return f"http://127.0.0.1:{port}"

    yield start
    for runner, thread in running:
        runner.should_exit = True
        thread.join(20)


@pytest.fixture
def listen() -> Iterator[Callable[..., str]]:
    """The same for one test."""
    with listening() as start:
        yield start


@pytest.fixture
def desk(tmp_path: Path, listen: Callable[[Server], str]) -> Iterator[Desk]:
    """A home whose project answers with texts, on a real socket."""
    with aside(prompted(tmp_path / "home", listen)) as found:
        yield found
