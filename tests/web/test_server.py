from __future__ import annotations

from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from anyio.from_thread import start_blocking_portal

from headrace.core.errors import Unavailable
from headrace.serving.grpc_messages import SERVICE, messages
from headrace.testing.factories import make_settings
from headrace.web.server import create_app
from tests.web.conftest import serving
from tests.web.memory_client import in_memory


def test_the_factory_opens_the_home_and_closes_it_with_the_server(tmp_path: Path) -> None:
    server = create_app(make_settings(tmp_path / "home", user="ada"), address="http://127.0.0.1:1")
    app = server.parts.app
    assert app.store.executors.living("server")
    me = app.identities.resolve("ada")
    assert me.roles == ("developer", "operator", "admin")
    assert server.new_ticket(me).startswith("/signin?ticket=")
    with in_memory(server) as client:
        ready = client.request("GET", "/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
        assert client.request("GET", "/healthz").json() == {"status": "alive"}
    with pytest.raises(Unavailable):
        server.parts.recorder.record_blocking("cars", b"late")
    with in_memory(create_app(make_settings(tmp_path / "home", user="ada"))) as again:
        assert again.request("GET", "/readyz").status_code == 200


def test_grpc_listens_as_long_as_the_server_lives(tmp_path: Path) -> None:
    server = create_app(make_settings(tmp_path / "home", user="ada"), grpc_address="127.0.0.1:0")
    token = server.parts.app.tokens.issue(server.parts.app.identities.resolve("ada"))
    with in_memory(server):
        assert server.grpc is not None
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
            stub = channel.unary_unary(f"/{SERVICE}/ServerMetadata")
            metadata = [("authorization", f"Bearer {token}")]
            answer = messages().ServerMetadataResponse.FromString(stub(b"", metadata=metadata, timeout=20))
            assert answer.name == "headrace"
            with pytest.raises(grpc.RpcError, match="needs an identity"):
                stub(b"", timeout=20)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=2)


def test_a_web_socket_is_closed(tmp_path: Path) -> None:
    server = create_app(make_settings(tmp_path / "home", user="ada"))
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    with in_memory(server), start_blocking_portal() as portal:
        portal.call(server, {"type": "websocket", "path": "/"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_what_is_not_ready_says_so(tmp_path: Path) -> None:
    server = create_app(make_settings(tmp_path / "home", user="ada"))
    with in_memory(server) as client:
        server.parts.recorder.close()
        assert client.request("GET", "/readyz").status_code == 503
        assert client.request("GET", "/healthz").status_code == 200


def test_requests_under_way_are_answered_and_stored_before_the_server_ends(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as site, ThreadPoolExecutor(8) as pool:
        body = {"records": [{"mileage": 7.0, "model": "a3"}]}
        answers = list(pool.map(lambda _: site.post("/api/v1/predict/cars", json=body), range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert site.app.store.events.count("cars/predictions") == 40
