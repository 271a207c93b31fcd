"""Messages of the Open Inference Protocol's gRPC form to a call, an answer to a message. Knows no server."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput
from headrace.core.record import Prediction
from headrace.serving.grpc_messages import messages
from headrace.serving.inputs import Matrix, read_time
from headrace.serving.oip import InferCall, output_tensors
from headrace.serving.tensors import FITS, alone, raw_bytes, read_column, read_raw, unknown_datatype

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype to the field that holds its values; FP16 and BF16 have none and come as raw contents."""
_keys = msgspec.json.Decoder(list[str])


def read_infer(request: Any) -> InferCall:
    """Read a ``ModelInferRequest``, with typed or raw contents; NaN among its numbers is a gap.

    Parameters of ours are ``key``, ``event_time`` and ``keys``, a JSON list as text.

    Raises:
        InvalidInput: it is no such request; the message names the field.
    """
    raw = [memoryview(content) for content in request.raw_input_contents]
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput(
            f"There are {len(raw)} raw_input_contents for {len(request.inputs)} inputs. Expected one each."
        )
    values: dict[str, list[Any]] = {}
    matrix: Matrix | None = None
    for place, tensor in enumerate(request.inputs):
        if tensor.name in values:
            raise InvalidInput(f"Input {tensor.name!r} occurs twice. Expected each input once.")
        column = _column(tensor, raw[place] if raw else None)
        if isinstance(column, Matrix):
            matrix, column = column, []
        values[tensor.name] = column
    for output in request.outputs:
        for refused in ("classification", "shared_memory_region"):
            if refused in output.parameters:
                raise InvalidInput(f"Output {output.name!r}: {refused!r} is not served. Leave it out.")
    parameters = request.parameters
    if "sequence_id" in parameters:
        raise InvalidInput("Parameter 'sequence_id' is not served: models keep no state between requests.")
    if "explain" in parameters:
        raise InvalidInput("Parameter 'explain' is served over HTTP only. Ask /v2 or /api/v1/predict.")
    event_time = _text(parameters, "event_time")
    return InferCall(
        alone(values, matrix),
        _text(parameters, "key"),
        _read_keys(_text(parameters, "keys")),
        None if event_time is None else read_time(event_time, "Parameter 'event_time'"),
        request.id or None,
        tuple(output.name for output in request.outputs),
        raw_rest=bool(raw),
    )


def write_infer(prediction: Prediction, version: str, call: InferCall) -> Any:
    """The ``ModelInferResponse``: raw contents to who sent raw contents, else typed ones."""
    response = messages().ModelInferResponse(
        model_name=prediction.project, model_version=version, id=prediction.id
    )
    for tensor in output_tensors(prediction, call.outputs):
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if call.raw_rest:
            response.raw_output_contents.append(raw_bytes(tensor.datatype, tensor.values))
        else:
            getattr(output.contents, _CONTENTS[tensor.datatype]).extend(
                _typed(tensor.datatype, tensor.values)
            )
    parameters = response.parameters
    parameters["release"].string_param = prediction.release_id
    parameters["arm"].string_param = prediction.arm
    parameters["prepare_ms"].double_param = prediction.prepare_ms
    parameters["infer_ms"].double_param = prediction.infer_ms
    if prediction.unseen:
        parameters["unseen"].string_param = ",".join(prediction.unseen)
    if prediction.request_id:
        parameters["request_id"].string_param = prediction.request_id
    return response


def _column(tensor: Any, raw: memoryview | None) -> list[Any] | Matrix:
    name, datatype, shape = tensor.name, tensor.datatype, list(tensor.shape)
    if "shared_memory_region" in tensor.parameters:
        raise InvalidInput(f"Input {name!r} is in shared memory, which is not served. Send its values.")
    if datatype not in FITS:
        raise unknown_datatype(name, datatype)
    if raw is not None:
        if tensor.HasField("contents"):
            raise InvalidInput(f"Input {name!r} has contents beside raw_input_contents. Expected one.")
        return read_column(name, shape, read_raw(name, datatype, shape, raw))
    field = _CONTENTS.get(datatype)
    if field is None:
        raise InvalidInput(f"Input {name!r} is {datatype}, which has no typed contents. Send it raw.")
    return read_column(name, shape, _plain(name, datatype, list(getattr(tensor.contents, field))))


def _plain(name: str, datatype: str, values: list[Any]) -> list[Any]:
    if datatype == "BYTES":
        try:
            return [value.decode() for value in values]
        except UnicodeDecodeError as error:
            raise InvalidInput(f"Input {name!r} holds what is no UTF-8. Expected text.") from error
    if datatype in ("FP32", "FP64"):
        return [None if isnan(value) else value for value in values]
    return values


def _typed(datatype: str, values: list[Any]) -> list[Any]:
    if datatype == "BYTES":
        return [("" if value is None else value).encode("utf-8", "surrogatepass") for value in values]
    return [nan if value is None else value for value in values]


def _text(parameters: Mapping[str, Any], name: str) -> str | None:
    if name not in parameters:
        return None
    choice = parameters[name]
    if choice.WhichOneof("parameter_choice") != "string_param":
        raise InvalidInput(f"Parameter {name!r} is no string_param. Expected text.")
    return str(choice.string_param)


def _read_keys(text: str | None) -> list[str] | None:
    if text is None:
        return None
    try:
        return _keys.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"Parameter 'keys' cannot be read: {error}. Expected a JSON list.") from error
