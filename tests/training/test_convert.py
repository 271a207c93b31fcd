"""Every kind of estimator answers in ONNX as it did, also exactly at its thresholds."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.core.project import Task
from headrace.training.baselines import ColumnModel, ConstantModel, DifferenceModel
from headrace.training.convert import float32_not_above, round_thresholds_down, to_onnx

N_FEATURES = 6
CODES = 5
"""Which column of the features holds codes."""


def features(n_rows: int = 800, *, gaps: bool = True) -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(3)
    X = random.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    X[:, 1] *= 1e5
    X[:, 2] = random.integers(1990, 2020, n_rows)
    X[:, CODES] = random.integers(-1, 30, n_rows)
    if gaps:
        X[random.random(n_rows) < 0.1, 3] = np.nan
    return X


def target(X: np.ndarray[Any, Any], n_classes: int) -> np.ndarray[Any, Any]:
    noise = np.random.default_rng(4).normal(size=len(X)) * 0.1
    value: np.ndarray[Any, Any] = np.nan_to_num(X[:, 0]) + 2 * np.isin(X[:, CODES], [1, 7, 20]) + noise
    return value if not n_classes else np.digitize(value, np.quantile(value, [0.5, 0.8][: n_classes - 1]))


def edges(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rows outside of what was trained on."""
    rows = X[:40].copy()
    rows[:10] = np.nan
    rows[10:20, CODES] = 99
    rows[20:30] = 0
    rows[30:35] = np.finfo(np.float32).max
    rows[35:] = -np.finfo(np.float32).max
    rows[:10, CODES] = -1
    return rows


def ask(model: bytes, X: np.ndarray[Any, Any], task: Task) -> np.ndarray[Any, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == (["predict", "probability"] if task == "classification" else ["predict"])
    answer = np.asarray(session.run([names[-1]], {"X": X})[0], dtype=np.float64)
    return answer if task == "classification" else answer.reshape(len(X))


def original(estimator: Any, X: np.ndarray[Any, Any], task: Task) -> np.ndarray[Any, Any]:
    return np.asarray(estimator.predict_proba(X) if task == "classification" else estimator.predict(X))


def agree(estimator: Any, task: Task, *tables: np.ndarray[Any, Any]) -> bytes:
    model = to_onnx(estimator, n_features=N_FEATURES, task=task)
    for X in tables:
        wanted = original(estimator, X, task)
        spread = max(float(np.std(original(estimator, tables[0], task))), 1e-3)
        assert np.abs(ask(model, X, task) - wanted).max() / spread < 1e-4
    return model


def linear(
    estimator: Any, numeric: tuple[int, ...] = (0, 1, 2, 3, 4), codes: tuple[int, ...] = (CODES,)
) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    scaled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    prepare = ColumnTransformer(
        [
            ("numeric", scaled, list(numeric)),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), list(codes)),
        ]
    )
    return make_pipeline(prepare, estimator)


def lightgbm(task: Task, **params: Any) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if task == "classification" else LGBMRegressor
    return kind(n_estimators=40, min_child_samples=5, n_jobs=1, random_state=0, verbose=-1, **params)


TASKS: list[tuple[Task, int]] = [("regression", 0), ("classification", 2), ("classification", 3)]


@pytest.mark.parametrize(("task", "n_classes"), TASKS)
def test_linear_pipelines_agree(task: Task, n_classes: int) -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    X = features()
    model = linear(LogisticRegression(max_iter=500) if n_classes else Ridge()).fit(X, target(X, n_classes))
    near = edges(X)[:30]  # beyond them a linear model's float32 overflows, as its original's does
    agree(model, task, X, near)


@pytest.mark.parametrize(
    ("numeric", "codes"), [((0, 1, 2, 3, 4), ()), ((), (2, CODES)), ((0, 3), (CODES,))], ids=str
)
def test_linear_pipelines_agree_on_narrow_tables(numeric: tuple[int, ...], codes: tuple[int, ...]) -> None:
    from sklearn.linear_model import Ridge

    X = features(200, gaps=False)
    X[:, 3] = np.nan  # a column without any value
    agree(linear(Ridge(), numeric, codes).fit(X, target(X, 0)), "regression", X)


