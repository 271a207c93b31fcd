"""Whatever a client sends, it is the client's fault: no protocol answers 5xx, and every one goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
import zlib
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace.serving.grpc_messages import SERVICE, messages
from headrace.serving.invocations import InvocationsApp
from tests.serving.listening import GrpcListening
from tests.serving.scene import Numeric, Scene

OK = {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [1.0]} for n in ("mileage", "year")]}


class Asked:
    """Speaks to the ASGI applications of a scene, without a socket."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.token = scene.door.enter("fuzzer", "operator")
        self.invocations = InvocationsApp(scene.handler, scene.door.gatekeeper, max_body_bytes=200_000)
        self.runner = asyncio.Runner()

    def status(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        app: Any = self.invocations if path.startswith("/invocations") else self.scene.app
        sent: list[MutableMapping[str, Any]] = []
        given_headers = {"authorization": self.token, **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(n.encode(), v.encode("latin-1", "replace")) for n, v in given_headers.items()],
            "client": ("127.0.0.1", 5000),
        }

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        self.runner.run(app(scope, receive, send))
        assert len(sent[1]["body"]) == int(dict(sent[0]["headers"])[b"content-length"])
        return int(sent[0]["status"])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    scene = Scene(Path(tmp_path_factory.mktemp("keys")), live=Numeric())
    made = Asked(scene)
    yield made
    assert made.status("/v2/models/cars/infer", json.dumps(OK).encode(), {}) == 200
    assert scene.failures() == []  # a bad request is no evidence against the model
    made.runner.close()
    scene.recorder.close()


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=6),
    st.just("\ud800"),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)
_ABOUT_OUTPUTS = ("binary_data", "classification")
_SHAPES = st.one_of(st.lists(st.integers(-2, 4), max_size=3), st.lists(st.integers(), max_size=3), _JSON)
_TENSORS = st.fixed_dictionaries(
    {"name": st.sampled_from(["mileage", "year", "inputs"]), "shape": _SHAPES},
    optional={
        "datatype": st.sampled_from(["FP64", "FP32", "BF16", "INT8", "BOOL", "BYTES", "TEXT"]),
        "data": st.one_of(st.lists(st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3)), max_size=4), _JSON),
        "parameters": st.one_of(
            st.fixed_dictionaries({"binary_data_size": st.one_of(st.integers(-1, 40), _JSON)}), _JSON
        ),
    },
)
_REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(_TENSORS, max_size=3)},
    optional={
        "id": _SCALARS,
        "parameters": st.dictionaries(
            st.sampled_from(["key", "keys", "event_time", "binary_data_output", "sequence_id"]), _JSON
        ),
        "outputs": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["predict", "confidence", ""])},
                optional={"parameters": st.dictionaries(st.sampled_from(_ABOUT_OUTPUTS), _JSON)},
            ),
            max_size=2,
        ),
    },
)
_DOUBLES = st.lists(st.floats(), max_size=4).map(lambda values: struct.pack(f"<{len(values)}d", *values))
_LENGTHS = st.one_of(st.none(), st.just("all"), st.integers(-5, 400).map(str), st.text(max_size=5))
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _two(*size: int) -> dict[str, Any]:
    inputs = [
        {"name": n, "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": s}}
        for n, s in zip(("mileage", "year"), size, strict=True)
    ]
    return {"inputs": inputs}


@FUZZ
@given(request=_REQUESTS, raw=_DOUBLES, length=_LENGTHS)
@example(request=_two(8, 8), raw=struct.pack("<2d", 1.0, 2.0), length="all")
@example(request=_two(8, 0), raw=struct.pack("<2d", 1.0, 2.0), length="all")
@example(request=_two(-8, 24), raw=struct.pack("<2d", 1.0, 2.0), length="all")
def test_open_inference_requests(asked: Asked, request: Any, raw: bytes, length: str | None) -> None:
    header = json.dumps(request).encode()
    headers = {}
    if length is not None:
        headers["inference-header-content-length"] = str(len(header)) if length == "all" else length
    assert asked.status("/v2/models/cars/infer", header + raw, headers) < 500


