"""Open Inference Protocol v2: bytes to a call, an answer to bytes; in JSON, or with raw tensors after it.

Knows no HTTP. Sources: KServe, "Open Inference Protocol", and Triton's "Binary Tensor Data Extension".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from headrace.core.errors import InvalidInput
from headrace.core.record import Prediction
from headrace.serving.inputs import Matrix, read_time
from headrace.serving.tensors import (
    FITS,
    OutputTensor,
    alone,
    raw_bytes,
    read_column,
    read_raw,
    unknown_datatype,
)

_ONE = [1]
_EXPECTED = (
    'Expected {"inputs": [{"name": TEXT, "shape": [N], "datatype": "FP64", "data": [...]}, ...]} '
    "of the Open Inference Protocol."
)


class _Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Wanted(msgspec.Struct, gc=False):
    name: str
    parameters: dict[str, Any] | None = None


class _Parameters(msgspec.Struct, gc=False):
    event_time: str | None = None
    key: str | None = None
    keys: list[str] | None = None
    explain: bool = False
    callback: str | None = None
    binary_data_output: bool = False
    sequence_id: int | str = 0


class _Request(msgspec.Struct, gc=False):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Wanted] | None = None


class _Output(msgspec.Struct, gc=False, omit_defaults=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Answered(msgspec.Struct, omit_defaults=True, gc=False):
    release: str
    arm: str
    prepare_ms: float
    infer_ms: float
    unseen: list[str] | None = None
    request_id: str | None = None
    explanation: str | None = None


class _Response(msgspec.Struct, gc=False):
    id: str
    model_name: str
    model_version: str
    outputs: list[_Output]
    parameters: _Answered


class InferCall(msgspec.Struct, frozen=True, gc=False):
    """An infer request in our own terms.

    Attributes:
        values: input name to plain values; or a matrix of all inputs.
        outputs: names of those wanted; all when none are named.
        raw: which outputs are wanted as raw bytes, where the request says so by name.
        raw_rest: whether all others are.
        explain: whether it is to be said what each input contributed.
        callback: the address that is told of its end, where it is answered later.
    """

    values: dict[str, list[Any]] | Matrix
    key: str | None = None
    keys: list[str] | None = None
    event_time: datetime | None = None
    request_id: str | None = None
    outputs: tuple[str, ...] = ()
    raw: Mapping[str, bool] = {}
    raw_rest: bool = False
    explain: bool = False
    callback: str | None = None


class Encoded(NamedTuple):
    """An encoded answer; ``header_bytes``: how much of it is JSON when raw tensors follow, else none."""

    body: bytes
    header_bytes: int | None = None


_decoder = msgspec.json.Decoder(_Request)
_encoder = msgspec.json.Encoder()


def read_request(body: bytes) -> _Request:
    """The request as it is written, in JSON only. Raises ValueError for what is none."""
    return _decoder.decode(body)


def decode_infer(body: bytes, header_bytes: int | None = None) -> InferCall:
    """Read an infer request: one tensor per input, or one for all of them.

    Args:
        header_bytes: how much of ``body`` is JSON; the raw tensors follow it. All of it when not given.

    Raises:
        InvalidInput: it is no such request; the message names the field.
    """
    header, raw = _split(body, header_bytes)
    try:
        request = _decoder.decode(header)
    except (ValueError, RecursionError) as error:
        raise _unreadable(bytes(header), error) from error
    values: dict[str, list[Any]] = {}
    matrix: Matrix | None = None
    for tensor in request.inputs:
        name, data = tensor.name, tensor.data
        if name in values:
            raise InvalidInput(f"Input {name!r} occurs twice. Expected each input once.")
        # The usual case, a plain row, is read without a call per input.
        if (
            data is not None
            and tensor.parameters is None
            and tensor.shape == _ONE
            and len(data) == 1
            and data[0].__class__ in FITS.get(tensor.datatype, ())
        ):
            values[name] = data
            continue
        plain, raw = _plain(tensor, raw)
        column = read_column(name, tensor.shape, plain)
        if isinstance(column, Matrix):
            matrix, column = column, []
        values[name] = column
    if len(raw):
        raise InvalidInput(f"{len(raw)} bytes follow the last tensor. Expected none: check binary_data_size.")
    return _call(request, alone(values, matrix))


def encode_infer(
    prediction: Prediction,
    version: str,
    call: InferCall = InferCall({}),  # noqa: B008
    explanation: Any = None,
) -> Encoded:
    """The answer to an infer request; its id is the prediction's, under which labels may come later.

    ``explanation`` becomes a parameter: JSON as text, as the protocol knows no other form there.

    A number that is NaN or infinite is null in JSON and stays what it is in raw bytes.
    """
    outputs: list[_Output] = []
    raw: list[bytes] = []
    for tensor in output_tensors(prediction, call.outputs):
        output = _Output(tensor.name, tensor.shape, tensor.datatype)
        if call.raw.get(tensor.name, call.raw_rest):
            raw.append(raw_bytes(tensor.datatype, tensor.values))
            output.parameters = {"binary_data_size": len(raw[-1])}
        else:
            output.data = tensor.values
        outputs.append(output)
    response = _Response(
        prediction.id,
        prediction.project,
        version,
        outputs,
        _Answered(
            prediction.release_id,
            prediction.arm,
            prediction.prepare_ms,
            prediction.infer_ms,
            prediction.unseen,
            prediction.request_id,
            None if explanation is None else _encoder.encode(explanation).decode(),
        ),
    )
    header = _encoder.encode(response)
    return Encoded(b"".join([header, *raw]), len(header)) if raw else Encoded(header)


def encode_waiting(job_id: str, project: str, state: str) -> bytes:
    """The answer to an infer request that waits: no outputs yet, and the id to ask for them by."""
    return _encoder.encode(
        {
            "id": job_id,
            "model_name": project,
            "model_version": "",
            "outputs": [],
            "parameters": {"state": state},
        }
    )


def output_tensors(prediction: Prediction, wanted: Sequence[str] = ()) -> list[OutputTensor]:
    """The outputs that were asked for, all when none were named: the model's, then the confidence."""
    outputs = prediction.answers
    return [OutputTensor(name, outputs[name]) for name in (wanted or outputs)]


