from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.serving.oip import InferCall, decode_infer, encode_infer
from headrace.testing.factories import make_prediction


def _tensor(
    name: str = "mileage", datatype: str = "FP64", data: Any = (1.5,), shape: Any = None
) -> dict[str, Any]:
    values = list(data)
    return {
        "name": name,
        "shape": [len(values)] if shape is None else shape,
        "datatype": datatype,
        "data": values,
    }


def _body(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


def test_columns_are_read_by_name() -> None:
    call = decode_infer(_body(_tensor(data=[1, 2.5, None]), _tensor("model", "BYTES", ["a", "b", None])))
    assert call.values == {"mileage": [1, 2.5, None], "model": ["a", "b", None]}
    assert (call.key, call.keys, call.event_time, call.request_id, call.outputs) == (
        None,
        None,
        None,
        None,
        (),
    )


def test_a_column_may_stand_upright() -> None:
    assert decode_infer(_body(_tensor(data=[1, 2], shape=[2, 1]))).values == {"mileage": [1, 2]}
    nested = _tensor(data=[[1], [2]], shape=[2, 1])
    assert decode_infer(_body(nested)).values == {"mileage": [1, 2]}


def test_parameters_say_who_asks_and_when() -> None:
    call = decode_infer(
        _body(
            _tensor(),
            id="request-1",
            parameters={"event_time": "2026-01-31T08:00:00Z", "key": "customer-7", "keys": ["car-1"]},
            outputs=[{"name": "predict"}],
        )
    )
    assert call.event_time == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert (call.key, call.keys, call.request_id, call.outputs) == (
        "customer-7",
        ["car-1"],
        "request-1",
        ("predict",),
    )


def test_what_other_clients_add_is_let_be() -> None:
    body = _body(
        _tensor() | {"parameters": {"content_type": "np"}},
        parameters={"content_type": "pd"},
        outputs=[{"name": "predict", "parameters": {"binary_data": False}}],
        extra=1,
    )
    assert decode_infer(body).values == {"mileage": [1.5]}


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "no infer request"),
    (b"{", "no infer request"),
    (b"[]", "no infer request"),
    (b"null", "no infer request"),
    (b"{}", "`inputs`"),
    (b'{"inputs": 3}', "inputs"),
    (b'{"inputs": [{}]}', "`name`"),
    (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64"}]}', "`data`"),
    (b'{"inputs": [{"name": 5, "shape": [1], "datatype": "FP64", "data": [1]}]}', "name"),
    (b"\xff\xfe", "no infer request"),
    (b'{"inputs": [{"name": "x", "data": ' + b"[" * 50_000, "nested too deep"),
    (b'{"inputs": [{"name": "\xff"}]}', "no infer request"),
    (b'{"inputs": [{"name": "\\ud800"}]}', "no infer request"),
    (b'{"inputs": []} x', "trailing"),
    (
        _body(_tensor(), parameters={"event_time": "soon"}),
        "'event_time' is 'soon'. Expected a time in ISO 8601",
    ),
    (_body(_tensor(), parameters={"event_time": 5}), "event_time"),
    (_body(_tensor(), parameters={"keys": "car-1"}), "keys"),
    (_body(_tensor(), parameters={"keys": [1]}), "keys"),
    (_body(_tensor(), parameters={"key": 7}), "key"),
    (_body(_tensor(), id=5), "id"),
    (_body(_tensor(), _tensor()), "'mileage' occurs twice"),
    (_body(_tensor(shape=[2])), r"shape \[2\] and 1 values. Expected 2"),
    (_body(_tensor(shape=[])), r"shape \[\]. Expected \[N\] or \[N, 1\]"),
    (_body(_tensor(shape=[-1])), "Expected"),
    (_body(_tensor(shape=[1, 2], data=[1, 2]), _tensor("b")), r"not the only one. Expected one tensor"),
    (_body(_tensor(shape=[2, 2], data=[[1, 2], [3]])), "different lengths. Expected 2"),
    (_body(_tensor(shape=[2, 2], data=[1, 2, 3])), r"shape \[2, 2\] and 3 values. Expected 4"),
    (_body(_tensor(shape=[0, 2], data=[])), "no rows"),
    (_body(_tensor() | {"parameters": {"binary_data_size": 8}}), "both `data` and binary data"),
    (_body(_tensor() | {"data": None, "parameters": {"binary_data_size": 8}}), "with 0 bytes left"),
    (_body(_tensor() | {"parameters": {"shared_memory_region": "r"}}), "shared memory"),
    (_body(_tensor(), parameters={"sequence_id": 3}), "keep no state"),
    (
        _body(_tensor(), outputs=[{"name": "predict", "parameters": {"classification": 2}}]),
        "'classification'",
    ),
    (_body(_tensor(shape=[1, 1, 1])), "Expected"),
    (_body(_tensor(shape=["1"])), "shape"),
    (_body(_tensor(shape=[2, 1], data=[[1], [2, 3]])), "different lengths"),
    (_body(_tensor(shape=[2, 1], data=[[1], 2])), "different lengths"),
    (_body(_tensor(datatype="DOUBLE")), "'DOUBLE'. Expected one of FP64"),
    (_body(_tensor(data=["1.5"])), r'\'mileage\', row 0: got "1.5". Expected a value of its datatype FP64'),
    (_body(_tensor(data=[1.0, True])), "row 1: got true"),
    (_body(_tensor(data=[{}])), "row 0"),
    (_body(_tensor(datatype="BYTES", data=["a", 5])), "row 1: got 5. .*BYTES"),
    (_body(_tensor(datatype="BOOL", data=[1])), "row 0: got 1. .*BOOL"),
    (_body(_tensor(data=[float("nan")])), "'mileage', row 0: got nan. Expected a finite number or null"),
    (_body(_tensor("a"), _tensor("b", data=[1.0, -float("inf")])), "'b', row 1: got -inf"),
    (
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1e999]}]}',
        "'x', row 0: got inf",
    ),
    (
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1' + b"0" * 5000 + b"]}]}",
        "out of range",
    ),
]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES, ids=[str(i) for i in range(len(BAD_BODIES))])
def test_what_is_no_request_is_explained(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode_infer(body)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_infer(body)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"name": _JSON, "shape": _JSON, "datatype": st.one_of(_JSON, st.just("FP64")), "data": _JSON}
    )
)
def test_no_tensor_does_harm(tensor: dict[str, Any]) -> None:
    try:
        call = decode_infer(json.dumps({"inputs": [tensor]}).encode())
    except InvalidInput:
        return
    assert list(call.values) == [tensor["name"]]


