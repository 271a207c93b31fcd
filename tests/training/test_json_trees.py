"""XGBoost and CatBoost from their own JSON: the graph answers as the library does, on rows of any kind."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.project import Task
from headrace.training.convert import to_onnx
from headrace.training.engines import OnnxEngine
from headrace.training.fitted_trees import read_trees

WIDTH = 4
VALUE = st.one_of(st.just(float("nan")), st.floats(-5, 5), st.floats(-1e30, 1e30), st.just(0.0))


@cache
def table() -> tuple[Any, Any]:
    """Numbers with gaps, and what is to be predicted: positive, so that every objective takes it."""
    random = np.random.default_rng(0)
    X = random.normal(size=(400, WIDTH))
    X[random.random(X.shape) < 0.1] = np.nan
    return X, np.nan_to_num(X[:, 0]) * 2 + (np.nan_to_num(X[:, 1]) > 0) * 3 + 20


def _labels(classes: int) -> Any:
    _, y = table()
    return np.digitize(y, np.quantile(y, np.linspace(0, 1, classes + 1)[1:-1]))


def _xgboost(name: str) -> Any:
    import xgboost

    X, y = table()
    few: dict[str, Any] = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1}
    match name:
        case "classes" | "binary":
            return xgboost.XGBClassifier(**few).fit(X, _labels(3 if name == "classes" else 2))
        case "forest":
            return xgboost.XGBRFRegressor(**few).fit(X, y)
        case "stopped":
            early = xgboost.XGBRegressor(**{**few, "n_estimators": 100}, early_stopping_rounds=2)
            return early.fit(X, y, eval_set=[(X[:50], y[::-1][:50])], verbose=False)
        case "share":
            return xgboost.XGBRegressor(**few, objective="reg:logistic").fit(X, y / 40)
    return xgboost.XGBRegressor(**few, objective=name).fit(X, y)


def _catboost(name: str) -> Any:
    catboost = pytest.importorskip("catboost", reason="CatBoost is an extra of 276 MB")
    X, y = table()
    few: dict[str, Any] = {
        "n_estimators": 20, "depth": 4, "verbose": 0, "allow_writing_files": False, "thread_count": 1,
    }  # fmt: skip
    if name in ("classes", "binary"):
        return catboost.CatBoostClassifier(**few).fit(X, _labels(3 if name == "classes" else 2))
    loss, _, mode = name.partition(" ")
    return catboost.CatBoostRegressor(**few, loss_function=loss, nan_mode=mode or "Min").fit(X, y)


CASES = [
    *(("xgboost", one) for one in ("classes", "binary", "forest", "stopped", "share")),
    *(("xgboost", f"reg:{one}") for one in ("squarederror", "absoluteerror", "gamma", "tweedie")),
    ("xgboost", "count:poisson"),
    *(("catboost", one) for one in ("classes", "binary", "RMSE", "RMSE Max", "MAE", "Poisson")),
]


@cache
def model(library: str, name: str) -> tuple[Any, OnnxEngine, bool]:
    estimator = _xgboost(name) if library == "xgboost" else _catboost(name)
    classifies = name in ("classes", "binary")
    task: Task = "classification" if classifies else "regression"
    graph = to_onnx(estimator, n_features=WIDTH, task=task)
    return estimator, OnnxEngine(graph, WIDTH, classifies=classifies), classifies


@pytest.mark.requirement("DEP-09")
@pytest.mark.parametrize(("library", "name"), CASES)
@settings(max_examples=40)
@given(rows=st.lists(st.lists(VALUE, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=8))
def test_a_graph_answers_as_its_library_does(library: str, name: str, rows: list[list[float]]) -> None:
    estimator, engine, classifies = model(library, name)
    X = np.array(rows)
    expected = estimator.predict_proba(X) if classifies else estimator.predict(X)
    # XGBoost adds up in float32, CatBoost in float64.
    tolerance = 1e-5 if library == "xgboost" else 1e-12
    np.testing.assert_allclose(engine.ask(X), expected, rtol=tolerance, atol=tolerance)


def test_a_value_at_a_split_takes_the_branch_that_its_library_takes() -> None:
    for library, name in (("xgboost", "reg:squarederror"), ("catboost", "RMSE")):
        if library == "catboost":
            pytest.importorskip("catboost", reason="CatBoost is an extra of 276 MB")
        estimator, engine, _ = model(library, name)
        trees = read_trees(estimator)
        assert trees is not None
        rows = np.zeros((0, WIDTH))
        for feature, splits in trees.thresholds().items():
            single = splits.astype(np.float32)
            with np.errstate(over="ignore"):
                beside = [np.nextafter(single, side) for side in (np.float32(-np.inf), np.float32(np.inf))]
            for value in (splits, *(one[np.isfinite(one)] for one in beside)):
                edge = np.zeros((len(value), WIDTH))
                edge[:, feature] = value
                rows = np.vstack([rows, edge])
        assert len(rows) > 100
        np.testing.assert_allclose(engine.ask(rows), estimator.predict(rows), rtol=1e-6)


def test_what_is_read_only_in_part_is_not_read() -> None:
    import xgboost

    X, y = table()
    few: dict[str, Any] = {"n_estimators": 3, "n_jobs": 1}
    assert read_trees(xgboost.XGBRegressor(booster="gblinear", **few).fit(X, y)) is None
    assert read_trees(xgboost.XGBRegressor(booster="dart", **few).fit(X, y)) is None
    assert read_trees(xgboost.XGBRegressor(missing=-1.0, **few).fit(X, y)) is None
    assert read_trees(xgboost.XGBRegressor(**few).fit(X, np.stack([y, y], axis=1))) is None


def test_catboost_that_looks_at_categories_is_not_read() -> None:
    catboost = pytest.importorskip("catboost", reason="CatBoost is an extra of 276 MB")
    X, y = table()
    words = np.where(np.nan_to_num(X[:, :1]) > 0, "a", "b").astype(object)
    few: dict[str, Any] = {"n_estimators": 3, "verbose": 0, "allow_writing_files": False}
    with_words = np.hstack([words, X[:, 1:]])
    assert read_trees(catboost.CatBoostRegressor(**few, cat_features=[0]).fit(with_words, y)) is None
    uneven = catboost.CatBoostRegressor(**few, grow_policy="Lossguide").fit(X, y)
    assert read_trees(uneven) is None
