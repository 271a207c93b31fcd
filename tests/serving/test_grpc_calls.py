from __future__ import annotations

from math import isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.serving.grpc_calls import read_infer, write_infer
from headrace.serving.grpc_messages import messages
from headrace.serving.inputs import Matrix
from headrace.serving.oip import InferCall
from headrace.testing.factories import make_prediction

types = messages()


def _request(*inputs: dict[str, Any], **more: Any) -> Any:
    return types.ModelInferRequest(model_name="cars", inputs=list(inputs), **more)


def _input(datatype: str = "FP64", shape: Any = (1,), name: str = "x", **contents: Any) -> dict[str, Any]:
    made = {"name": name, "datatype": datatype, "shape": list(shape)}
    return made | ({"contents": contents} if contents else {})


@pytest.mark.parametrize(
    ("datatype", "field", "given_values", "values"),
    [
        ("FP64", "fp64_contents", [1.5, nan], [1.5, None]),
        ("FP32", "fp32_contents", [1.5, nan], [1.5, None]),
        ("INT64", "int64_contents", [2**62, -1], [2**62, -1]),
        ("INT32", "int_contents", [7, -1], [7, -1]),
        ("INT8", "int_contents", [7, -1], [7, -1]),
        ("UINT64", "uint64_contents", [2**63, 1], [2**63, 1]),
        ("UINT16", "uint_contents", [7, 1], [7, 1]),
        ("BOOL", "bool_contents", [True, False], [True, False]),
        ("BYTES", "bytes_contents", [b"a", "ü".encode()], ["a", "ü"]),
    ],
)
def test_typed_contents(datatype: str, field: str, given_values: list[Any], values: list[Any]) -> None:
    call = read_infer(_request(_input(datatype, (2,)) | {"contents": {field: given_values}}))
    assert call.values == {"x": values}
    assert not call.raw_rest


def test_raw_contents_parameters_and_outputs() -> None:
    request = _request(
        _input("FP16", (2,)),
        _input("BYTES", (2, 1), "t"),
        raw_input_contents=[b"\x00\x3e\x00\xc0", b"\x01\x00\x00\x00a\x00\x00\x00\x00"],
        id="mine",
        outputs=[{"name": "predict"}],
    )
    for name, text in {"key": "k", "keys": '["a", "b"]', "event_time": "2026-01-31T08:00:00Z"}.items():
        request.parameters[name].string_param = text
    call = read_infer(request)
    assert call.values == {"x": [1.5, -2.0], "t": ["a", ""]}
    assert (call.key, call.keys, call.request_id, call.outputs) == ("k", ["a", "b"], "mine", ("predict",))
    assert call.event_time is not None
    assert call.raw_rest


def test_one_tensor_for_all_inputs() -> None:
    call = read_infer(_request(_input("FP64", (2, 2), fp64_contents=[1, 2, 3, 4])))
    assert call.values == Matrix([[1, 3], [2, 4]])


def _with(request: Any, **parameters: dict[str, Any]) -> Any:
    for name, choice in parameters.items():
        request.parameters[name].MergeFrom(types.InferParameter(**choice))
    return request


def _shared() -> Any:
    request = _request(_input(fp64_contents=[1]))
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"
    return request


def _classified() -> Any:
    request = _request(_input(fp64_contents=[1]), outputs=[{"name": "predict"}])
    request.outputs[0].parameters["classification"].int64_param = 3
    return request


ONE = _input(fp64_contents=[1])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (_request(_input()), "shape \\[1\\] and 0 values"),
        (_request(_input(int64_contents=[1])), "and 0 values"),
        (_request(_input(shape=(-1,), fp64_contents=[1])), "Expected \\[N\\]"),
        (_request(_input(shape=(), fp64_contents=[1])), "Expected \\[N\\]"),
        (_request(_input("FP16", fp64_contents=[1])), "no typed contents. Send it raw"),
        (_request(_input("DOUBLE", fp64_contents=[1])), "'DOUBLE'. Expected one of"),
        (_request(_input("BYTES", bytes_contents=[b"\xff"])), "no UTF-8"),
        (_request(ONE, ONE), "occurs twice"),
        (_request(ONE, _input(name="y", shape=(1, 2), fp64_contents=[1, 2])), "not the only one"),
        (_request(ONE, raw_input_contents=[b"12345678"]), "contents beside raw"),
        (_request(_input(), raw_input_contents=[b"1", b"2"]), "2 raw_input_contents for 1 inputs"),
        (_request(_input(), raw_input_contents=[b"1"]), "1 bytes. Expected 8"),
        (_with(_request(ONE), key={"int64_param": 7}), "'key' is no string_param"),
        (_with(_request(ONE), keys={"string_param": "a"}), "'keys' cannot be read"),
        (_with(_request(ONE), keys={"string_param": "[" * 5000}), "'keys' cannot be read"),
        (_with(_request(ONE), event_time={"string_param": "soon"}), "'event_time' is 'soon'"),
        (_with(_request(ONE), sequence_id={"int64_param": 7}), "keep no state"),
        (_shared(), "shared memory"),
        (_classified(), "'classification'"),
    ],
)
def test_what_is_no_request_is_explained(request_: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_infer(request_)


@given(
    datatype=st.sampled_from(["FP64", "FP16", "BF16", "BOOL", "INT8", "BYTES", ""]),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5), max_size=3),
    raw=st.lists(st.binary(max_size=40), max_size=2),
    numbers=st.lists(st.floats(), max_size=5),
)
def test_no_contents_do_harm(datatype: str, shape: list[int], raw: list[bytes], numbers: list[float]) -> None:
    request = _request(_input(datatype, shape, fp64_contents=numbers), raw_input_contents=raw)
    try:
        values = read_infer(request).values
    except InvalidInput:
        return
    columns = values.columns if isinstance(values, Matrix) else list(values.values())
    assert all(len(column) == shape[0] for column in columns)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(body: bytes) -> None:
    from google.protobuf.message import DecodeError

    try:
        read_infer(types.ModelInferRequest.FromString(body))
    except (DecodeError, InvalidInput):
        return


def test_an_answer_mirrors_how_it_was_asked() -> None:
    prediction = make_prediction(
        id="p1",
        outputs={"predict": ["a", "b"], "probability": [0.25, float("nan")]},
        unseen=["a", "b"],
        request_id="mine",
        infer_ms=1.5,
    )
    typed = write_infer(prediction, "3", InferCall({}))
    shown = {output.name: output for output in typed.outputs}
    assert list(shown["predict"].contents.bytes_contents) == [b"a", b"b"]
    assert shown["confidence"].contents.fp64_contents[0] == 0.75
    assert isnan(shown["probability"].contents.fp64_contents[1])
    assert not typed.raw_output_contents
    assert (typed.id, typed.model_name, typed.model_version) == ("p1", "cars", "3")
    parameters = {name: value.WhichOneof("parameter_choice") for name, value in typed.parameters.items()}
    assert parameters["infer_ms"] == "double_param"
    assert typed.parameters["unseen"].string_param == "a,b"
    assert typed.parameters["request_id"].string_param == "mine"
    raw = write_infer(prediction, "3", InferCall({}, outputs=("predict",), raw_rest=True))
    assert list(raw.raw_output_contents) == [b"\x01\x00\x00\x00a\x01\x00\x00\x00b"]
    assert not raw.outputs[0].HasField("contents")