@pytest.mark.parametrize(("task", "n_classes"), TASKS)
@pytest.mark.parametrize("categorical", [False, True])
def test_lightgbm_agrees_also_with_native_categories(task: Task, n_classes: int, categorical: bool) -> None:
    X = features()
    model = lightgbm(task).fit(
        X, target(X, n_classes), categorical_feature=[CODES] if categorical else "auto"
    )
    agree(model, task, X, edges(X))


@pytest.mark.parametrize(("task", "n_classes"), TASKS)
def test_baselines_agree_and_ignore_gaps(task: Task, n_classes: int) -> None:
    X = features()
    constant = ConstantModel(task=task).fit(X, target(X, n_classes))
    assert np.array_equal(
        ask(agree(constant, task, X, edges(X)), X, task), np.asarray(original(constant, X, task), np.float64)
    )
    if task == "regression":
        column = ColumnModel(3).fit(X, target(X, 0))
        assert np.array_equal(ask(agree(column, task, X, edges(X)), X, task), column.predict(X))


@pytest.mark.parametrize("kind", ["linear", "lightgbm", "constant", "column"])
def test_what_is_learnt_on_top_of_a_column_agrees(kind: str) -> None:
    from sklearn.linear_model import Ridge

    X = features()
    inner = {
        "linear": linear(Ridge()),
        "lightgbm": lightgbm("regression"),
        "constant": ConstantModel(),
        "column": ColumnModel(0),
    }
    model = DifferenceModel(inner[kind], 3).fit(X, target(X, 0))
    agree(model, "regression", X, edges(X)[:30])


@pytest.mark.parametrize("kind", ["forest", "boosting", "tree", "bayes", "network"])
def test_other_scikit_learn_estimators_agree(kind: str) -> None:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeRegressor

    X = features(300, gaps=False)
    models: dict[str, tuple[Any, Task]] = {
        "forest": (RandomForestClassifier(8, random_state=0), "classification"),
        "boosting": (GradientBoostingRegressor(n_estimators=10), "regression"),
        "tree": (DecisionTreeRegressor(max_depth=5), "regression"),
        "bayes": (GaussianNB(), "classification"),
        "network": (
            make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=20)),
            "regression",
        ),
    }
    model, task = models[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # twenty rounds need not converge
        model.fit(X, target(X, 3 if task == "classification" else 0))
    agree(model, task, X)


def thresholds(booster: Any) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []

    def walk(node: dict[str, Any]) -> None:
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                found.append((node["split_feature"], node["threshold"]))
            walk(node["left_child"])
            walk(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        walk(tree["tree_structure"])
    return found


def above(value: np.float32) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(np.nextafter(value, np.float32(np.inf)))


def boundary_rows(X: np.ndarray[Any, Any], found: list[tuple[int, float]]) -> np.ndarray[Any, Any]:
    """For each threshold the float32 values next to it, in rows that are otherwise ordinary."""
    largest = float(np.finfo(np.float32).max)
    rows = []
    for index, (feature, threshold) in enumerate(found):
        nearest = np.float32(np.clip(threshold, -largest, largest))
        for value in (nearest, above(nearest), -above(-nearest), -nearest):
            row = X[index % len(X)].copy()
            row[feature] = value if np.isfinite(value) else largest
            rows.append(row)
    return np.array(rows)


@pytest.mark.requirement("GAT-03")
@pytest.mark.parametrize(("task", "n_classes"), TASKS)
def test_no_row_takes_another_branch_at_a_threshold_of_lightgbm(task: Task, n_classes: int) -> None:
    X = features()
    model = lightgbm(task).fit(X, target(X, n_classes))
    found = thresholds(model.booster_)
    inexact = sum(float(np.float32(np.clip(t, -3e38, 3e38))) != t for _, t in found)
    assert inexact > len(found) / 4, "the data must make thresholds that float32 cannot hold"
    rows = boundary_rows(X, found)
    converted = ask(to_onnx(model, n_features=N_FEATURES, task=task), rows, task)
    assert np.abs(converted - original(model, rows, task)).max() < 1e-5


def test_without_rounding_down_rows_would_take_another_branch() -> None:
    """The fault that the rounding mends is real: the bare converter has it."""
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    X = features()
    model = lightgbm("regression").fit(X, target(X, 0))
    rows = boundary_rows(X, thresholds(model.booster_))
    bare = convert_lightgbm(
        model.booster_, initial_types=[("X", FloatTensorType([None, N_FEATURES]))], target_opset=15
    )
    bare.graph.node[-1].output[0] = bare.graph.output[0].name = "predict"
    flipped = np.abs(ask(bare.SerializeToString(), rows, "regression") - model.predict(rows)) > 1e-4
    assert flipped.mean() > 0.01


def test_no_row_takes_another_branch_at_a_threshold_of_a_forest() -> None:
    from sklearn.ensemble import RandomForestRegressor

    X = features(300, gaps=False)
    model = RandomForestRegressor(10, random_state=0).fit(X, target(X, 0))
    found = [
        (int(feature), float(threshold))
        for tree in model.estimators_
        for feature, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        if feature >= 0
    ]
    rows = boundary_rows(X, found)
    converted = ask(to_onnx(model, n_features=N_FEATURES, task="regression"), rows, "regression")
    assert np.abs(converted - model.predict(rows)).max() < 1e-5


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20), st.data())
def test_rounding_down_keeps_every_comparison(values: list[float], data: st.DataObject) -> None:
    rounded = float32_not_above(np.array(values))
    x = np.float32(data.draw(st.floats(width=32, allow_nan=False, allow_infinity=False)))
    for threshold, kept in zip(values, rounded, strict=True):
        assert (float(x) <= threshold) == (x <= kept)
        assert float(kept) <= threshold < float(above(kept))


