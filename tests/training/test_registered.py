"""Folders of MLflow and MLServer are scanned, and then loaded by the list of what is trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from headrace.checks.loading import pickled
from headrace.core.errors import GateFailed, InvalidInput
from headrace.training.registered import load_registered, pack_model, unpack_model
from tests.training.pipelines import SPECS, cars, fitted, frame

NAMES = [spec.name for spec in SPECS]


def pipeline() -> Any:
    from sklearn.linear_model import Ridge

    return fitted(Ridge())


def of_mlflow(folder: Path, flavours: dict[str, Any], **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours, "mlflow_version": "2.22.0"}))
    return folder


def of_mlserver(folder: Path, settings: dict[str, Any], **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    (folder / "model-settings.json").write_text(json.dumps({"name": "cars", **settings}))
    return folder


def loaded(folder: Path, tmp_path: Path) -> Any:
    """As it arrives in the worker: packed, unpacked, scanned, loaded."""
    unpack_model(pack_model(folder), tmp_path / "unpacked")
    return load_registered(tmp_path / "unpacked", NAMES)


@pytest.mark.parametrize("form", ["mlflow", "named", "usual", "inner"])
def test_a_pipeline_over_raw_columns_is_loaded_from_each_kind_of_folder(form: str, tmp_path: Path) -> None:
    model, folder = pipeline(), tmp_path / "model"
    content = pickled(model, "It")
    runtime = "mlserver_sklearn.SKLearnModel"
    if form == "mlflow":
        flavours = {
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"},
            "sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"},
        }
        of_mlflow(folder, flavours, model_pkl=content)
    elif form == "inner":
        of_mlserver(
            folder, {"implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": "./inner"}}
        )
        of_mlflow(folder / "inner", {"sklearn": {"pickled_model": "model.pkl"}}, model_pkl=content)
    elif form == "named":
        settings = {"implementation": runtime, "parameters": {"uri": "./cars.pkl", "version": "v1"}}
        of_mlserver(folder, settings, cars_pkl=content)
    else:
        of_mlserver(folder, {"implementation": runtime}, model_joblib=content)
    rows = cars(20, seed=4)
    found = loaded(folder, tmp_path)
    np.testing.assert_array_equal(found.predict(frame(rows)), model.predict(frame(rows)))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["cloudpickle", "skops"])
def test_a_folder_that_mlflow_itself_has_written_is_loaded(form: str, tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn

        model = pipeline()
        trusted = {"skops_trusted_types": ["numpy.dtype"]} if form == "skops" else {}
        mlflow.sklearn.save_model(
            model,
            str(tmp_path / "model"),
            serialization_format=form,
            pip_requirements=["scikit-learn"],
            **trusted,
        )
    rows = cars(20, seed=4)
    found = loaded(tmp_path / "model", tmp_path)
    np.testing.assert_array_equal(found.predict(frame(rows)), model.predict(frame(rows)))


def test_a_booster_in_lightgbms_own_text_is_loaded(tmp_path: Path) -> None:
    from lightgbm import LGBMRegressor

    X = np.random.default_rng(0).normal(size=(200, 5))
    model = LGBMRegressor(n_estimators=5, verbose=-1, n_jobs=1).fit(X, X[:, 0])
    text = model.booster_.model_to_string().encode()
    by_mlflow = of_mlflow(tmp_path / "a", {"lightgbm": {"data": "model.lgb"}}, model_lgb=text)
    settings = {"implementation": "mlserver_lightgbm.LightGBMModel"}
    by_mlserver = of_mlserver(tmp_path / "b", settings, model_bst=text)
    for folder in (by_mlflow, by_mlserver):
        np.testing.assert_array_equal(load_registered(folder, NAMES).predict(X), model.predict(X))


def test_what_is_not_trusted_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bomb = f"cposix\nsystem\n(Vtouch {marker}\ntR.".encode()
    folder = of_mlserver(
        tmp_path / "model", {"implementation": "mlserver_sklearn.SKLearnModel"}, model_joblib=bomb
    )
    for act in (lambda: pack_model(folder), lambda: load_registered(folder, NAMES)):
        with pytest.raises(GateFailed, match=r"posix\.system"):
            act()
    assert not marker.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"implementation": "models.MyOwn"}, "names the runtime 'models.MyOwn'. Expected one of"),
        ({}, "cannot be read: KeyError"),
        (
            {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "../secret.pkl"}},
            "is no file of its folder",
        ),
        ({"implementation": "mlserver_sklearn.SKLearnModel"}, "names 'model.joblib', which is no file"),
        (
            {"implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": "../other"}},
            "Expected a folder inside with MLmodel",
        ),
    ],
)
def test_settings_that_lead_elsewhere_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "secret.pkl").write_bytes(pickled(pipeline(), "It"))
    with pytest.raises(InvalidInput, match=message):
        load_registered(of_mlserver(tmp_path / "model", settings), NAMES)


def test_a_model_of_other_columns_or_no_model_is_named(tmp_path: Path) -> None:
    folder = of_mlflow(
        tmp_path / "model", {"sklearn": {"pickled_model": "m.pkl"}}, m_pkl=pickled(pipeline(), "It")
    )
    with pytest.raises(InvalidInput, match=r"was fitted on \['size'.*Expected some of the project's inputs"):
        load_registered(folder, ["price"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"has no file MLmodel, and no model-settings\.json"):
        pack_model(tmp_path / "empty")
    other = of_mlflow(tmp_path / "other", {"prophet": {}})
    with pytest.raises(InvalidInput, match=r"has the flavours \['prophet'\]"):
        load_registered(other, NAMES)
