"""A model version as a folder that MLflow reads: ``mlflow.pyfunc.load_model`` answers raw rows as we do.

The folder holds our package and says that this module loads it, so whoever loads it needs Headrace
installed; nothing in it is code, and loading runs none.
"""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from headrace.core.data import ModelVersion
from headrace.training.package import load_scorer

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "model.package"
_WRITTEN_BY = "3.17"


def write_model(folder: Path, model: ModelVersion, package: Path) -> None:
    """Write the MLflow model of a version into ``folder``, which is made or emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    shutil.copyfile(package, folder / PACKAGE)
    needed = f"headrace[ml]=={version('headrace')}"
    (folder / "requirements.txt").write_text(f"mlflow-skinny~={_WRITTEN_BY}\npandas\n{needed}\n")
    described = {
        "flavors": {
            "python_function": {
                "loader_module": __name__,
                "data": PACKAGE,
                "python_version": platform.python_version(),
            },
            "headrace": {"version": model.version, "run": model.run_id, "package": model.package.digest},
        },
        "mlflow_version": _WRITTEN_BY,
        "utc_time_created": f"{model.registered_at:%Y-%m-%d %H:%M:%S.%f}",
    }
    # Last: a folder with a description is whole.
    (folder / "MLmodel").write_text(yaml.safe_dump(described, sort_keys=True), encoding="utf-8")


class PackageModel:
    """What ``mlflow.pyfunc`` asks for predictions."""

    def __init__(self, package: Path) -> None:
        self._scorer = load_scorer(package)

    def predict(self, data: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        """The prediction of each row of raw inputs, as an array ``(n_rows,)``."""
        return self._scorer.score({str(name): data[name].to_numpy() for name in data.columns})["predict"]


def _load_pyfunc(path: str) -> PackageModel:
    """MLflow's name for what loads a model."""
    return PackageModel(Path(path))
