"""gRPC on a socket: the client that Triton's users have, and grpcio by itself."""

from __future__ import annotations

import asyncio
import gzip
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from headrace.core.errors import Conflict
from headrace.core.identity import Principal
from headrace.serving.grpc_messages import SERVICE, messages
from headrace.serving.grpc_server import METHODS, OPEN, start_grpc
from tests.serving.listening import GrpcListening
from tests.serving.scene import Classifier, Scene, StubModel
from tests.serving.test_triton_http import DATATYPES

types = messages()


class Client:
    """Triton's client with a token on every call."""

    def __init__(self, server: GrpcListening, role: str = "operator") -> None:
        self.triton = triton.InferenceServerClient(server.address)
        self.headers = {"authorization": server.scene.door.enter(role, role)}

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.triton, name)
        return lambda *given, **named: call(*given, headers=self.headers, **named)


class Plain:
    """grpcio without generated code."""

    def __init__(self, server: GrpcListening) -> None:
        self.channel = grpc.insecure_channel(server.address)

    def call(self, method: str, body: bytes, authorization: str | None = None, **options: Any) -> bytes:
        metadata = [] if authorization is None else [("authorization", authorization)]
        stub = self.channel.unary_unary(f"/{SERVICE}/{method}")
        answer: bytes = stub(body, metadata=metadata, timeout=options.pop("timeout", 20), **options)
        return answer

    def refused(self, method: str, body: bytes, authorization: str | None = None, **options: Any) -> Any:
        with pytest.raises(grpc.RpcError) as refused:
            self.call(method, body, authorization, **options)
        return refused.value


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcListening]:
    scene = Scene(Path(tmp_path_factory.mktemp("keys")), canary=StubModel(bias=100.0))
    with GrpcListening(scene, max_bytes=200_000) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: GrpcListening) -> Iterator[Client]:
    made = Client(server)
    yield made
    made.triton.close()


@pytest.fixture(scope="module")
def plain(server: GrpcListening) -> Iterator[Plain]:
    made = Plain(server)
    yield made
    made.channel.close()


def tensor(name: str, values: Any, datatype: str) -> triton.InferInput:
    array = np.asarray(values)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def row(mileage: float = 12.5, *, n_rows: int = 1) -> list[triton.InferInput]:
    return [
        tensor("mileage", np.full(n_rows, mileage), "FP64"),
        tensor("model", np.array(["a4"] * n_rows, dtype=object), "BYTES"),
        tensor("leased", np.array([True] * n_rows), "BOOL"),
    ]


def typed(mileage: list[float] | None = None) -> bytes:
    """A request with typed contents, as a hand-written client sends it."""
    miles = [12.5] if mileage is None else mileage
    shape = [len(miles)]
    contents = {
        "mileage": ("FP64", {"fp64_contents": miles}),
        "model": ("BYTES", {"bytes_contents": [b"a4"] * len(miles)}),
        "leased": ("BOOL", {"bool_contents": [True] * len(miles)}),
    }
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "contents": values}
        for name, (datatype, values) in contents.items()
    ]
    body: bytes = types.ModelInferRequest(model_name="cars", inputs=inputs).SerializeToString()
    return body


