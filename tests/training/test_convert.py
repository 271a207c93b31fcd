"""Every kind of estimator answers in ONNX as it did, also exactly at its thresholds."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from headrace.checks.searching import neighbours
from headrace.core.errors import InvalidInput
from headrace.core.project import Task
from headrace.training.baselines import ColumnModel, ConstantModel, DifferenceModel
from headrace.training.convert import Unconvertible, to_onnx
from headrace.training.engines import OnnxEngine
from headrace.training.fitted_trees import read_trees

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
    answer = np.asarray(session.run([names[-1]], {"X": X.astype(np.float64)})[0], dtype=np.float64)
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


def boundary_rows(X: np.ndarray[Any, Any], model: Any) -> np.ndarray[Any, Any]:
    """Each threshold of a model and its neighbours, of float64 and of float32, in otherwise ordinary rows."""
    trees = read_trees(model)
    assert trees is not None
    rows = [
        np.where(np.arange(N_FEATURES) == feature, value, X[index % len(X)].astype(np.float64))
        for feature, values in trees.thresholds().items()
        for index, value in enumerate(neighbours(values[np.abs(values) < 1e30]).tolist())
    ]
    assert len(rows) > 50
    return np.array(rows)


FORESTS = ["forest", "extra", "tree", "boosting", "forest with gaps"]


def forest(kind: str, task: Task) -> Any:
    from sklearn import ensemble, tree

    end = "Classifier" if task == "classification" else "Regressor"
    name = {
        "forest": "RandomForest",
        "forest with gaps": "RandomForest",
        "extra": "ExtraTrees",
        "boosting": "GradientBoosting",
    }.get(kind)
    if name is None:
        return getattr(tree, f"DecisionTree{end}")(random_state=0)
    return getattr(ensemble, f"{name}{end}")(n_estimators=8, random_state=0)


@pytest.mark.requirement("GAT-03")
@pytest.mark.requirement("DEP-09")
@pytest.mark.parametrize(("task", "n_classes"), TASKS)
@pytest.mark.parametrize("kind", FORESTS)
def test_trees_of_scikit_learn_are_equal_to_the_last_bits_also_at_their_thresholds(
    kind: str, task: Task, n_classes: int
) -> None:
    X = features(300, gaps=kind == "forest with gaps")
    model = forest(kind, task).fit(X, target(X, n_classes))
    rows = np.concatenate([X.astype(np.float64), boundary_rows(X, model)])
    converted = ask(to_onnx(model, n_features=N_FEATURES, task=task), rows, task)
    assert np.abs(converted - original(model, rows, task)).max() < 1e-13


@pytest.mark.requirement("GAT-03")
@pytest.mark.requirement("DEP-09")
@pytest.mark.parametrize(("task", "n_classes"), TASKS)
@pytest.mark.parametrize("kind", ["gbdt", "rf", "dart", "categories"])
def test_lightgbm_is_equal_to_the_last_bits_also_at_its_thresholds(
    kind: str, task: Task, n_classes: int
) -> None:
    X = features()
    bagged = {"bagging_freq": 1, "bagging_fraction": 0.7} if kind == "rf" else {}
    boosting = "gbdt" if kind == "categories" else kind
    model = lightgbm(task, boosting_type=boosting, **bagged).fit(
        X, target(X, n_classes), categorical_feature=[CODES] if kind == "categories" else "auto"
    )
    rows = np.concatenate([X.astype(np.float64), boundary_rows(X, model), edges(X)])
    converted = ask(to_onnx(model, n_features=N_FEATURES, task=task), rows, task)
    assert np.abs(converted - original(model, rows, task)).max() < 1e-13


@pytest.mark.parametrize("objective", ["poisson", "gamma", "tweedie", "huber", "quantile", "l1", "mape"])
def test_objectives_of_lightgbm_keep_their_link(objective: str) -> None:
    X = features(300)
    model = lightgbm("regression", objective=objective).fit(X, np.abs(target(X, 0)) + 0.1)
    agree(model, "regression", X, edges(X))


def test_numbers_that_lightgbm_reads_as_zero_take_the_branch_of_zero() -> None:
    X = np.zeros((400, N_FEATURES), dtype=np.float32)
    X[:, 0] = np.repeat([-1.0, -1e-37, 1e-37, 1.0], 100)
    for split in (-1.0, 1.0):
        model = lightgbm("regression").fit(X, (X[:, 0] > 0.5 * split).astype(np.float64))
        rows = np.zeros((9, N_FEATURES))
        tiny = float(np.float32(1e-35))
        rows[:, 0] = [-1, -2e-35, -tiny, -1e-36, 0, 1e-36, tiny, np.nextafter(tiny, 1), 2e-35]
        converted = ask(to_onnx(model, n_features=N_FEATURES, task="regression"), rows, "regression")
        np.testing.assert_allclose(converted, model.predict(rows), atol=1e-13)


@pytest.mark.parametrize("name", ["PoissonRegressor", "GammaRegressor", "Lasso", "HuberRegressor", "LDA"])
def test_linear_models_are_equal_in_double_precision(name: str) -> None:
    from sklearn import discriminant_analysis, linear_model

    X = features(200, gaps=False) / np.float32(1e5)
    if name == "LDA":
        model, task = (
            discriminant_analysis.LinearDiscriminantAnalysis().fit(X, target(X, 3)),
            "classification",
        )
    else:
        model, task = getattr(linear_model, name)().fit(X, np.abs(target(X, 0)) + 0.1), "regression"
    rows = X.astype(np.float64)
    kind: Task = "classification" if task == "classification" else "regression"
    converted = ask(to_onnx(model, n_features=N_FEATURES, task=kind), rows, kind)
    np.testing.assert_allclose(converted, original(model, rows, kind), rtol=1e-12)


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
        "LGBMRegressor cannot be converted": lightgbm("regression", linear_tree=True),
        "LGBMRegressor cannot": lightgbm("regression", zero_as_missing=True),
    }
    for message, model in unsupported.items():
        model.fit(X, y)
        with pytest.raises(Unconvertible, match=message):
            to_onnx(model, n_features=N_FEATURES, task="regression")
    with pytest.raises(Unconvertible, match=r"builtins\.object cannot be converted.*Return a scikit-learn"):
        to_onnx(object(), n_features=N_FEATURES, task="regression")


def test_an_estimator_of_other_features_is_refused() -> None:
    from sklearn.linear_model import Ridge

    X = features(60, gaps=False)
    with pytest.raises(InvalidInput, match="fitted on 2 features, but data.X has 6"):
        to_onnx(Ridge().fit(X[:, [0, 3]], target(X, 0)), n_features=N_FEATURES, task="regression")


@pytest.mark.requirement("DEP-09")
@pytest.mark.parametrize("kind", ["OLS", "WLS", "RLM", "QuantReg", "identity", "log", "logit"])
def test_linear_results_of_statsmodels_become_a_graph(kind: str) -> None:
    import statsmodels.api as sm

    random = np.random.default_rng(0)
    X = np.column_stack([np.ones(200), random.normal(size=(200, 2))])
    y = np.exp(X @ [1.0, 0.3, -0.2]) + random.random(200)
    if kind == "logit":
        results = sm.GLM((y > np.median(y)).astype(float), X, family=sm.families.Binomial()).fit()
    elif kind in ("identity", "log"):
        family = sm.families.Gaussian() if kind == "identity" else sm.families.Poisson()
        results = sm.GLM(y, X, family=family).fit()
    else:
        results = getattr(sm, kind)(y, X).fit()
    session = OnnxEngine(to_onnx(results, n_features=3, task="regression"), 3, classifies=False)
    fresh = random.normal(size=(50, 3)) * 3
    np.testing.assert_allclose(session.ask(fresh), results.predict(fresh), rtol=1e-12, atol=1e-15)
