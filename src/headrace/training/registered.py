"""The estimator of a model that was made elsewhere: scanned before it is loaded, in the worker.

It is a folder that MLflow 2 or 3 has written (``MLmodel``), or one that MLServer serves
(``model-settings.json``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headrace.checks.artefacts import require_safe, scan
from headrace.checks.loading import load_pickle
from headrace.checks.yaml_texts import parse_yaml
from headrace.core.errors import InvalidInput
from headrace.training.archives import pack_files, unpack_files
from headrace.training.tables import column_names

MEDIA_TYPE = "application/vnd.headrace.mlflow-model+zip"
TRAINER = "headrace.registered"
"""What stands for a trainer in the recipe of a run whose model was made elsewhere."""
WHERE = "the registered model"
_FLAVOURS = {"sklearn": "pickled_model", "lightgbm": "data", "xgboost": "data", "catboost": "data"}
"""Flavour of MLflow to the key that names its file."""
_RUNTIMES = {
    "mlserver_sklearn.SKLearnModel": ("sklearn", ("model.joblib", "model.pickle", "model.pkl")),
    "mlserver_lightgbm.LightGBMModel": ("lightgbm", ("model.bst",)),
    "mlserver_xgboost.XGBoostModel": ("xgboost", ("model.bst", "model.json", "model.ubj")),
    "mlserver_catboost.CatboostModel": ("catboost", ("model.cbm", "model.bin")),
}
"""Runtime of MLServer to flavour and the files that it looks for where the settings name none."""
_OF_MLFLOW = "mlserver_mlflow.MLflowRuntime"
_DESCRIBED, _SETTINGS = "MLmodel", "model-settings.json"
_MOST_BYTES = 2 << 30


class _Located(NamedTuple):
    """The file of a model, and the library that reads it."""

    flavour: str
    path: Path


def pack_model(folder: Path) -> bytes:
    """A model's folder as one deterministic zip; nothing of it is loaded.

    Raises:
        GateFailed: something in it speaks against ever loading it.
        InvalidInput: it is no model of MLflow or MLServer, or larger than 2 GiB.
    """
    if not (folder / _DESCRIBED).is_file() and not (folder / _SETTINGS).is_file():
        raise InvalidInput(
            f"The model has no file {_DESCRIBED}, and no {_SETTINGS} either. Log it by "
            "mlflow.sklearn.log_model, or give the folder that MLServer serves."
        )
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
    """The estimator in a model's folder; run it in a process of its own.

    Args:
        inputs: names of the project's inputs in the order of its features.

    Raises:
        GateFailed: something in the folder is not trusted; nothing was loaded.
        InvalidInput: it is of another flavour, or takes other inputs than the project has.
    """
    require_safe(scan(folder), "The registered model")
    flavour, path = _located(folder)
    if path.suffix == ".skops":
        estimator = _load_skops(path)
    elif flavour in _OWN_FORMS and path.read_bytes()[:4].startswith(_OWN_FORMS[flavour].begins):
        estimator = _OWN_FORMS[flavour].load(path)
    else:
        estimator = load_pickle(path)
    named = column_names(estimator)
    if not set(named) <= set(inputs):
        raise InvalidInput(
            f"The registered model was fitted on {named[:20]}. Expected some of the project's inputs: "
            f"{list(inputs)[:20]}."
        )
    return estimator


def _located(folder: Path) -> _Located:
    return _of_mlflow(folder) if (folder / _DESCRIBED).is_file() else _of_mlserver(folder)


def _of_mlflow(folder: Path) -> _Located:
    described = parse_yaml((folder / _DESCRIBED).read_bytes()).value
    flavours = described.get("flavors") or {}
    flavour = next((name for name in _FLAVOURS if name in flavours), None)
    if flavour is None:
        raise InvalidInput(
            f"The registered model has the flavours {sorted(flavours)}. Expected one of "
            f"{', '.join(_FLAVOURS)}: log it with such as mlflow.sklearn.log_model. What is a program, or a "
            "pickle of other classes, is trained by a trainer in project.py instead."
        )
    return _Located(flavour, _inside(folder, str(flavours[flavour].get(_FLAVOURS[flavour], ""))))


def _of_mlserver(folder: Path) -> _Located:
    try:
        settings = json.loads((folder / _SETTINGS).read_bytes())
        runtime = str(settings["implementation"])
        uri = (settings.get("parameters") or {}).get("uri")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"{_SETTINGS} cannot be read: {error!r}. Expected an 'implementation'.") from error
    if runtime == _OF_MLFLOW:
        inner = folder / str(uri or ".")
        if not inner.resolve().is_relative_to(folder.resolve()) or not (inner / _DESCRIBED).is_file():
            raise InvalidInput(f"{_SETTINGS} names {uri!r}. Expected a folder inside with {_DESCRIBED}.")
        return _of_mlflow(inner)
    if runtime not in _RUNTIMES:
        raise InvalidInput(
            f"{_SETTINGS} names the runtime {runtime[:100]!r}. Expected one of "
            f"{', '.join(sorted([*_RUNTIMES, _OF_MLFLOW]))}."
        )
    flavour, usual = _RUNTIMES[runtime]
    names = [str(uri)] if uri else [name for name in usual if (folder / name).is_file()] or list(usual[:1])
    return _Located(flavour, _inside(folder, names[0]))


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(
            f"The registered model names {name!r}, which is no file of its folder. Log it again."
        )
    return path


def _load_booster(path: Path) -> Any:
    """A booster in LightGBM's own text form, which holds no code."""
    try:
        from lightgbm import Booster
    except ImportError as error:
        raise InvalidInput(
            "Reading this model needs LightGBM. Install it with: pip install 'headrace[ml]'"
        ) from error
    return Booster(model_file=str(path))