def encode_error(message: str) -> bytes:
    """The protocol's own form of an error."""
    return _encoder.encode({"error": message})


def _split(body: bytes, header_bytes: int | None) -> tuple[bytes | memoryview, memoryview]:
    if header_bytes is None:
        return body, memoryview(b"")
    if not 0 < header_bytes <= len(body):
        raise InvalidInput(
            f"Inference-Header-Content-Length is {header_bytes} and the body has {len(body)} bytes. Expected "
            "the length of the JSON at its start."
        )
    view = memoryview(body)
    return view[:header_bytes], view[header_bytes:]


def _plain(tensor: _Tensor, raw: memoryview) -> tuple[list[Any], memoryview]:
    """The values of one tensor, and the raw bytes that are left for those after it."""
    name, shape, size = tensor.name, tensor.shape, (tensor.parameters or {}).get("binary_data_size")
    if "shared_memory_region" in (tensor.parameters or {}):
        raise InvalidInput(f"Input {name!r} is in shared memory, which is not served. Send its values.")
    if not 0 < len(shape) <= 2:
        read_column(name, shape, [])
    if tensor.data is not None:
        if size is not None:
            raise InvalidInput(f"Input {name!r} has both `data` and binary data. Expected one of them.")
        return _checked(tensor, _flat(tensor)), raw
    if size.__class__ is not int or not 0 <= size <= len(raw):
        raise InvalidInput(
            f"Input {name!r} has no `data`, and its binary_data_size is {_shown(size)} with {len(raw)} bytes "
            "left. Expected `data`, or the number of its bytes after the JSON."
        )
    return read_raw(name, tensor.datatype, shape, raw[:size]), raw[size:]


def _flat(tensor: _Tensor) -> list[Any]:
    """The values row by row; the protocol allows both a flat list and one list per row."""
    data, shape = tensor.data or [], tensor.shape
    if len(shape) == 1 or not any(isinstance(row, list) for row in data):
        return data
    if any(not isinstance(row, list) or len(row) != shape[1] for row in data):
        raise InvalidInput(
            f"Input {tensor.name!r} holds rows of different lengths. Expected {shape[1]} values each."
        )
    return [value for row in data for value in row]


def _checked(tensor: _Tensor, data: list[Any]) -> list[Any]:
    fits = FITS.get(tensor.datatype)
    if fits is None:
        raise unknown_datatype(tensor.name, tensor.datatype)
    for index, value in enumerate(data):
        if value.__class__ not in fits and value is not None:
            row = index // tensor.shape[1] if len(tensor.shape) == 2 and tensor.shape[1] else index
            raise InvalidInput(
                f"Input {tensor.name!r}, row {row}: got {_shown(value)}. "
                f"Expected a value of its datatype {tensor.datatype}, or null."
            )
    return data


def _call(request: _Request, values: dict[str, list[Any]] | Matrix) -> InferCall:
    asked, wanted = request.parameters, request.outputs
    if asked is None and not wanted:
        return InferCall(values, request_id=request.id)
    asked = asked or _Parameters()
    if asked.sequence_id:
        raise InvalidInput(
            "Parameter 'sequence_id' is not served: models here keep no state between requests."
        )
    raw = {}
    for output in wanted or ():
        parameters = output.parameters or {}
        for refused in ("classification", "shared_memory_region"):
            if parameters.get(refused):
                raise InvalidInput(f"Output {output.name!r}: {refused!r} is not served. Leave it out.")
        if isinstance(parameters.get("binary_data"), bool):
            raw[output.name] = parameters["binary_data"]
    event_time = asked.event_time
    return InferCall(
        values,
        asked.key,
        asked.keys,
        None if event_time is None else read_time(event_time, "Parameter 'event_time'"),
        request.id,
        tuple(output.name for output in wanted or ()),
        raw,
        asked.binary_data_output,
        asked.explain,
        asked.callback,
    )


def _shown(value: object) -> str:
    return msgspec.json.encode(value)[:60].decode(errors="replace")


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
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ):  # whatever else is wrong: the strict one says it
        pass
    reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
    return InvalidInput(f"The body is no infer request: {reason}. {_EXPECTED}")
