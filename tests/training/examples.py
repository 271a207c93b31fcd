"""Small projects and tables that the tests of training share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headrace.core.project import (
    Column,
    DataGate,
    DataSpec,
    Gates,
    ModelGate,
    Owner,
    Project,
    SplitSpec,
    Task,
    Value,
    Variant,
)
from headrace.data.encoding import Encoding
from headrace.data.history import History
from headrace.training.compiling import compile_pipeline
from headrace.training.convert import to_onnx
from headrace.training.package import PackageInfo, build_package

PROJECT = """\
import headrace


@headrace.trainer
def baseline(data: headrace.TrainingData):
    from headrace.training.baselines import ColumnModel, ConstantModel

    if data.task == "forecasting":
        return ColumnModel(data.feature_names.index("lag_7")).fit(data.X, data.y)
    return ConstantModel(task=data.task).fit(data.X, data.y)


@headrace.trainer
def linear(data: headrace.TrainingData, strength: float = 1.0):
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [i for i in range(data.X.shape[1]) if i not in data.categorical_indexes]
    prepare = ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numeric),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), list(data.categorical_indexes)),
        ]
    )
    if data.task == "classification":
        model = LogisticRegression(C=1 / strength, max_iter=500)
    else:
        model = Ridge(alpha=strength)
    return make_pipeline(prepare, model).fit(data.X, data.y)


@headrace.trainer
def lightgbm(data: headrace.TrainingData, n_estimators: int = 20):
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if data.task == "classification" else LGBMRegressor
    model = kind(
        n_estimators=n_estimators,
        min_child_samples=5,
        random_state=data.seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )
    return model.fit(data.X, data.y)
"""


def write_project(folder: Path, text: str = PROJECT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.py").write_text(text, encoding="utf-8")
    return folder


def table(n_rows: int = 120, *, seed: int = 0, classes: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Three inputs, gaps included, and ``y``: a number, or one of ``classes``."""
    random = np.random.default_rng(seed)
    size = random.normal(size=n_rows).round(4)
    size[random.random(n_rows) < 0.05] = np.nan
    year = random.integers(2010, 2020, n_rows).astype(np.float64)
    fuel = np.array([("petrol", "diesel", "hybrid", None)[i] for i in random.integers(0, 4, n_rows)], object)
    value = np.nan_to_num(size) * 3 + (year - 2015) + np.array([len(f or "") for f in fuel])
    value = value + random.normal(size=n_rows) * 0.1
    columns: dict[str, Any] = {"size": size, "year": year, "fuel": fuel, "id": np.arange(n_rows) * 1.0}
    if not classes:
        return {**columns, "y": value}
    edges = np.quantile(value, np.linspace(0, 1, len(classes) + 1)[1:-1])
    labels = [classes[i] for i in np.digitize(value, edges)]
    if all(isinstance(label, str) for label in classes):
        return {**columns, "y": np.array(labels, dtype=object)}
    return {**columns, "y": np.array(labels)}


def series(n_days: int = 120) -> dict[str, Any]:
    """A daily series with a weekly rhythm."""
    days = np.datetime64("2019-01-01") + np.arange(n_days)
    weekday = (days.astype(np.int64) + 3) % 7
    value = 1000.0 + 100 * weekday + np.random.default_rng(1).normal(size=n_days) * 10
    return {"date": days.astype("datetime64[us]"), "y": value}


def project(task: Task = "regression", **changes: Any) -> Project:
    inputs = (
        Column(name="size", role="numeric"),
        Column(name="year", role="numeric"),
        Column(name="fuel", role="categorical"),
        Column(name="id", role="ignored", why="names the row"),
    )
    data = DataSpec(source="cars.csv", target="y", columns=inputs)
    split = SplitSpec()
    if task == "forecasting":
        data = DataSpec(source="days.csv", target="y", time="date", lags_days=(7, 14), horizon_days=7)
        split = SplitSpec(policy="sequential")
    metric = "log_loss" if task == "classification" else "mae"
    made = Project(
        name="cars",
        task=task,
        owner=Owner(name="ann", contact="ann@example.org"),
        value=Value(hypothesis="h", kpi="k"),
        data=data,
        gates=Gates(data=DataGate(min_rows=10), model=ModelGate(metric=metric)),
        variants=tuple(Variant(name=name, trainer=name) for name in ("baseline", "linear", "lightgbm")),
        split=split,
    )
    return replace(made, **changes)


def variant(name: str = "baseline", **params: Any) -> Variant:
    return Variant(name=name, trainer=name, params=params)


def packed(info: PackageInfo, encoding: Encoding, model: Any, history: History | None = None) -> bytes:
    """The package of an estimator of encoded features that converts."""
    compiled = compile_pipeline(model, [(name, "number") for name in encoding.columns])
    graph = to_onnx(compiled.estimator, n_features=compiled.plan["width"], task=info.task)
    return build_package(info, encoding, graph, history, plan=compiled.plan)