def test_rounding_changes_thresholds_only() -> None:
    from lightgbm import Booster

    X = features()
    model = lightgbm("regression").fit(X, target(X, 0), categorical_feature=[CODES])
    rounded = Booster(model_str=round_thresholds_down(model.booster_.model_to_string()))
    assert np.array_equal(rounded.predict(X), model.predict(X))


def test_the_same_estimator_gives_the_same_bytes() -> None:
    from sklearn.linear_model import Ridge

    X = features()
    for model in (lightgbm("regression"), linear(Ridge()), ConstantModel(), ColumnModel(0)):
        model.fit(X, target(X, 0))
        first, second = (to_onnx(model, n_features=N_FEATURES, task="regression") for _ in range(2))
        assert first == second


def test_what_has_no_equal_in_onnx_is_refused_with_the_reason() -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.neighbors import KNeighborsRegressor

    X, y = features(60, gaps=False), target(features(60, gaps=False), 0)
    unsupported = {
        "HistGradientBoostingRegressor cannot be converted": HistGradientBoostingRegressor(max_iter=2),
        "KNeighborsRegressor cannot be converted": KNeighborsRegressor(
            2, metric=lambda a, b: float(abs(a - b).sum())
        ),
        "linear_tree=True has no equal": lightgbm("regression", linear_tree=True),
        "zero_as_missing=True has no equal": lightgbm("regression", zero_as_missing=True),
    }
    for message, model in unsupported.items():
        model.fit(X, y)
        with pytest.raises(InvalidInput, match=message):
            to_onnx(model, n_features=N_FEATURES, task="regression")
    with pytest.raises(InvalidInput, match=r"builtins\.object cannot be converted.*Return a scikit-learn"):
        to_onnx(object(), n_features=N_FEATURES, task="regression")


def test_an_estimator_of_other_features_is_refused() -> None:
    from sklearn.linear_model import Ridge

    X = features(60, gaps=False)
    with pytest.raises(InvalidInput, match="fitted on 2 features, but data.X has 6"):
        to_onnx(Ridge().fit(X[:, [0, 3]], target(X, 0)), n_features=N_FEATURES, task="regression")
