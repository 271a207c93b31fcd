from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.listening import Server
from tests.serving.scene import ROW, Scene, StubModel
from tests.serving.test_oip import BAD_BODIES


class _Canary(StubModel):
    """Raises on request, so that one server can show both."""

    def score_row(self, values: Any) -> Any:
        if values[0] == 666.0:
            raise RuntimeError("secret detail")
        return super().score_row(values)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scene = Scene(Path(tmp_path_factory.mktemp("keys")), canary=_Canary(bias=100.0))
    with Server(scene) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client("operator") as made:
        yield made


def _request(values: dict[str, list[Any]] | None = None, **more: Any) -> dict[str, Any]:
    datatypes = {"mileage": "FP64", "model": "BYTES", "leased": "BOOL"}
    columns = ROW if values is None else values
    return {
        "inputs": [
            {"name": name, "shape": [len(column)], "datatype": datatypes.get(name, "FP64"), "data": column}
            for name, column in columns.items()
        ],
        **more,
    }


def _refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    message: str = body["error"]
    assert "Traceback" not in message
    return message


@pytest.mark.requirement("SRV-01")
def test_a_live_release_answers(server: Server, client: httpx.Client) -> None:
    response = client.post("/v2/models/cars/infer", json=_request(id="mine"))
    assert response.status_code == 200
    body = response.json()
    logged = server.scene.predictions()[-1]
    assert body == {
        "id": logged.id,
        "model_name": "cars",
        "model_version": "1",
        "outputs": [{"name": "predict", "shape": [1], "datatype": "FP64", "data": [12.5]}],
        "parameters": {
            "release": "r1",
            "arm": "live",
            "prepare_ms": logged.prepare_ms,
            "infer_ms": logged.infer_ms,
            "request_id": "mine",
        },
    }


def test_the_log_says_who_asked_and_when(server: Server, client: httpx.Client) -> None:
    parameters = {"event_time": "2013-05-01T00:00:00Z", "key": "customer-7", "keys": ["car-1"]}
    assert client.post("/v2/models/cars/infer", json=_request(parameters=parameters)).status_code == 200
    logged = server.scene.predictions()[-1]
    assert (logged.principal, logged.keys, logged.event_time.year) == ("operator", ["car-1"], 2013)


def test_categories_never_seen_are_answered_and_named(client: httpx.Client) -> None:
    response = client.post("/v2/models/cars/infer", json=_request({**ROW, "model": ["quattro"]}))
    assert response.json()["parameters"]["unseen"] == ["model"]


def test_a_version_answers_while_it_is_routed_to(client: httpx.Client) -> None:
    response = client.post("/v2/models/cars/versions/2/infer", json=_request())
    answered = response.json()["parameters"]
    assert (answered["release"], answered["arm"]) == ("r2", "canary")
    message = _refused(client.post("/v2/models/cars/versions/3/infer", json=_request()), 404)
    assert "Versions that do: 1, 2" in message


def test_many_rows_and_a_long_body(server: Server, client: httpx.Client) -> None:
    n_rows = 3000
    values: dict[str, list[Any]] = {
        "mileage": [1.5] * n_rows,
        "model": ["a3 with a long name"] * n_rows,
        "leased": [True] * n_rows,
    }
    response = client.post("/v2/models/cars/infer", json=_request(values))
    assert len(response.request.content) > 64 * 1024
    assert response.json()["outputs"][0]["shape"] == [n_rows]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES, ids=[str(i) for i in range(len(BAD_BODIES))])
def test_a_body_that_is_no_request_is_the_clients_fault(
    client: httpx.Client, body: bytes, message: str
) -> None:
    _refused(client.post("/v2/models/cars/infer", content=body), 400)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mileage": [1.5]}, "'model' is missing"),
        ({**ROW, "colour": [1.0]}, "no input 'colour'"),
        ({**ROW, "mileage": [None], "model": [7]}, "'model', row 0: got 7"),
        ({**ROW, "leased": [False, True]}, "'leased' has 2 rows"),
        ({**ROW, "mileage": [True]}, "'mileage', row 0: got true"),
    ],
)
def test_fields_that_do_not_fit_are_named(
    client: httpx.Client, values: dict[str, list[Any]], message: str
) -> None:
    assert message in _refused(client.post("/v2/models/cars/infer", json=_request(values)), 400)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_not_a_number_is_named_by_its_field(client: httpx.Client, text: str) -> None:
    body = json.dumps(_request()).replace("12.5", text)
    message = _refused(client.post("/v2/models/cars/infer", content=body), 400)
    assert message.startswith("Input 'mileage', row 0: got ")


