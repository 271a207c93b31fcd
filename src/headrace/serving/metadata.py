"""What server and models say about themselves, as plain values; HTTP writes them as JSON, gRPC as messages.

Sources: KServe, "Open Inference Protocol" (metadata), and Triton's extensions for the model repository,
model configuration and statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from headrace.core.identity import Principal
from headrace.serving.handler import Handler, Indexed
from headrace.serving.models import LoadedModel
from headrace.serving.statistics import Tally
from headrace.serving.tensors import datatype_of

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics")
PLATFORM = "headrace_onnx"
MATRIX = "inputs"
"""What the tensor of all inputs is called; the name that a client gives it does not count."""
_DATATYPES = {"number": "FP64", "text": "BYTES", "time": "BYTES", "boolean": "BOOL"}


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions."""
    return {"name": "headrace", "version": version("headrace"), "extensions": list(EXTENSIONS)}


def model_metadata(name: str, models: Sequence[LoadedModel]) -> dict[str, Any]:
    """Inputs and outputs; ``models`` are the live one, then the canary's, if any."""
    live = models[0]
    described: dict[str, Any] = {
        "name": name,
        "versions": [loaded.version for loaded in models],
        "platform": PLATFORM,
        "inputs": _inputs(live),
        "outputs": _outputs(live),
    }
    names = [item.name for item in live.inputs]
    if len(names) > 1 and all(item.kind == "number" for item in live.inputs):
        # Then one tensor may hold them all, in this order.
        described["parameters"] = {
            "matrix": {"name": MATRIX, "datatype": "FP64", "shape": [-1, len(names)], "columns": names}
        }
    return described


def model_config(name: str, models: Sequence[LoadedModel]) -> dict[str, Any]:
    """The part of Triton's model configuration that is true here."""
    live = models[0]
    required = {item.name: item.required for item in live.inputs}
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": 0,  # the first dimension of every tensor is the rows
        "input": [
            {
                "name": item["name"],
                "data_type": _config_type(item["datatype"]),
                "dims": item["shape"],
                "optional": not required[item["name"]],
            }
            for item in _inputs(live)
        ],
        "output": [
            {"name": item["name"], "data_type": _config_type(item["datatype"]), "dims": item["shape"]}
            for item in _outputs(live)
        ],
    }


def statistics(name: str, named: str, tally: Tally) -> dict[str, Any]:
    """Counts and durations (nanoseconds) of one version since the process started.

    ``queue``: waiting for a turn. ``compute_input``: reading the rows. ``compute_infer``: the model.
    ``compute_output``: until the answer was durable.
    """
    answered = tally.answered

    def duration(count: int, total_ms: float) -> dict[str, int]:
        return {"count": count, "ns": round(total_ms * 1e6)}

    return {
        "name": name,
        "version": named,
        "last_inference": 0 if tally.last_at is None else round(tally.last_at.timestamp() * 1000),
        "inference_count": tally.rows,
        "execution_count": answered,
        "inference_stats": {
            "success": duration(answered, tally.answered_ms),
            "fail": duration(tally.failed, tally.failed_ms),
            "queue": duration(answered, tally.queue_ms),
            "compute_input": duration(answered, tally.prepare_ms),
            "compute_infer": duration(answered, tally.infer_ms),
            "compute_output": duration(answered, tally.record_ms),
        },
        "batch_stats": [],
    }


def model_statistics(handler: Handler, name: str, models: Sequence[LoadedModel]) -> list[dict[str, Any]]:
    """:func:`statistics` of the versions of one model."""
    return [statistics(name, model.version, handler.tally(model.release_id)) for model in models]


def all_statistics(handler: Handler, me: Principal) -> list[dict[str, Any]]:
    """:func:`statistics` of every model that ``me`` may read about."""
    return [statistics(one.project, one.version, handler.tally(one.release_id)) for one in handler.index(me)]


def index(found: Sequence[Indexed], *, only_ready: bool = False) -> list[dict[str, Any]]:
    """The models of the repository, as its extension lists them."""
    return [
        {
            "name": one.project,
            "version": one.version,
            "state": "READY" if one.ready else "UNAVAILABLE",
            "reason": one.reason,
        }
        for one in found
        if one.ready or not only_ready
    ]


def _inputs(loaded: LoadedModel) -> list[dict[str, Any]]:
    return [{"name": item.name, "datatype": _DATATYPES[item.kind], "shape": [-1]} for item in loaded.inputs]


def _outputs(loaded: LoadedModel) -> list[dict[str, Any]]:
    classes = loaded.model.classes
    return [
        {
            "name": output,
            "datatype": datatype_of(classes[0]) if output == "predict" and classes else "FP64",
            "shape": [-1, len(classes)] if output == "probability" and classes and len(classes) > 2 else [-1],
        }
        for output in loaded.outputs
    ]


def _config_type(datatype: str) -> str:
    return f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}"