@FUZZ
@given(
    body=st.one_of(st.binary(max_size=300), st.just(json.dumps(OK).encode()), st.just(b" " * 300_000)),
    pack=st.sampled_from([gzip.compress, zlib.compress, bytes]),
    encoding=st.sampled_from(["gzip", "deflate", "br", "", "gzip, deflate"]),
    path=st.sampled_from(["/v2/models/cars/infer", "/v2/repository/index", "/invocations/cars"]),
    media_type=st.sampled_from(["application/json", "text/csv", ""]),
)
def test_compressed_bodies(
    asked: Asked, body: bytes, pack: Any, encoding: str, path: str, media_type: str
) -> None:
    headers = {"content-encoding": encoding, "content-type": media_type}
    assert asked.status(path, pack(body), headers) < 500


_TABLES = st.fixed_dictionaries(
    {
        "columns": st.one_of(st.just(["mileage", "year"]), _JSON),
        "data": st.one_of(st.lists(st.lists(_SCALARS, min_size=2, max_size=2), max_size=3), _JSON),
    }
)
_RECORDS = st.lists(st.fixed_dictionaries({"mileage": _SCALARS, "year": _SCALARS}), max_size=3)


@FUZZ
@given(
    form=st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]),
    payload=st.one_of(_TABLES, _RECORDS, st.lists(st.lists(_SCALARS, min_size=2, max_size=2)), _JSON),
    params=st.one_of(
        st.none(), st.dictionaries(st.sampled_from(["key", "keys", "version", "event_time"]), _JSON)
    ),
)
def test_mlflow_payloads(asked: Asked, form: str, payload: Any, params: Any) -> None:
    body = json.dumps({form: payload, "params": params}).encode()
    assert asked.status("/invocations/cars", body, {"content-type": "application/json"}) < 500


@FUZZ
@given(st.text(st.sampled_from("mileage,yr\n\r\"'1.5e-nNaIf\x00ü"), max_size=80))
def test_csv(asked: Asked, text: str) -> None:
    body = b"mileage,year\n" + text.encode()
    assert asked.status("/invocations/cars", body, {"content-type": "text/csv"}) < 500


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    scene = Scene(Path(tmp_path_factory.mktemp("keys")), live=Numeric())
    token = scene.door.enter("fuzzer", "operator")
    with GrpcListening(scene) as server, grpc.insecure_channel(server.address) as opened:
        yield opened, token
    assert scene.failures() == []


_types = messages()
_MESSAGES = st.builds(
    lambda names, datatype, shape, raw, numbers, keys: _types.ModelInferRequest(
        model_name="cars",
        inputs=[
            {"name": n, "datatype": datatype, "shape": shape, "contents": {"fp64_contents": numbers}}
            if numbers is not None
            else {"name": n, "datatype": datatype, "shape": shape}
            for n in names
        ],
        raw_input_contents=raw,
        parameters={} if keys is None else {"keys": _types.InferParameter(string_param=keys)},
    ).SerializeToString(),
    names=st.lists(st.sampled_from(["mileage", "year", "x"]), max_size=3),
    datatype=st.sampled_from(["FP64", "FP32", "BYTES", "BOOL", "TEXT"]),
    shape=st.lists(st.integers(-1, 3) | st.integers(-(2**63), 2**63 - 1), max_size=3),
    raw=st.lists(_DOUBLES, max_size=3),
    numbers=st.none() | st.lists(st.floats(), max_size=3),
    keys=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


@FUZZ
@given(
    method=st.sampled_from(["ModelInfer", "ModelMetadata", "ModelConfig", "RepositoryModelLoad"]),
    body=_MESSAGES | st.binary(max_size=100),
)
def test_grpc_messages(channel: tuple[Any, str], method: str, body: bytes) -> None:
    opened, token = channel
    call = opened.unary_unary(f"/{SERVICE}/{method}")
    try:
        call(body, metadata=[("authorization", token)], timeout=20)
    except grpc.RpcError as error:
        status: Any = error
        assert status.code() in {
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.FAILED_PRECONDITION,
        }, status.details()