@pytest.mark.requirement("SRV-01", "DEP-07")
def test_server_and_model_calls(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cars")
    assert client.is_model_ready("cars", "2")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata().name == "headrace"
    described = client.get_model_metadata("cars", as_json=True)
    assert described["versions"] == ["1", "2"]
    assert described["inputs"][1] == {"name": "model", "datatype": "BYTES", "shape": ["-1"]}
    assert client.get_model_metadata("cars", "2").versions == ["2"]
    config = client.get_model_config("cars").config
    assert (config.name, config.input[1].data_type, list(config.input[0].dims)) == ("cars", 13, [-1])
    index = client.get_model_repository_index().models
    assert [(one.name, one.version, one.state) for one in index] == [
        ("cars", "1", "READY"),
        ("cars", "2", "READY"),
    ]


def test_infer(server: GrpcListening, client: Client) -> None:
    result = client.infer("cars", row(), request_id="mine", parameters={"key": "customer-7"})
    assert result.as_numpy("predict").tolist() == [12.5]
    logged = server.scene.predictions()[-1]
    answer = result.get_response()
    assert (answer.id, logged.request_id, answer.model_version) == (logged.id, "mine", "1")
    assert answer.parameters["infer_ms"].double_param == logged.infer_ms
    assert client.infer("cars", row(), model_version="2").as_numpy("predict").tolist() == [112.5]
    wanted = [triton.InferRequestedOutput("predict")]
    assert client.infer("cars", row(n_rows=500), outputs=wanted).as_numpy("predict").shape == (500,)
    for algorithm in ("gzip", "deflate"):
        result = client.infer("cars", row(), compression_algorithm=algorithm)
        assert result.as_numpy("predict").tolist() == [12.5]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_of_numbers(client: Client, datatype: str) -> None:
    mileage = tensor("mileage", np.array([[7], [9]], dtype=DATATYPES[datatype]), datatype)
    assert client.infer("cars", [mileage, *row(n_rows=2)[1:]]).as_numpy("predict").tolist() == [7.0, 9.0]


def test_typed_contents_are_answered_by_typed_contents(server: GrpcListening, plain: Plain) -> None:
    body = plain.call("ModelInfer", typed(), server.scene.door.enter("operator", "operator"))
    answer = types.ModelInferResponse.FromString(body)
    assert list(answer.outputs[0].contents.fp64_contents) == [12.5]
    assert not answer.raw_output_contents


def test_asynchronous_calls(client: Client) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    client.async_infer("cars", row(3.0), callback=lambda result, error: answers.put(error or result))
    assert answers.get(timeout=20).as_numpy("predict").tolist() == [3.0]


def test_a_stream_goes_on_after_a_bad_request(server: GrpcListening) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    client = Client(server)
    client.triton.start_stream(lambda result, error: answers.put((result, error)), headers=client.headers)
    client.triton.async_stream_infer("cars", row(1.0))
    client.triton.async_stream_infer("cars", row()[:1])
    client.triton.async_stream_infer("cars", row(3.0))
    first, bad, last = [answers.get(timeout=20) for _ in range(3)]
    client.triton.stop_stream()
    assert first[0].as_numpy("predict").tolist() == [1.0]
    assert "'model' is missing" in str(bad[1])
    assert last[0].as_numpy("predict").tolist() == [3.0]


def test_statistics(client: Client) -> None:
    before = client.get_inference_statistics("cars", "1").model_stats[0]
    client.infer("cars", row(n_rows=3), model_version="1")
    after = client.get_inference_statistics("cars", "1").model_stats[0]
    assert after.inference_count - before.inference_count == 3
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert [one.version for one in client.get_inference_statistics().model_stats] == ["1", "2"]


def test_who_operates_a_model_may_load_it_again_and_nobody_unloads_it(
    server: GrpcListening, client: Client
) -> None:
    client.load_model("cars")
    with pytest.raises(InferenceServerException, match="routes decide what is loaded") as refused:
        client.unload_model("cars")
    assert refused.value.status() == "StatusCode.FAILED_PRECONDITION"
    with pytest.raises(InferenceServerException, match="as its release was packaged"):
        client.load_model("cars", config='{"backend": "python"}')
    with pytest.raises(InferenceServerException, match="may not release.rollback"):
        Client(server, "developer").load_model("cars")


@pytest.mark.requirement("SRV-05")
def test_errors_have_their_status(server: GrpcListening, client: Client, plain: Plain) -> None:
    with pytest.raises(InferenceServerException, match="'model' is missing") as refused:
        client.infer("cars", row()[:1])
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match="No release of 'none'") as refused:
        client.infer("none", row())
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException, match="Roles that may") as refused:
        Client(server, "viewer").infer("cars", row())
    assert refused.value.status() == "StatusCode.PERMISSION_DENIED"
    operator = server.scene.door.enter("operator", "operator")
    no_message = plain.refused("ModelInfer", b"\xff\xff", operator)
    assert (no_message.code(), "no ModelInferRequest" in no_message.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        True,
    )
    assert plain.refused("LogSettings", b"", operator).code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_full_disk_is_unavailable_and_a_broken_model_internal(
    server: GrpcListening, client: Client
) -> None:
    server.scene.events.failing = OSError(28, "No space left on device")
    try:
        with pytest.raises(InferenceServerException, match="No space left") as refused:
            client.infer("cars", row())
    finally:
        server.scene.events.failing = None
    assert refused.value.status() == "StatusCode.UNAVAILABLE"
    server.scene.shelf.models["r2"].error = RuntimeError("secret detail")
    try:
        with pytest.raises(InferenceServerException, match="recorded as failure") as refused:
            client.infer("cars", row(), model_version="2")
    finally:
        server.scene.shelf.models["r2"].error = None
    assert refused.value.status() == "StatusCode.INTERNAL"
    assert "secret" not in str(refused.value)


