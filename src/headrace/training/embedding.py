"""Writes a package as a folder that answers without Headrace."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from headrace.core.errors import InvalidInput
from headrace.data.encoding import Encoding
from headrace.training.archives import unpack_files
from headrace.training.embedded import DESCRIPTION, GRAPH
from headrace.training.package import load_scorer

LOADER = "headrace_model.py"
_ALONE = """import os

# Before ONNX Runtime is loaded: it would tell its makers of the model.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""
_IMPORT = "from headrace.training.preparing import Preparation\n"
_FUTURE = "from __future__ import annotations\n"


def write_embedded(package: Path, folder: Path, *, name: str, version: str) -> None:
    """Write the graph, the preparation and the loader into the new ``folder``.

    Raises:
        InvalidInput: the model did not convert, or it forecasts from a history, which only a server keeps.
    """
    scorer = load_scorer(package)
    info = scorer.info
    scorer.close()
    if info.engine != "onnx":
        raise InvalidInput(
            f"{name} answers through its own library, not through ONNX. Only a converted model can be "
            "embedded: serve it, or export it for MLflow with 'headrace model export'."
        )
    if scorer.history is not None:
        raise InvalidInput(
            f"{name} forecasts from what it observes, which an embedded copy would not learn. Serve it, or "
            "export it for MLflow with 'headrace model export'."
        )
    parts = unpack_files(package.read_bytes(), "The package")
    plan = json.loads(parts["plan.json"])
    stages = [plan] if info.takes == "raw" else [encoding_plan(scorer.encoding), plan]
    described: dict[str, Any] = {
        "format": 1,
        "name": name,
        "version": version,
        "task": info.task,
        "target": info.target,
        "classes": list(info.classes),
        "inputs": [
            {"name": column.name, "kind": column.kind, "empty_is_null": column.empty_is_null}
            for column in scorer.encoding.inputs
        ],
        "stages": stages,
    }
    folder.mkdir(parents=True)
    (folder / GRAPH).write_bytes(parts["model.onnx"])
    (folder / LOADER).write_text(loader_text(), encoding="utf-8")
    # Last: a folder with a description is whole.
    (folder / DESCRIPTION).write_text(json.dumps(described, allow_nan=False), encoding="utf-8")


def loader_text() -> str:
    """The loader with the preparation's own code in it, so that there is only one of it."""
    room = files("headrace.training")
    embedded = room.joinpath("embedded.py").read_text(encoding="utf-8")
    preparing = room.joinpath("preparing.py").read_text(encoding="utf-8").partition(_FUTURE)[2]
    head, _, body = embedded.partition(_IMPORT)
    return f"{head.rstrip()}\n{_ALONE}\n{preparing.rstrip()}\n{body}"


def encoding_plan(encoding: Encoding) -> dict[str, Any]:
    """An encoding as a plan of :mod:`headrace.training.preparing`; the same numbers come out."""
    inputs: list[dict[str, Any]] = []
    for at, column in enumerate(encoding.inputs):
        if column.role == "numeric":
            inputs.append({"name": column.name, "numbers": [{"at": at, "steps": [["single"]]}]})
            continue
        codes = [[[0, float(code)]] for code in range(len(column.categories))]
        table = {
            "at": [at],
            "values": list(column.categories),
            "base": [-1.0],
            "writes": codes,
            "missing": [],
            "unknown": [],
        }
        inputs.append({"name": column.name, "tables": [table]})
    return {"width": len(encoding.inputs), "inputs": inputs}
