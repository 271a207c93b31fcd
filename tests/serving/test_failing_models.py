"""Whatever a model does, its caller is told so in the protocol's own words, it is counted and recorded as a
failure of its release, and the next request is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest

from headrace.core.clock import SystemClock
from headrace.core.errors import HeadraceError, ModelFailed
from headrace.core.ports import Columns
from headrace.serving.batch import score_each
from headrace.serving.grpc_messages import SERVICE, messages
from headrace.serving.invocations import InvocationsApp
from headrace.serving.microbatch import MicroBatches
from headrace.serving.models import LoadedModels
from headrace.serving.plain_rows import PlainRows, Scoring
from headrace.testing import FakeClock
from tests.serving.listening import GrpcListening
from tests.serving.scene import Numeric, Scene

NAMES = ("mileage", "year")
N_ROWS = 3


class Fault(NamedTuple):
    """What a model does instead of answering, and the words by which it is recorded.

    Attributes:
        row, rows: what it gives for one row, and for ``n``; or what it raises.
    """

    said: str
    row: Any
    rows: Callable[[int], Any]


def _raised(error: BaseException, said: str) -> Fault:
    return Fault(said, error, lambda _: error)


FAULTS = {
    "raises": _raised(ZeroDivisionError("float division"), "ZeroDivisionError: float division"),
    "recurses": _raised(RecursionError("too deep"), "RecursionError"),
    "asks for memory": _raised(MemoryError(), "MemoryError"),
    "hangs": _raised(ModelFailed("the model hung: it did not answer within 10 s"), "the model hung"),
    "ends an iteration": _raised(StopIteration(), "StopIteration"),
    "ends the process": _raised(SystemExit(3), "SystemExit"),
    "nan": Fault("not a number", {"predict": np.nan}, lambda n: {"predict": np.full(n, np.nan)}),
    "infinity": Fault("infinite", {"predict": np.inf}, lambda n: {"predict": np.full(n, -np.inf)}),
    "nothing": Fault("TypeError", None, lambda _: None),
    "no output": Fault("wrong shape: the model gave no output", {}, lambda _: {}),
    "nested": Fault("wrong", {"predict": [[1.0]]}, lambda n: {"predict": np.zeros((n, 1, 1))}),
    "two values a row": Fault(
        "wrong shape", {"predict": [1.0, 2.0]}, lambda n: {"predict": np.zeros((n, 2))}
    ),
    "too few rows": Fault("wrong shape", {"predict": []}, lambda n: {"predict": np.zeros(n - 1)}),
    "too many rows": Fault("wrong shape", {"predict": [1.0]}, lambda n: {"predict": np.zeros(n + 1)}),
    "an object": Fault("wrong type", {"predict": object()}, lambda n: {"predict": np.array([object()] * n)}),
    "a gap": Fault("wrong type", {"predict": None}, lambda n: {"predict": np.array([None] * n)}),
    "complex": Fault("wrong type", {"predict": 1j}, lambda n: {"predict": np.zeros(n, dtype=complex)}),
    "a label": Fault("wrong type", {"predict": "cheap"}, lambda n: {"predict": np.array(["cheap"] * n)}),
    "no text": Fault("wrong type", {"predict": "\ud800"}, lambda n: {"predict": np.array(["\ud800"] * n)}),
    "beyond": Fault("wrong type", {"predict": 10**400}, lambda n: {"predict": np.array([10**400] * n)}),
}


class Failing(Numeric):
    """Answers, unless ``fault`` is set."""

    fault: Fault | None = None

    def score(self, columns: Columns) -> dict[str, Any]:
        given = None if self.fault is None else self.fault.rows(len(columns["mileage"]))
        return super().score(columns) if self.fault is None else _give(given)

    def score_row(self, values: Sequence[Any]) -> Mapping[str, Any]:
        return super().score_row(values) if self.fault is None else _give(self.fault.row)


def _give(given: Any) -> Any:
    if isinstance(given, BaseException):
        raise given
    return given


class Apart(Failing):
    """The same, off the event loop."""

    inline = False


class Told(NamedTuple):
    """An answer: whether it is one, else what the caller is told."""

    answered: bool
    message: str


class Caller:
    """Asks a scene in every protocol, without sockets but for gRPC."""

    def __init__(self, scene: Scene, model: Failing) -> None:
        self.scene = scene
        self.model = model
        self.token = scene.door.enter("caller-of-models", "operator")
        self.runner = asyncio.Runner()
        parts = (scene.routes, scene.models, scene.recorder, scene.clock)
        batches = MicroBatches(
            scene.handler, *parts, rules_of=scene.rules_of, distributions=scene.distributions
        )
        scoring = Scoring(batches, scene.door.gatekeeper, scene.door.store.epoch, scene.clock)
        self._apps: dict[str, Any] = {
            "quick": PlainRows(scene.app, scoring),
            "ordinary": scene.app,
            "invocations": InvocationsApp(scene.handler, scene.door.gatekeeper),
        }
        self.address = ""

    def http(self, app: str, path: str, *bodies: bytes, **headers: str) -> list[Told]:
        """Ask with each body, all in one turn of the loop."""

        async def ask() -> list[Told]:
            return await asyncio.gather(*(self._one(app, path, body, headers) for body in bodies))

        return self.runner.run(ask())

    async def _one(self, app: str, path: str, body: bytes, headers: Mapping[str, str]) -> Told:
        sent: list[MutableMapping[str, Any]] = []
        given = {"authorization": self.token, "content-length": str(len(body)), **headers}
        scope = {
            "type": "http", "method": "POST", "path": path, "query_string": b"",
            "client": ("127.0.0.1", 5000),
            "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in given.items()],
        }  # fmt: skip

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self._apps[app](scope, receive, send)
        if sent[0]["status"] == 200:
            return Told(True, "")
        assert sent[0]["status"] == 500
        said = json.loads(sent[1]["body"])
        if app == "invocations":
            assert (said.keys(), said["error_code"]) == ({"error_code", "message"}, "INTERNAL_ERROR")
            return Told(False, said["message"])
        assert said.keys() == {"error"}
        return Told(False, said["error"])

    def grpc(self, n_rows: int) -> list[Told]:
        types = messages()
        inputs = [
            {"name": n, "datatype": "FP64", "shape": [n_rows], "contents": {"fp64_contents": [1.0] * n_rows}}
            for n in NAMES
        ]
        body = types.ModelInferRequest(model_name="cars", inputs=inputs).SerializeToString()
        with grpc.insecure_channel(self.address) as channel:
            call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
            given = {"metadata": [("authorization", self.token)], "timeout": 20}
            try:
                call(body, **given)
                found = Told(True, "")
            except grpc.RpcError as error:
                status: Any = error
                assert status.code() is grpc.StatusCode.INTERNAL
                found = Told(False, status.details())
            (streamed,) = (
                types.ModelStreamInferResponse.FromString(one) for one in stream(iter([body]), **given)
            )
        return [found, Told(not streamed.error_message, streamed.error_message)]


def _tensors(n_rows: int) -> bytes:
    data = [1.0] * n_rows
    inputs = [{"name": n, "shape": [n_rows], "datatype": "FP64", "data": data} for n in NAMES]
    return json.dumps({"inputs": inputs}).encode()


def _binary(n_rows: int) -> tuple[bytes, str]:
    raw = np.ones(n_rows).tobytes()
    inputs = [
        {"name": n, "shape": [n_rows], "datatype": "FP64", "parameters": {"binary_data_size": len(raw)}}
        for n in NAMES
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head + raw * len(NAMES), str(len(head))


def _infer(app: str) -> Callable[[Caller, int], list[Told]]:
    return lambda caller, n: caller.http(app, "/v2/models/cars/infer", _tensors(n))


def _raw(caller: Caller, n_rows: int) -> list[Told]:
    body, length = _binary(n_rows)
    return caller.http("ordinary", "/v2/models/cars/infer", body, inference_header_content_length=length)


def _payload(form: str) -> Callable[[Caller, int], list[Told]]:
    def ask(caller: Caller, n_rows: int) -> list[Told]:
        rows = [[1.0, 2.0]] * n_rows
        payloads: dict[str, Any] = {
            "dataframe_split": {"columns": NAMES, "data": rows},
            "dataframe_records": [dict(zip(NAMES, row, strict=True)) for row in rows],
            "instances": rows,
            "inputs": {name: [1.0] * n_rows for name in NAMES},
        }
        body = json.dumps({form: payloads[form]}).encode()
        return caller.http("invocations", "/invocations/cars", body, content_type="application/json")

    return ask


def _csv(caller: Caller, n_rows: int) -> list[Told]:
    body = b"mileage,year\n" + b"1,2\n" * n_rows
    return caller.http("invocations", "/invocations/cars", body, content_type="text/csv")


def _in_process(caller: Caller, n_rows: int) -> list[Told]:
    asked = caller.scene.handler.predict(
        "cars", {name: [1.0] * n_rows for name in NAMES}, principal=caller.scene.caller
    )
    try:
        caller.runner.run(asked)
    except HeadraceError as error:
        return [Told(False, str(error))]
    return [Told(True, "")]


ADAPTERS: dict[str, Callable[[Caller, int], list[Told]]] = {
    "the quick way": _infer("quick"),
    "many rows the quick way": lambda caller, _: caller.http(
        "quick", "/v2/models/cars/infer", *[_tensors(1)] * 6
    ),
    "tensors as JSON": _infer("ordinary"),
    "binary tensors": _raw,
    "gRPC": lambda caller, n: caller.grpc(n),
    "in process": _in_process,
    "CSV": _csv,
} | {form: _payload(form) for form in ("dataframe_split", "dataframe_records", "instances", "inputs")}


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[type[Failing]], Caller]]:
    with ExitStack() as open_until_the_end:
        made: dict[type[Failing], Caller] = {}

        def make(kind: type[Failing]) -> Caller:
            if kind not in made:
                model = kind()
                caller = Caller(Scene(tmp_path_factory.mktemp("keys"), live=model), model)
                server = open_until_the_end.enter_context(GrpcListening(caller.scene))
                open_until_the_end.callback(caller.runner.close)
                caller.address = server.address
                made[kind] = caller
            return made[kind]

        yield make


FEW = ("raises", "ends an iteration", "two values a row", "beyond")
WITH_ALL = ("the quick way", "many rows the quick way", "in process")
"""The other adapters turn what the handler raises into their own words, whatever it is."""
CASES = [
    (Failing, adapter, fault)
    for adapter in ADAPTERS
    for fault in FAULTS
    if adapter in WITH_ALL or fault in FEW
]
CASES += [
    (Apart, adapter, fault)
    for adapter in ("tensors as JSON", "gRPC", "the quick way", "many rows the quick way")
    for fault in (*FEW, "ends the process", "too few rows")
]


@pytest.mark.parametrize(("kind", "adapter", "fault"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_a_model_that_fails(
    calling: Callable[[type[Failing]], Caller], kind: type[Failing], adapter: str, fault: str
) -> None:
    for n_rows in (1, N_ROWS):
        _fail_once(calling(kind), adapter, fault, n_rows)


def _fail_once(caller: Caller, adapter: str, fault: str, n_rows: int) -> None:
    ask, scene = ADAPTERS[adapter], caller.scene
    before, known = scene.handler.tally("r1").failed, len(scene.failures())
    answered = len(scene.predictions())
    caller.model.fault = FAULTS[fault]
    try:
        told = ask(caller, n_rows)
    finally:
        caller.model.fault = None
    failures = scene.failures()[known:]
    assert scene.handler.tally("r1").failed - before == len(failures) == len(told)
    assert {one.release_id for one in failures} == {"r1"}
    assert all(FAULTS[fault].said in failure.error for failure in failures)
    for one in told:
        assert "The model of release r1 could not answer" in one.message
        assert "The request was not at fault" in one.message
    assert {one.message.rstrip(".").rpartition(" ")[2] for one in told} == {
        failure.id for failure in failures
    }
    assert len(scene.predictions()) == answered, "what is no answer is not on record as one"
    assert all(one.answered for one in ask(caller, n_rows))


@pytest.mark.requirement("DEP-02")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_shadow_that_fails_is_evidence_about_it_and_nobody_is_told(tmp_path: Path, fault: str) -> None:
    shadow = Failing()
    scene = Scene(tmp_path / "keys", live=Numeric(), canary=shadow)
    shadow.fault = FAULTS[fault]
    for n_rows in (1, N_ROWS):
        rows = {name: [1.0] * n_rows for name in NAMES}
        asyncio.run(scene.handler.predict("cars", rows, principal=scene.caller))
    _settle(scene, asked=2)
    shadow.fault = None
    asyncio.run(scene.handler.predict("cars", rows, principal=scene.caller))
    _settle(scene, asked=3)
    scene.close()
    compared = scene.shadows.comparisons()["r2"]
    assert (compared.asked, compared.failed, compared.skipped) == (3, 2, 0)
    failures = scene.failures()
    assert {(one.release_id, one.arm) for one in failures} == {("r2", "shadow")}
    assert all(FAULTS[fault].said in one.error for one in failures)
    assert len(failures) == 2
    assert len(scene.said_in_shadow()) == 1


def _settle(scene: Scene, *, asked: int) -> None:
    for _ in range(2000):
        compared = scene.shadows.comparisons().get("r2")
        if compared is not None and compared.asked >= asked:
            return
        SystemClock().sleep(0.005)
    raise AssertionError("the shadow was not asked")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_in_which_one_row_makes_a_model_fail(fault: str) -> None:
    model = OneRow(FAULTS[fault])
    loaded = LoadedModels(lambda _: model, FakeClock()).get("r1")
    values: dict[str, list[Any]] = {"mileage": [1.0, 666.0, 3.0, 4.0], "year": [0.0] * 4}
    answered = score_each(loaded, values, 4, FakeClock(), most_refused=1)
    assert (answered.rows, list(answered.refused)) == ([0, 2, 3], [1])
    assert answered.refused[1].startswith("The model could not answer this row: ")
    assert FAULTS[fault].said in answered.refused[1]


class OneRow(Numeric):
    """Fails as soon as one row has 666 miles."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def score(self, columns: Columns) -> dict[str, Any]:
        found: dict[str, Any] = super().score(columns)
        return _give(self.fault.rows(len(columns["mileage"]))) if 666.0 in columns["mileage"] else found

    def score_row(self, values: Sequence[Any]) -> Mapping[str, Any]:
        return _give(self.fault.row) if 666.0 in values else super().score_row(values)