def _load_xgboost(path: Path) -> Any:
    """A model in XGBoost's JSON or UBJSON, which hold no code."""
    try:
        from xgboost import Booster, XGBClassifier, XGBRegressor
    except ImportError as error:
        raise InvalidInput(
            "Reading this model needs XGBoost. Install it with: pip install 'headrace[xgboost]'"
        ) from error
    config = json.loads(Booster(model_file=str(path)).save_config())
    objective = str(config["learner"]["objective"]["name"])
    estimator: Any = XGBClassifier() if objective.startswith(("binary:", "multi:")) else XGBRegressor()
    estimator.load_model(path)
    return estimator


def _load_catboost(path: Path) -> Any:
    """A model in CatBoost's own form, which holds no code."""
    try:
        from catboost import CatBoost, CatBoostClassifier, CatBoostRegressor
    except ImportError as error:
        raise InvalidInput(
            "Reading this model needs CatBoost. Install it with: pip install 'headrace[catboost]'"
        ) from error
    classes = CatBoost().load_model(str(path)).classes_
    estimator: Any = CatBoostClassifier() if len(classes) else CatBoostRegressor()
    return estimator.load_model(str(path))


class _OwnForm(NamedTuple):
    """A library's own form of a model: how its files begin, and what reads them."""

    begins: bytes
    load: Callable[[Path], Any]


_OWN_FORMS = {
    "lightgbm": _OwnForm(b"tree", _load_booster),
    "xgboost": _OwnForm(b"{", _load_xgboost),
    "catboost": _OwnForm(b"CBM1", _load_catboost),
}


def _load_skops(path: Path) -> Any:
    try:
        from skops import io as skops
    except ImportError as error:
        raise InvalidInput(
            "Reading this model needs skops. Install it with: pip install 'headrace[security]'"
        ) from error
    # The scan has refused what our own list does not trust; the file's list counts for nothing.
    return skops.load(path, trusted=skops.get_untrusted_types(file=path))
