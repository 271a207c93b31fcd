from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.serving.asgi import InferenceApp
from headrace.serving.asked_later import is_later
from headrace.serving.invocations import InvocationsApp
from headrace.serving.later import Accepted, Question
from tests.serving.listening import Server
from tests.serving.scene import Scene

INFER, INVOKE = "/v2/models/cars/infer", "/invocations/cars"
TENSORS: dict[str, Any] = {
    "inputs": [
        {"name": "mileage", "shape": [1], "datatype": "FP64", "data": [12.5]},
        {"name": "model", "shape": [1], "datatype": "BYTES", "data": ["a4"]},
        {"name": "leased", "shape": [1], "datatype": "BOOL", "data": [True]},
    ]
}
FRAME = {"dataframe_split": {"columns": ["mileage", "model", "leased"], "data": [[12.5, "a4", True]]}}
BODIES = {INFER: TENSORS, INVOKE: FRAME}
COLUMNS = {"mileage": [12.5], "model": ["a4"], "leased": [True]}


class Noted:
    """Keeps what is handed in; tests say how it went on."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.keys: list[str | None] = []
        self.callbacks: list[str | None] = []
        self.accepted = Accepted(
            id="job-1",
            project="cars",
            state="pending",
            accepted_at=datetime(2026, 1, 1, tzinfo=UTC),
            attempts=0,
            ended_at=None,
            answer=None,
            error=None,
            kind=None,
            callback=None,
        )

    def accept(
        self, me: Principal, project: str, question: Question, key: str | None, *, callback: str | None
    ) -> Accepted:
        self.questions.append(question)
        self.keys.append(key)
        self.callbacks.append(callback)
        return self.accepted

    def find(self, me: Principal, job_id: str) -> Accepted:
        if job_id != self.accepted.id:
            raise NotFound(f"There is no prediction {job_id!r} here.")
        return self.accepted


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def client(scene: Scene, noted: Noted) -> Iterator[httpx.Client]:
    tensors = InferenceApp(scene.handler, scene.door.gatekeeper, submissions=noted)
    invocations = InvocationsApp(scene.handler, scene.door.gatekeeper, submissions=noted)

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await (tensors if scope["path"].startswith("/v2") else invocations)(scope, receive, send)

    with Server(scene, both) as server, server.client("operator") as made:
        yield made


@pytest.mark.parametrize(
    ("query", "expected"), [(b"", False), (b"mode=sync", False), (b"a=1&mode=async", True), (b"a=1", False)]
)
def test_the_query_says_when(query: bytes, expected: bool) -> None:
    assert is_later({"query_string": query}) is expected
    assert is_later({}) is False, "an ASGI server may leave an empty query out"


@pytest.mark.parametrize("query", [b"mode=later", b"mode=", b"mode=async&mode=sync", b"mode=%ff"])
def test_another_mode_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidInput, match="Expected sync or async, once"):
        is_later({"query_string": query})


@pytest.mark.requirement("SRV-03")
@pytest.mark.parametrize("path", [INFER, INVOKE])
def test_a_request_is_accepted_in_its_protocols_form(client: httpx.Client, noted: Noted, path: str) -> None:
    answer = client.post(f"{path}?mode=async", json=BODIES[path], headers={"idempotency-key": "order-1"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{path}/job-1"
    assert answer.json()["id"] == "job-1"
    assert (noted.keys, noted.callbacks) == (["order-1"], [None])
    assert noted.questions[0].columns == COLUMNS

    waiting = client.get(f"{path}/job-1")
    assert (waiting.status_code, waiting.headers["retry-after"]) == (202, "1")
    assert waiting.json() == answer.json()

    noted.accepted = replace(noted.accepted, state="done", answer={"id": "answer-1", "outputs": []})
    done = client.get(f"{path}/job-1")
    assert (done.status_code, done.json()) == (200, {"id": "answer-1", "outputs": []})


def test_how_it_waits_is_an_infer_response_without_outputs(client: httpx.Client) -> None:
    assert client.post(f"{INFER}?mode=async", json=TENSORS).json() == {
        "id": "job-1",
        "model_name": "cars",
        "model_version": "",
        "outputs": [],
        "parameters": {"state": "pending"},
    }


def test_what_a_request_says_beside_its_rows_is_kept(client: httpx.Client, noted: Noted) -> None:
    url, moment = "https://hooks.example/", "2026-01-31T08:00:00Z"
    beside = {"key": "ann", "keys": ["car-1"], "event_time": moment, "callback": url}
    tensors = TENSORS | {"id": "mine", "parameters": beside, "outputs": [{"name": "predict"}]}
    assert client.post("/v2/models/cars/versions/1/infer?mode=async", json=tensors).status_code == 202
    assert client.post(f"{INVOKE}?mode=async", json=FRAME | {"params": beside | {"version": "1"}}).is_success
    common: dict[str, Any] = {
        "columns": COLUMNS,
        "key": "ann",
        "keys": ["car-1"],
        "event_time": datetime(2026, 1, 31, 8, tzinfo=UTC),
        "version": "1",
    }
    assert noted.questions == [
        Question(**common, outputs=("predict",), request_id="mine", form="tensors"),
        Question(**common, form="invocation"),
    ]
    assert noted.callbacks == [url, url]


def test_rows_without_names_are_named_as_metadata_names_them_now(client: httpx.Client, noted: Noted) -> None:
    answer = client.post(f"{INVOKE}?mode=async", json={"instances": [[12.5, "a4", True]]})
    assert answer.status_code == 202, answer.text
    csv = client.post(
        f"{INVOKE}?mode=async",
        content="mileage,model,leased\n12.5,a4,true\n",
        headers={"content-type": "text/csv"},
    )
    assert csv.status_code == 202, csv.text
    assert [one.columns for one in noted.questions] == [COLUMNS, COLUMNS]
    narrow = client.post(f"{INVOKE}?mode=async", json={"instances": [[12.5]]})
    assert (narrow.status_code, len(noted.questions)) == (400, 2)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("InvalidInput", 400), ("Denied", 403), ("ProofNeeded", 403), ("Unavailable", 500), (None, 500)],
)
@pytest.mark.parametrize("path", [INFER, INVOKE])
def test_what_could_not_be_answered_has_the_status_of_its_error(
    client: httpx.Client, noted: Noted, path: str, kind: str | None, status: int
) -> None:
    noted.accepted = replace(noted.accepted, state="failed", error="It is wrong.", kind=kind)
    answer = client.get(f"{path}/job-1")
    assert answer.status_code == status
    assert "It is wrong." in answer.json().values()
    assert "retry-after" not in answer.headers, "it was tried often enough"


def test_only_the_model_that_was_asked_has_the_answer(client: httpx.Client) -> None:
    for path in ("/v2/models/vans/infer/job-1", "/invocations/vans/job-1", f"{INFER}/other"):
        assert client.get(path).status_code == 404
    assert client.post(f"{INFER}/job-1", json={}).status_code == 405
    assert client.post(f"{INVOKE}/job-1", json={}).status_code == 404
    assert client.get(f"{INFER}/job-1", headers={"authorization": ""}).status_code == 401


def _tensors(**more: Any) -> dict[str, Any]:
    return TENSORS | more


@pytest.mark.parametrize(
    ("path", "body", "headers", "message"),
    [
        (f"{INFER}?mode=later", TENSORS, {}, "Expected sync or async"),
        (f"{INVOKE}?mode=later", FRAME, {}, "Expected sync or async"),
        (f"{INFER}?mode=async", _tensors(parameters={"explain": True}), {}, "gives no explanation"),
        (f"{INVOKE}?mode=async", FRAME | {"params": {"explain": True}}, {}, "gives no explanation"),
        (f"{INFER}?mode=async", _tensors(parameters={"binary_data_output": True}), {}, "in JSON only"),
        (f"{INFER}?mode=async", TENSORS, {"idempotency-key": ""}, "Idempotency-Key"),
        (f"{INFER}?mode=async", TENSORS, {"idempotency-key": "x" * 257}, "Idempotency-Key"),
        (f"{INFER}?mode=async", _tensors(id="x" * 257), {}, "'id' has 257 characters"),
        (INFER, _tensors(parameters={"callback": "https://hooks.example/"}), {}, "mode=async only"),
        (INVOKE, FRAME | {"params": {"callback": "https://hooks.example/"}}, {}, "mode=async only"),
    ],
)
def test_what_is_not_accepted(
    client: httpx.Client, noted: Noted, path: str, body: dict[str, Any], headers: dict[str, str], message: str
) -> None:
    answer = client.post(
        path, content=json.dumps(body), headers={"content-type": "application/json"} | headers
    )
    assert answer.status_code == 400, answer.text
    assert message in answer.text
    assert noted.questions == []


def test_without_a_place_to_hand_in_nothing_is_accepted(scene: Scene) -> None:
    with Server(scene, scene.app) as server, server.client("operator") as client:
        answer = client.post(f"{INFER}?mode=async", json=TENSORS)
        assert answer.status_code == 400
        assert "mode=async is not served here" in answer.json()["error"]
