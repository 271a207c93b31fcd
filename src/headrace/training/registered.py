"""The estimator of an MLflow model that somebody registered: scanned before it is loaded, in the worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from headrace.checks.artefacts import require_safe, scan
from headrace.checks.loading import load_pickle
from headrace.core.errors import InvalidInput
from headrace.training.archives import pack_files, unpack_files

MEDIA_TYPE = "application/vnd.headrace.mlflow-model+zip"
TRAINER = "headrace.registered"
"""What stands for a trainer in the recipe of a run whose model was made elsewhere."""
WHERE = "the registered model"
_FLAVOURS = {"sklearn": "pickled_model", "lightgbm": "data"}
_MOST_BYTES = 2 << 30


def pack_model(folder: Path) -> bytes:
    """An MLflow model's folder as one deterministic zip; nothing of it is loaded.

    Raises:
        GateFailed: something in it speaks against ever loading it.
        InvalidInput: it is no MLflow model, or larger than 2 GiB.
    """
    if not (folder / "MLmodel").is_file():
        raise InvalidInput("The registered version has no file MLmodel. Log it by mlflow.sklearn.log_model.")
    require_safe(scan(folder), "The registered model")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > _MOST_BYTES:
        raise InvalidInput(f"The registered model has {size:,} bytes. Expected at most {_MOST_BYTES:,}.")
    return pack_files({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def unpack_model(data: bytes, folder: Path) -> None:
    """Undo :func:`pack_model` into a new ``folder``."""
    for name, content in unpack_files(data, "The registered model").items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def load_registered(folder: Path, inputs: Sequence[str]) -> Any:
    """The estimator in an MLflow model's folder; run it in a process of its own.

    Args:
        inputs: names of the project's inputs in the order of its features.

    Raises:
        GateFailed: something in the folder is not trusted; nothing was loaded.
        InvalidInput: it is of another flavour, or takes other inputs than the project has.
    """
    require_safe(scan(folder), "The registered model")
    described = yaml.safe_load((folder / "MLmodel").read_bytes())
    flavours = described.get("flavors") or {}
    flavour = next((name for name in _FLAVOURS if name in flavours), None)
    if flavour is None:
        raise InvalidInput(
            f"The registered model has the flavours {sorted(flavours)}. Expected sklearn or lightgbm: log it "
            "with mlflow.sklearn.log_model or mlflow.lightgbm.log_model."
        )
    path = folder / str(flavours[flavour].get(_FLAVOURS[flavour], ""))
    if not path.is_file():
        raise InvalidInput(f"The registered model names {path.name!r}, which is not there. Log it again.")
    estimator = _load_skops(path) if path.suffix == ".skops" else load_pickle(path)
    named = getattr(estimator, "feature_names_in_", None)
    if named is not None and list(named) != list(inputs):
        raise InvalidInput(
            f"The registered model was fitted on {list(named)[:20]}. Expected the project's inputs in their "
            f"order, as numbers: {list(inputs)[:20]}."
        )
    return estimator


def _load_skops(path: Path) -> Any:
    try:
        from skops import io as skops
    except ImportError as error:
        raise InvalidInput(
            "Reading this model needs skops. Install it with: pip install 'headrace[security]'"
        ) from error
    # The scan has refused what our own list does not trust; the file's list counts for nothing.
    return skops.load(path, trusted=skops.get_untrusted_types(file=path))