def test_null_is_a_gap(client: httpx.Client) -> None:
    response = client.post("/v2/models/cars/infer", json=_request({**ROW, "mileage": [None]}))
    assert response.json()["outputs"][0]["data"] == [0.0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/"),
        ("GET", "/v2/models/cars"),
        ("GET", "/v2/models/cars/ready"),
        ("POST", "/v2/models/cars/infer"),
        ("POST", "/v2/models/cars/versions/1/infer"),
        ("GET", "/v2/models/none"),
        ("GET", "/v2/nonsense"),
    ],
)
def test_nothing_but_health_answers_without_an_identity(server: Server, method: str, path: str) -> None:
    for header in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp5"}):
        with server.client(**header) as anonymous:
            response = anonymous.request(method, path, json={})
            assert "token" in _refused(response, 401).lower()
            assert response.headers["www-authenticate"] == "Bearer"


def test_health_needs_no_identity(server: Server) -> None:
    with server.client() as anonymous:
        assert anonymous.get("/v2/health/live").json() == {"live": True}
        assert anonymous.get("/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize("role", ["viewer", "validator", "auditor"])
def test_roles_without_the_right_may_look_and_not_ask(server: Server, role: str) -> None:
    with server.client(role) as reader:
        message = _refused(reader.post("/v2/models/cars/infer", json=_request()), 403)
        assert "Roles that may: caller, developer, operator, admin" in message
        assert reader.get("/v2/models/cars").status_code == 200


def test_the_server_and_the_model_describe_themselves(client: httpx.Client) -> None:
    assert client.get("/v2").json()["name"] == "headrace"
    assert client.get("/v2/models/cars").json()["versions"] == ["1", "2"]
    assert client.get("/v2/models/cars/versions/2").json()["versions"] == ["2"]
    assert client.get("/v2/models/cars/versions/2/ready").json() == {"name": "cars", "ready": True}
    _refused(client.get("/v2/models/cars/versions/9"), 404)
    assert client.get("/v2/models/cars/ready").json() == {"name": "cars", "ready": True}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/nonsense",
        "/v2/models",
        "/v2/models/cars/infer/more",
        "/v2/models//infer",
        "/v2/models/none",
        "/v2/models/none/ready",
        "/v2/models/..%2f..%2fetc",
        "/v2/models/" + "x" * 3000,
        "/v2/models/cars%0Aadmin",
        "/v2/models/%ff%00",
    ],
)
def test_what_is_not_there_is_not_found(client: httpx.Client, path: str) -> None:
    method = "POST" if path == "/v2/models//infer" else "GET"
    _refused(client.request(method, path, json=_request() if method == "POST" else None), 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v2/models/cars/infer", "POST"),
        ("PUT", "/v2/models/cars/infer", "POST"),
        ("POST", "/v2/models/cars", "GET"),
        ("DELETE", "/v2/models/cars/ready", "GET"),
        ("POST", "/v2", "GET"),
        ("POST", "/v2/health/live", "GET"),
    ],
)
def test_a_method_that_is_not_served_is_named(
    client: httpx.Client, method: str, path: str, allow: str
) -> None:
    response = client.request(method, path)
    assert f"Expected {allow}" in _refused(response, 405)
    assert response.headers["allow"] == allow