_NUMBERS = st.one_of(
    st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53)
)


@given(numbers=st.lists(_NUMBERS, max_size=5), texts=st.lists(st.one_of(st.none(), st.text()), max_size=5))
def test_values_arrive_as_they_were_sent(numbers: list[float | None], texts: list[str | None]) -> None:
    call = decode_infer(_body(_tensor("n", data=numbers), _tensor("t", "BYTES", texts)))
    assert call.values == {"n": numbers, "t": texts}


def test_an_answer_says_who_gave_it() -> None:
    prediction = make_prediction(
        id="p1",
        release_id="r7",
        arm="canary",
        request_id="mine",
        unseen=["model"],
        prepare_ms=0.5,
        infer_ms=1.5,
        outputs={"predict": [1.5, 2.0]},
    )
    assert json.loads(encode_infer(prediction, "3").body) == {
        "id": "p1",
        "model_name": "cars",
        "model_version": "3",
        "outputs": [{"name": "predict", "shape": [2], "datatype": "FP64", "data": [1.5, 2.0]}],
        "parameters": {
            "release": "r7",
            "arm": "canary",
            "prepare_ms": 0.5,
            "infer_ms": 1.5,
            "unseen": ["model"],
            "request_id": "mine",
        },
    }


def test_outputs_have_the_type_of_their_values() -> None:
    outputs = {
        "text": ["a", None],
        "some": [True, None],
        "flag": [True, False],
        "whole": [1, 2],
        "table": [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]],
        "gaps": [float("nan"), float("inf")],
        "nothing": [None, None],
    }
    answer = json.loads(encode_infer(make_prediction(outputs=outputs), "1").body)
    shown = {item["name"]: (item["shape"], item["datatype"], item["data"]) for item in answer["outputs"]}
    assert shown == {
        "text": ([2], "BYTES", ["a", None]),
        "some": ([2], "FP64", [1.0, None]),
        "flag": ([2], "BOOL", [True, False]),
        "whole": ([2], "INT64", [1, 2]),
        "table": ([2, 3], "FP64", [0.1, 0.2, 0.7, 0.3, 0.3, 0.4]),
        "gaps": ([2], "FP64", [None, None]),
        "nothing": ([2], "FP64", [None, None]),
    }


def test_only_wanted_outputs_are_sent() -> None:
    prediction = make_prediction(outputs={"predict": ["a"], "probability": [0.5]})
    answer = json.loads(encode_infer(prediction, "1", InferCall({}, outputs=("probability",))).body)
    assert [item["name"] for item in answer["outputs"]] == ["probability"]
