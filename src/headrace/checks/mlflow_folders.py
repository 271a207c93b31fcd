"""What the ``MLmodel`` file of an MLflow model says about code that loading it would run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import yaml

from headrace.checks.containers import odd_name
from headrace.checks.yaml_texts import parse_yaml

_BYTES = 1 << 20
_DEEPEST = 20
_LOADERS = frozenset(
    f"mlflow.{flavour}"
    for flavour in ("sklearn", "lightgbm", "xgboost", "catboost", "onnx", "pytorch", "prophet")
)
"""Loaders of MLflow that run nothing but what the model's own file says, which is scanned by itself."""
_PATHS = frozenset(
    {"data", "model_path", "pickled_model", "model_data", "path", "uri", "env", "conda", "virtualenv"}
)
_CODE = frozenset({"code", "code_path", "code_paths", "model_code_path", "python_model", "loader_path"})


def flavour_problems(
    content: bytes, *, allow_code: bool
) -> Iterator[tuple[Literal["user_code", "path", "unreadable"], str]]:
    """Kind and detail of whatever speaks against loading the model."""
    if len(content) > _BYTES:
        yield "unreadable", "it is larger than a description should be"
        return
    try:
        described = parse_yaml(content).value
        flavours = dict(described["flavors"])
    except (yaml.YAMLError, TypeError, KeyError, ValueError, RecursionError) as error:
        yield "unreadable", f"it describes no model: {type(error).__name__}"
        return
    function = flavours.get("python_function")
    loader = function.get("loader_module") if isinstance(function, dict) else None
    if loader is not None and loader not in _LOADERS and not allow_code:
        yield "user_code", f"its loader {str(loader)[:100]!r} runs code that comes with the model"
    for key, value in _entries(flavours, 0):
        if key in _CODE and value and not allow_code:
            yield "user_code", f"it brings code of its own ({key}: {str(value)[:100]!r})"
        elif key in _PATHS | _CODE and isinstance(value, str) and "://" not in value:
            odd = odd_name(value)
            if odd:
                yield "path", f"{key} {odd}: {value[:100]!a}"
        elif key in _PATHS and isinstance(value, str):
            yield "path", f"{key} is fetched from elsewhere: {value[:100]!a}"


def _entries(node: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key), value
            yield from _entries(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _entries(value, depth + 1)