def test_a_body_that_is_too_long_is_refused(client: httpx.Client) -> None:
    body = b"x" * 200_001
    assert "200000 bytes" in _refused(client.post("/v2/models/cars/infer", content=body), 413)
    chunked = iter([body[:100_000], body[:100_000], body[:1]])
    _refused(client.post("/v2/models/cars/infer", content=chunked), 413)


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ("10", "Inference-Header-Content-Length is 10 and the body has 2 bytes"),
        ("0", "is 0 and the body"),
        ("-1", "Expected a number of bytes"),
        ("two", "Expected a number of bytes"),
        ("9" * 5000, "Expected a number of bytes"),
        ("1", "no infer request"),
        ("2", "`inputs`"),
    ],
)
def test_a_wrong_header_length_is_refused(client: httpx.Client, length: str, message: str) -> None:
    headers = {"inference-header-content-length": length}
    assert message in _refused(client.post("/v2/models/cars/infer", content=b"{}", headers=headers), 400)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_requests_and_answers(client: httpx.Client, encoding: str) -> None:
    many: dict[str, list[Any]] = {"mileage": [1.5] * 500, "model": ["a3"] * 500, "leased": [True] * 500}
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    body = compress(json.dumps(_request(many)).encode())
    headers = {"content-encoding": encoding, "accept-encoding": f"br, {encoding};q=0.5"}
    response = client.post("/v2/models/cars/infer", content=body, headers=headers)
    assert response.headers["content-encoding"] == encoding
    assert response.json()["outputs"][0]["data"] == [1.5] * 500
    headers = {"content-encoding": encoding, "accept-encoding": f"{encoding};q=0, identity"}
    response = client.post("/v2/models/cars/infer", content=body, headers=headers)
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    ("encoding", "body", "status", "message"),
    [
        ("br", b"x", 415, "by 'br'. Expected gzip, deflate or none"),
        ("gzip, gzip", b"x", 415, "Expected gzip"),
        ("gzip", b"xyz", 400, "not compressed by gzip"),
        ("deflate", gzip.compress(b"{}", mtime=0), 400, "not compressed by deflate"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], 400, "cut short"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", 400, "goes on after its end"),
        ("gzip", b"", 400, "cut short"),
        ("gzip", gzip.compress(b" " * 50_000_000, 1, mtime=0), 413, "200000 bytes"),
        ("deflate", zlib.compress(b" " * 50_000_000, 1), 413, "200000 bytes"),
    ],
)
def test_bad_compression_is_the_clients_fault(
    client: httpx.Client, encoding: str, body: bytes, status: int, message: str
) -> None:
    response = client.post("/v2/models/cars/infer", content=body, headers={"content-encoding": encoding})
    assert message in _refused(response, status)


def test_our_own_failure_is_a_500_without_details(
    server: Server, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        response = client.post("/v2/models/cars/versions/2/infer", json=_request({**ROW, "mileage": [666.0]}))
    message = _refused(response, 500)
    assert "recorded as failure" in message
    assert "secret detail" not in message
    assert server.scene.failures()[-1].error == "RuntimeError: secret detail"


@pytest.mark.requirement("SRV-06")
def test_a_full_disk_is_a_503_and_nothing_is_acknowledged(server: Server, client: httpx.Client) -> None:
    before = len(server.scene.predictions())
    server.scene.events.failing = OSError(28, "No space left on device")
    try:
        response = client.post("/v2/models/cars/infer", json=_request())
        assert "No space left" in _refused(response, 503)
        assert response.headers["retry-after"] == "1"
        assert client.get("/v2/health/ready").status_code == 503
    finally:
        server.scene.events.failing = None
    assert len(server.scene.predictions()) == before
    assert client.post("/v2/models/cars/infer", json=_request()).status_code == 200
    assert client.get("/v2/health/ready").status_code == 200


def test_a_client_that_leaves_in_the_middle_harms_nobody(server: Server, client: httpx.Client) -> None:
    import socket

    token = client.headers["authorization"]
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            f"POST /v2/models/cars/infer HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n"
            'content-length: 1000\r\n\r\n{"inputs"'.encode()
        )
    assert client.post("/v2/models/cars/infer", json=_request()).status_code == 200


def test_a_model_that_does_not_load_is_not_ready(stage: Callable[..., Scene]) -> None:
    scene = stage()
    scene.shelf.models.clear()
    scene.models.keep([])
    with Server(scene) as running, running.client("operator") as operator:
        assert operator.get("/v2/models/cars/ready").json() == {"name": "cars", "ready": False}
        assert "cannot be loaded" in _refused(operator.get("/v2/models/cars"), 503)
        _refused(operator.post("/v2/models/cars/infer", json=_request()), 503)


def test_a_server_without_routes_lives_but_is_not_ready(tmp_path: Path) -> None:
    with Server(Scene(tmp_path, refreshed=False)) as running, running.client() as anonymous:
        assert anonymous.get("/v2/health/live").status_code == 200
        assert anonymous.get("/v2/health/ready").status_code == 503
