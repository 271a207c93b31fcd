from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from headrace.serving.invocations import InvocationsApp
from tests.serving.listening import Server
from tests.serving.scene import Classifier, Numeric, Scene, StubModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # importing it warns about its own types
    import mlflow.deployments
    import mlflow.pyfunc.scoring_server.client
    import mlflow.utils.proto_json_utils

PredictionsResponse: Any = mlflow.deployments.PredictionsResponse
ScoringServerClient: Any = mlflow.pyfunc.scoring_server.client.ScoringServerClient
dump_input_data: Any = mlflow.utils.proto_json_utils.dump_input_data

FRAME = pd.DataFrame({"mileage": [12.5, np.nan], "model": ["a4", "a3"], "leased": [True, False]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scene = Scene(Path(tmp_path_factory.mktemp("keys")), canary=StubModel(bias=100.0))
    app = InvocationsApp(scene.handler, scene.door.gatekeeper, max_body_bytes=200_000)
    with Server(scene, app) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client("operator") as made:
        yield made


def _refused(response: httpx.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert sorted(body) == ["error_code", "message"]
    assert body["error_code"] == code
    message: str = body["message"]
    return message


def _ask(client: httpx.Client, data: Any, params: dict[str, Any] | None = None) -> Any:
    """What MLflow's client sends and how it reads the answer; it has no place for a token."""
    response = client.post(
        "/invocations/cars",
        content=dump_input_data(data, params=params),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 200, response.text
    return PredictionsResponse.from_json(response.text)


@pytest.mark.requirement("SRV-01", "DEP-07")
def test_what_mlflows_client_sends_is_answered_in_its_form(server: Server, client: httpx.Client) -> None:
    answer = _ask(client, FRAME, {"key": "customer-7", "keys": ["a", "b"]})
    assert answer.get_predictions("ndarray").tolist() == [12.5, 0.0]
    assert answer.get_predictions("dataframe").iloc[0, 0] == 12.5
    logged = server.scene.predictions()[-1]
    assert (logged.id, logged.keys, logged.n_rows) == (answer["id"], ["a", "b"], 2)
    assert logged.columns["mileage"] == [12.5, None]
    assert (answer["infer_ms"], answer["prepare_ms"]) == (logged.infer_ms, logged.prepare_ms)


def test_a_version_may_be_asked_for(client: httpx.Client) -> None:
    assert _ask(client, FRAME, {"version": "2"}).get_predictions("ndarray").tolist() == [112.5, 100.0]


def test_arrays_without_names(tmp_path: Path) -> None:
    scene = Scene(tmp_path, live=Numeric())
    with Server(scene, InvocationsApp(scene.handler, scene.door.gatekeeper)) as server:
        with server.client("operator") as client:
            answer = _ask(client, np.array([[10.0, 2000.0], [20.0, 3000.0]]))
        assert answer.get_predictions("ndarray").tolist() == [12.0, 23.0]


@pytest.mark.requirement("SRV-08")
def test_a_classifier_answers_labels_and_how_sure_it_is(tmp_path: Path) -> None:
    scene = Scene(tmp_path, live=Classifier("no", "yes"))
    with Server(scene, InvocationsApp(scene.handler, scene.door.gatekeeper)) as server:
        with server.client("operator") as client:
            answer = _ask(client, FRAME.fillna(90.0))
        assert (answer["predictions"], answer["confidence"]) == (["no", "yes"], [0.875, 0.9])


def test_csv(client: httpx.Client) -> None:
    response = client.post(
        "/invocations/cars",
        content=FRAME.to_csv(index=False),
        headers={"content-type": "text/csv; charset=utf-8"},
    )
    assert response.json()["predictions"] == [12.5, 0.0]


def test_health_is_open_and_the_version_is_not(server: Server, client: httpx.Client) -> None:
    ScoringServerClient("127.0.0.1", server.port).ping()
    with server.client() as anonymous:
        assert [anonymous.get(path).status_code for path in ("/ping", "/health")] == [200, 200]
        assert "token" in _refused(anonymous.get("/version"), 401, "UNAUTHENTICATED")
        assert "token" in _refused(anonymous.post("/invocations/cars", json={}), 401, "UNAUTHENTICATED")
    assert client.get("/version").text.count(".") == 2


def test_who_may_not_ask_is_told_so(server: Server) -> None:
    with server.client("viewer") as viewer:
        response = viewer.post("/invocations/cars", json={"inputs": {"mileage": [1]}})
        assert "Roles that may" in _refused(response, 403, "PERMISSION_DENIED")


@pytest.mark.parametrize("path", ["/invocations", "/invocations/", "/invocations/cars/more"])
def test_a_model_is_named(client: httpx.Client, path: str) -> None:
    message = _refused(client.post(path, json={"inputs": [1]}), 404, "RESOURCE_DOES_NOT_EXIST")
    assert "/invocations/MODEL" in message


@pytest.mark.requirement("SRV-05")
@pytest.mark.parametrize(
    ("media_type", "body", "status", "code", "message"),
    [
        ("application/json", b"{", 400, "BAD_REQUEST", "no JSON"),
        ("application/json", b'{"inputs": {"mileage": [1]}}', 400, "BAD_REQUEST", "'model' is missing"),
        ("application/json", b'{"instances": [[1, 2]]}', 400, "BAD_REQUEST", "2 values without names"),
        ("application/json", b'{"instances": [["x", "a3", true]]}', 400, "BAD_REQUEST", "row 0: got 'x'"),
        ("text/csv", b"mileage\n1\n", 400, "BAD_REQUEST", "'model' is missing"),
        ("text/csv", b"mileage,model,leased\ninf,a3,true\n", 400, "BAD_REQUEST", "row 0: got inf"),
        ("text/plain", b"x", 415, "BAD_REQUEST", "Expected application/json or text/csv"),
        ("", b"x", 415, "BAD_REQUEST", "Expected application/json"),
        ("application/json; charset=latin-1", b"x", 415, "BAD_REQUEST", "charset=utf-8"),
        ("application/json", b" " * 200_001, 413, "REQUEST_LIMIT_EXCEEDED", "200000 bytes"),
    ],
)
def test_what_is_refused_comes_in_mlflows_form(
    client: httpx.Client, media_type: str, body: bytes, status: int, code: str, message: str
) -> None:
    response = client.post("/invocations/cars", content=body, headers={"content-type": media_type})
    assert message in _refused(response, status, code)


def test_an_unknown_model_a_wrong_method_and_a_bomb(client: httpx.Client) -> None:
    missing = client.post("/invocations/none", json={"inputs": [1]})
    assert "No release of 'none'" in _refused(missing, 404, "RESOURCE_DOES_NOT_EXIST")
    _refused(client.get("/invocations/cars"), 405, "BAD_REQUEST")
    _refused(client.post("/ping"), 405, "BAD_REQUEST")
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    bomb = client.post(
        "/invocations/cars", content=gzip.compress(b" " * 50_000_000, mtime=0), headers=headers
    )
    _refused(bomb, 413, "REQUEST_LIMIT_EXCEEDED")
    body = gzip.compress(json.dumps({"inputs": {"mileage": [1], "model": ["a3"], "leased": [True]}}).encode())
    assert client.post("/invocations/cars", content=body, headers=headers).json()["predictions"] == [1.0]
