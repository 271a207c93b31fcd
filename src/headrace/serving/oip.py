"""Open Inference Protocol v2, JSON form: bytes to a call, an answer to bytes. Knows no HTTP.

Source: the KServe "Open Inference Protocol (V2 Inference Protocol)", predict_api/v2 required API.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput
from headrace.core.record import Prediction
from headrace.serving.inputs import read_time
from headrace.serving.models import LoadedModel

_NUMBERS = (
    "FP64", "FP32", "FP16", "BF16",
    "INT64", "INT32", "INT16", "INT8",
    "UINT64", "UINT32", "UINT16", "UINT8",
)  # fmt: skip
_FITS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_NUMBERS, (int, float)),
    "BOOL": (bool,),
    "BYTES": (str,),
}
_DATATYPES = {"number": "FP64", "text": "BYTES", "time": "BYTES", "boolean": "BOOL"}
_ONE = [1]
_EXPECTED = (
    'Expected {"inputs": [{"name": TEXT, "shape": [N], "datatype": "FP64", "data": [...]}, ...]} '
    "of the Open Inference Protocol."
)


class _Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class _Wanted(msgspec.Struct, gc=False):
    name: str
    parameters: dict[str, Any] | None = None


class _Parameters(msgspec.Struct, gc=False):
    event_time: str | None = None
    key: str | None = None
    keys: list[str] | None = None


class _Request(msgspec.Struct, gc=False):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Wanted] | None = None


class _Output(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Answered(msgspec.Struct, omit_defaults=True, gc=False):
    release: str
    arm: str
    unseen: list[str] | None = None
    request_id: str | None = None


class _Response(msgspec.Struct, gc=False):
    id: str
    model_name: str
    model_version: str
    outputs: list[_Output]
    parameters: _Answered


class InferCall(msgspec.Struct, frozen=True, gc=False):
    """An infer request in our own terms; ``outputs`` names those wanted, all when none are named."""

    values: dict[str, list[Any]]
    key: str | None = None
    keys: list[str] | None = None
    event_time: datetime | None = None
    request_id: str | None = None
    outputs: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(_Request)
_encoder = msgspec.json.Encoder()


def decode_infer(body: bytes) -> InferCall:
    """Read an infer request: one tensor of shape ``[n]`` or ``[n, 1]`` per input column.

    Raises:
        InvalidInput: it is no such request; the message names the field.
    """
    try:
        request = _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable(body, error) from error
    values: dict[str, list[Any]] = {}
    for tensor in request.inputs:
        name, data = tensor.name, tensor.data
        if name in values:
            raise InvalidInput(f"Input {name!r} occurs twice. Expected each input once.")
        # The usual case, a plain row, is read without a call per input.
        if tensor.shape == _ONE and len(data) == 1 and data[0].__class__ in _FITS.get(tensor.datatype, ()):
            values[name] = data
        else:
            values[name] = _column(tensor)
    parameters = request.parameters
    if parameters is None:
        return InferCall(values, request_id=request.id, outputs=_names(request.outputs))
    event_time = parameters.event_time
    return InferCall(
        values,
        parameters.key,
        parameters.keys,
        None if event_time is None else read_time(event_time, "Parameter 'event_time'"),
        request.id,
        _names(request.outputs),
    )


def encode_infer(prediction: Prediction, version: str, wanted: Sequence[str] = ()) -> bytes:
    """The answer to an infer request; its id is the prediction's, under which labels may come later.

    A number that is NaN or infinite is answered as null.
    """
    outputs = prediction.outputs
    return _encoder.encode(
        _Response(
            prediction.id,
            prediction.project,
            version,
            [_output(name, outputs[name]) for name in (wanted or outputs)],
            _Answered(prediction.release_id, prediction.arm, prediction.unseen, prediction.request_id),
        )
    )


def encode_error(message: str) -> bytes:
    """The protocol's own form of an error."""
    return _encoder.encode({"error": message})


def encode_server(version: str) -> bytes:
    """Server metadata."""
    return _encoder.encode({"name": "headrace", "version": version, "extensions": []})


def encode_live() -> bytes:
    """Answer of a server that lives."""
    return b'{"live":true}'


