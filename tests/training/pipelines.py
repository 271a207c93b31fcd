"""Fitted pipelines over raw columns, as users make them in a notebook."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from headrace.core.project import Column, Task
from headrace.data.encoding import Encoding
from headrace.training.package import PackageInfo
from headrace.training.packaging import Material
from headrace.training.tables import to_frame

NUMBERS = ("size", "year", "doors")
SPECS = [
    *(Column(name=name, role="numeric") for name in NUMBERS),
    Column(name="fuel", role="categorical"),
    Column(name="new", role="categorical"),
]
KINDS = [("size", "number"), ("year", "number"), ("doors", "number"), ("fuel", "text"), ("new", "boolean")]


def cars(n_rows: int = 400, *, seed: int = 0) -> dict[str, Any]:
    """Five inputs with gaps, and ``y``."""
    random = np.random.default_rng(seed)
    size = random.normal(size=n_rows) * 1e3 + 0.1
    size[random.random(n_rows) < 0.1] = np.nan
    fuel = np.empty(n_rows, dtype=object)
    fuel[:] = [("petrol", "diesel", None, "gas")[i] for i in random.integers(0, 4, n_rows)]
    columns: dict[str, Any] = {
        "size": size,
        "year": random.integers(1990, 2020, n_rows).astype(np.float64),
        "doors": random.integers(2, 6, n_rows).astype(np.float64),
        "fuel": fuel,
        "new": random.random(n_rows) < 0.5,
    }
    value = np.nan_to_num(size) / 1e3 + (columns["year"] - 2000) / 5 + 2 * (fuel == "gas") + columns["new"]
    return {**columns, "y": value + random.normal(size=n_rows) * 0.1}


def prepare() -> Any:
    """Imputers, scalers, encoders and a column that passes through."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return ColumnTransformer(
        [
            ("scaled", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["size", "year"]),
            ("text", text, ["fuel"]),
            ("codes", codes, ["fuel", "doors"]),
            ("flag", "passthrough", ["new"]),
        ]
    )


def fitted(estimator: Any, *, before: Any = None, task: Task = "regression", rows: Any = None) -> Any:
    """A pipeline fitted on the raw columns of :func:`cars`."""
    from sklearn.pipeline import make_pipeline

    columns = cars() if rows is None else rows
    y = columns["y"] if task == "regression" else (columns["y"] > np.median(columns["y"])).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows make narrow bins
        return make_pipeline(before or prepare(), estimator).fit(frame(columns), y)


def frame(columns: dict[str, Any]) -> Any:
    return to_frame(columns, [spec.name for spec in SPECS])


def inputs(columns: dict[str, Any]) -> dict[str, Any]:
    return {spec.name: columns[spec.name] for spec in SPECS}


def material(task: Task = "regression", **changes: Any) -> Material:
    columns = cars()
    classes = (0.0, 1.0) if task == "classification" else ()
    info = PackageInfo(project="cars", variant="v", task=task, target="y", classes=classes)
    arguments: dict[str, Any] = {
        "info": info,
        "encoding": Encoding.fit(columns, SPECS),
        "columns": inputs(columns),
        "specs": SPECS,
        "tolerance": 1e-3,
        "seed": 0,
    }
    return Material(**{**arguments, **changes})