def test_messages_beyond_the_limit_are_refused_also_compressed(server: GrpcListening, plain: Plain) -> None:
    operator = server.scene.door.enter("operator", "operator")
    long = typed([1.0] * 50_000)
    assert len(gzip.compress(long, mtime=0)) < 200_000 < len(long)
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        refused = plain.refused("ModelInfer", long, operator, compression=compression)
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert plain.call("ModelInfer", typed(), operator)


def test_an_answer_after_the_deadline_is_not_given_and_not_recorded(tmp_path: Path) -> None:
    leave = threading.Event()

    class Slow(StubModel):
        def score(self, columns: Any) -> Any:
            leave.wait(20)
            return super().score(columns)

    with GrpcListening(Scene(tmp_path, live=Slow())) as server:
        plain = Plain(server)
        operator = server.scene.door.enter("operator", "operator")
        refused = plain.refused("ModelInfer", typed([1.0] * 100), operator, timeout=0.3)
        assert refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        leave.set()
        assert plain.call("ModelInfer", typed([2.0] * 100), operator)
        assert [one.columns["mileage"][0] for one in server.scene.predictions()] == [2.0]
        plain.channel.close()


@pytest.mark.requirement("MCP-05")
@pytest.mark.parametrize("method", [*(name for name in METHODS if name not in OPEN), "ModelStreamInfer"])
def test_no_call_opens_without_a_good_credential(server: GrpcListening, plain: Plain, method: str) -> None:
    good = server.scene.door.enter("operator", "operator")
    for credential in (
        None,
        "",
        "Bearer ",
        "Bearer x.y.z",
        good[:-4],
        f"Basic {good[7:]}",
        good + "a" * 5000,
    ):
        if method == "ModelStreamInfer":
            stub = plain.channel.stream_stream(f"/{SERVICE}/{method}")
            given = [] if credential is None else [("authorization", credential)]
            with pytest.raises(grpc.RpcError) as refused:
                list(stub(iter([typed()]), metadata=given, timeout=20))
            code = refused.value.code()
        else:
            error = plain.refused(method, typed() if method == "ModelInfer" else b"", credential)
            code = error.code()
        assert code is grpc.StatusCode.UNAUTHENTICATED, (method, credential)


def test_health_is_open(plain: Plain) -> None:
    assert types.ServerLiveResponse.FromString(plain.call("ServerLive", b"")).live
    assert types.ServerReadyResponse.FromString(plain.call("ServerReady", b"")).ready


@pytest.mark.requirement("MCP-06")
def test_nobody_of_another_workspace_gets_anything(server: GrpcListening, plain: Plain) -> None:
    stranger = _stranger(server)
    about = types.ModelReadyRequest(name="cars").SerializeToString()
    operated = types.RepositoryModelLoadRequest(model_name="cars").SerializeToString()
    for method in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
        assert plain.refused(method, about, stranger).code() is grpc.StatusCode.PERMISSION_DENIED, method
    for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
        assert plain.refused(method, operated, stranger).code() is grpc.StatusCode.PERMISSION_DENIED, method
    assert plain.refused("ModelInfer", typed(), stranger).code() is grpc.StatusCode.PERMISSION_DENIED
    assert plain.call("RepositoryIndex", b"", stranger) == b""
    assert plain.call("ModelStatistics", b"", stranger) == b""
    stub = plain.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
    (answer,) = list(stub(iter([typed()]), metadata=[("authorization", stranger)], timeout=20))
    assert "may not predict" in types.ModelStreamInferResponse.FromString(answer).error_message


def _stranger(server: GrpcListening) -> str:
    door = server.scene.door
    known = door.gatekeeper.authenticate(door.enter("stranger", "operator", "admin"))
    moved: Principal = replace(known, workspace="north", session=None)
    door.principals.save(moved)
    door.store.epoch.advance()
    return f"Bearer {door.tokens.issue(moved)}"


@pytest.mark.requirement("SRV-08")
def test_a_classifier_says_how_sure_it_is(tmp_path: Path) -> None:
    with GrpcListening(Scene(tmp_path, live=Classifier("no", "yes"))) as server:
        result = Client(server).infer("cars", row(20.0))
        assert result.as_numpy("predict").tolist() == [b"no"]
        assert result.as_numpy("confidence").tolist() == [0.8]


async def _start(scene: Scene, address: str) -> None:
    await start_grpc(scene.handler, scene.door.gatekeeper, address)


def test_an_address_in_use_is_named(server: GrpcListening, stage: Callable[..., Scene]) -> None:
    with pytest.raises(Conflict, match="cannot listen at .* --grpc-port"):
        asyncio.run(_start(stage(), server.address))
