"""The client that Triton's users have, unchanged, against our server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.serving.listening import Server
from tests.serving.scene import Classifier, Numeric, Scene, StubModel

DATATYPES = {
    "FP64": np.float64, "FP32": np.float32, "FP16": np.float16,
    "INT64": np.int64, "INT32": np.int32, "INT16": np.int16, "INT8": np.int8,
    "UINT64": np.uint64, "UINT32": np.uint32, "UINT16": np.uint16, "UINT8": np.uint8,
}  # fmt: skip


class Client:
    """The client with a token on every call."""

    def __init__(self, server: Server, role: str = "operator") -> None:
        self.triton = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
        self.headers = {"authorization": server.scene.door.enter(role, role)}

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.triton, name)
        return lambda *given, **named: call(*given, headers=dict(self.headers), **named)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(Scene(Path(tmp_path_factory.mktemp("keys")), canary=StubModel(bias=100.0))) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    made = Client(server)
    yield made
    made.triton.close()


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True) -> triton.InferInput:
    array = np.asarray(values)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def row(mileage: float = 12.5, *, n_rows: int = 1, binary: bool = True) -> list[triton.InferInput]:
    return [
        tensor("mileage", np.full(n_rows, mileage), "FP64", binary=binary),
        tensor("model", np.array(["a4"] * n_rows, dtype=object), "BYTES", binary=binary),
        tensor("leased", np.array([True] * n_rows), "BOOL", binary=binary),
    ]


@pytest.mark.requirement("SRV-01", "DEP-07")
def test_server_and_model_calls(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cars")
    assert client.is_model_ready("cars", "2")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata()["name"] == "headrace"
    assert client.get_model_metadata("cars")["versions"] == ["1", "2"]
    assert client.get_model_metadata("cars", "2")["versions"] == ["2"]
    assert client.get_model_config("cars")["input"][0]["data_type"] == "TYPE_FP64"
    assert client.get_model_config("cars", "2")["name"] == "cars"
    assert client.get_model_repository_index() == [
        {"name": "cars", "version": "1", "state": "READY", "reason": ""},
        {"name": "cars", "version": "2", "state": "READY", "reason": ""},
    ]


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("sent", [True, False])
def test_infer_in_both_forms_both_ways(client: Client, sent: bool, asked: bool) -> None:
    wanted = [triton.InferRequestedOutput("predict", binary_data=asked)]
    result = client.infer("cars", row(binary=sent), outputs=wanted, request_id="mine")
    assert result.as_numpy("predict").tolist() == [12.5]
    assert ("data" in result.get_output("predict")) is not asked
    answered = result.get_response()
    assert (answered["model_version"], answered["parameters"]["request_id"]) == ("1", "mine")


def test_infer_as_the_client_does_when_nothing_is_said(server: Server, client: Client) -> None:
    result = client.infer("cars", row(), parameters={"key": "customer-7"})
    assert result.as_numpy("predict").tolist() == [12.5]
    assert result.get_output("predict")["parameters"]["binary_data_size"] == 8
    assert server.scene.predictions()[-1].id == result.get_response()["id"]


def test_infer_of_one_version(client: Client) -> None:
    assert client.infer("cars", row(), model_version="2").as_numpy("predict").tolist() == [112.5]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_of_numbers(client: Client, datatype: str) -> None:
    mileage = tensor("mileage", np.array([[7], [9]], dtype=DATATYPES[datatype]), datatype)
    others = row(n_rows=2)[1:]
    assert client.infer("cars", [mileage, *others]).as_numpy("predict").tolist() == [7.0, 9.0]


def test_brain_floats(client: Client) -> None:
    import ml_dtypes

    mileage = tensor("mileage", np.array([1.5], dtype=ml_dtypes.bfloat16), "BF16")
    assert client.infer("cars", [mileage, *row()[1:]]).as_numpy("predict").tolist() == [1.5]


def test_not_a_number_is_a_gap(server: Server, client: Client) -> None:
    assert client.infer("cars", row(np.nan)).as_numpy("predict").tolist() == [0.0]
    assert server.scene.predictions()[-1].columns["mileage"] == [None]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(client: Client, algorithm: str) -> None:
    result = client.infer(
        "cars",
        row(n_rows=1000),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert result.as_numpy("predict").tolist() == [12.5] * 1000


def test_asynchronous_calls(client: Client) -> None:
    waiting = [client.async_infer("cars", row(float(i))) for i in range(20)]
    answers = [one.get_result().as_numpy("predict").tolist() for one in waiting]
    assert answers == [[float(i)] for i in range(20)]


def test_statistics(client: Client) -> None:
    before = client.get_inference_statistics("cars", "1")["model_stats"][0]
    client.infer("cars", row(n_rows=3), model_version="1")
    after = client.get_inference_statistics("cars", "1")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] == 1
    every = client.get_inference_statistics()["model_stats"]
    assert [(one["name"], one["version"]) for one in every] == [("cars", "1"), ("cars", "2")]


def test_who_operates_a_model_may_load_it_again_and_nobody_unloads_it(server: Server, client: Client) -> None:
    client.load_model("cars")
    with pytest.raises(InferenceServerException, match="routes decide what is loaded"):
        client.unload_model("cars")
    with pytest.raises(InferenceServerException, match="as its release was packaged"):
        client.load_model("cars", config='{"backend": "python"}')
    with pytest.raises(InferenceServerException, match="No release of 'none' is live"):
        client.load_model("none")
    developer = Client(server, "developer")
    for call in (developer.load_model, developer.unload_model):
        with pytest.raises(InferenceServerException, match="may not release.rollback"):
            call("cars")
    assert client.is_model_ready("cars")


@pytest.mark.requirement("SRV-05")
def test_what_is_refused_comes_as_the_clients_own_exception(client: Client) -> None:
    with pytest.raises(InferenceServerException, match="'model' is missing") as refused:
        client.infer("cars", row()[:1])
    assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="row 0: got inf"):
        client.infer("cars", row(np.inf))
    with pytest.raises(InferenceServerException, match="No release of 'none'"):
        client.infer("none", row())
    with pytest.raises(InferenceServerException, match="no output 'price'"):
        client.infer("cars", row(), outputs=[triton.InferRequestedOutput("price")])
    with pytest.raises(InferenceServerException, match="There is nothing at"):
        client.get_log_settings()


@pytest.mark.requirement("SRV-08")
def test_confidence_and_durations_come_with_the_answer_and_are_stored(tmp_path: Path) -> None:
    with Server(Scene(tmp_path, live=Classifier("no", "yes"))) as server:
        result = Client(server).infer("cars", row(20.0, n_rows=2))
        assert result.as_numpy("predict").tolist() == [b"no", b"no"]
        assert result.as_numpy("probability").tolist() == [0.2, 0.2]
        assert result.as_numpy("confidence").tolist() == [0.8, 0.8]
        stored = server.scene.predictions()[-1]
        answered = result.get_response()["parameters"]
        assert stored.confidence == [0.8, 0.8]
        assert answered["infer_ms"] == stored.infer_ms
        assert answered["prepare_ms"] == stored.prepare_ms


def test_one_tensor_for_all_inputs(tmp_path: Path) -> None:
    with Server(Scene(tmp_path, live=Numeric(), canary=Numeric(bias=100.0))) as server:
        client = Client(server)
        declared = client.get_model_metadata("cars")["parameters"]["matrix"]
        rows = np.array([[10.0, 2000.0], [20.0, 3000.0]])
        assert (declared["columns"], declared["shape"]) == (["mileage", "year"], [-1, 2])
        sent = tensor(declared["name"], rows, declared["datatype"])
        assert client.infer("cars", [sent]).as_numpy("predict").tolist() == [12.0, 23.0]
        assert client.infer("cars", [sent], model_version="2").as_numpy("predict").tolist() == [112.0, 123.0]
        with pytest.raises(
            InferenceServerException, match="3 values without names. Expected 2, in this order"
        ):
            client.infer("cars", [tensor("x", np.zeros((2, 3)), "FP64", binary=False)])