def encode_ready(*, ready: bool) -> bytes:
    """Whether the server can answer infer requests."""
    return _encoder.encode({"ready": ready})


def encode_model_ready(name: str, *, ready: bool) -> bytes:
    """Whether one model can."""
    return _encoder.encode({"name": name, "ready": ready})


def encode_model(name: str, models: Sequence[LoadedModel]) -> bytes:
    """Model metadata; ``models`` are the live one, then the canary's, if any."""
    live = models[0]
    classes = live.model.classes
    return _encoder.encode(
        {
            "name": name,
            "versions": [loaded.version for loaded in models],
            "platform": "headrace_onnx",
            "inputs": [
                {"name": item.name, "datatype": _DATATYPES[item.kind], "shape": [-1]} for item in live.inputs
            ],
            "outputs": [
                {
                    "name": output,
                    "datatype": _class_datatype(classes) if output == "predict" and classes else "FP64",
                    "shape": [-1, len(classes)]
                    if output != "predict" and classes and len(classes) > 2
                    else [-1],
                }
                for output in live.model.outputs
            ],
        }
    )


def _names(wanted: list[_Wanted] | None) -> tuple[str, ...]:
    return tuple(item.name for item in wanted) if wanted else ()


def _column(tensor: _Tensor) -> list[Any]:
    data, shape = tensor.data, tensor.shape
    n_rows = shape[0] if shape else -1
    if len(shape) > 2 or n_rows < 0 or (len(shape) == 2 and shape[1] != 1):
        raise InvalidInput(f"Input {tensor.name!r} has shape {shape}. Expected [N] or [N, 1].")
    if len(shape) == 2 and data and isinstance(data[0], list):
        nested = [row for row in data if not isinstance(row, list) or len(row) != 1]
        if nested:
            raise InvalidInput(
                f"Input {tensor.name!r} holds rows of different lengths. Expected one value each."
            )
        data = [row[0] for row in data]
    if len(data) != n_rows:
        raise InvalidInput(
            f"Input {tensor.name!r} has shape {shape} and {len(data)} values. Expected {n_rows} values."
        )
    fits = _FITS.get(tensor.datatype)
    if fits is None:
        raise InvalidInput(
            f"Input {tensor.name!r} has datatype {tensor.datatype!r}. Expected one of {', '.join(_FITS)}."
        )
    for index, value in enumerate(data):
        if value.__class__ not in fits and value is not None:
            raise InvalidInput(
                f"Input {tensor.name!r}, row {index}: got {_shown(value)}. "
                f"Expected a value of its datatype {tensor.datatype}, or null."
            )
    return data


def _shown(value: object) -> str:
    return msgspec.json.encode(value)[:60].decode(errors="replace")


def _output(name: str, values: list[Any]) -> _Output:
    first = values[0] if values[0] is not None else next((v for v in values if v is not None), 0.0)
    if isinstance(first, list):
        return _Output(name, [len(values), len(first)], "FP64", [item for row in values for item in row])
    return _Output(name, [len(values)], _datatype(first), values)


def _datatype(value: object) -> str:
    if isinstance(value, float):
        return "FP64"
    if isinstance(value, str):
        return "BYTES"
    if isinstance(value, bool):
        return "BOOL"
    return "INT64"


def _class_datatype(classes: Sequence[Any]) -> str:
    return _datatype(classes[0])


def _unreadable(body: bytes, error: Exception) -> InvalidInput:
    """Why a body is no infer request; NaN and infinity, which JSON has no form for, are named by field."""
    try:
        # Unlike the strict decoder, this one reads NaN, Infinity and 1e999; only to name the field.
        inputs = json.loads(body.decode())["inputs"]
        for tensor in inputs:
            for index, value in enumerate(tensor["data"]):
                if isinstance(value, float) and not isfinite(value):
                    return InvalidInput(
                        f"Input {tensor['name']!r}, row {index}: got {value}. Expected a finite number or "
                        "null (JSON has no NaN or infinity)."
                    )
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
    return InvalidInput(f"The body is no infer request: {reason}. {_EXPECTED}")
