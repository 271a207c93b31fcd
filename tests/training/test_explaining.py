"""What each raw column contributed: held against a brute force over all subsets, and against shap."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from math import factorial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from headrace.checks.loading import pickled
from headrace.core.errors import InternalError, InvalidInput
from headrace.core.project import Column, Task
from headrace.core.record import Condition
from headrace.data.encoding import Encoding
from headrace.data.frames import take
from headrace.training.compiling import compile_pipeline
from headrace.training.convert import to_onnx
from headrace.training.explaining import Explainer
from headrace.training.package import PackageInfo, PackageScorer, build_package, load_scorer
from tests.training.pipelines import KINDS, SPECS, cars, fitted, frame, inputs

NAMES = [name for name, _ in KINDS]
FEW = 7


class Case(NamedTuple):
    """A package, and what its original says before the link, ``(n_rows,)`` or ``(n_rows, n_classes)``."""

    package: bytes
    scorer: PackageScorer
    margin: Callable[[Any], Any]


def _case(estimator: Any, margin: str, task: Task = "regression", labels: Any = None) -> Case:
    rows = cars()
    if labels is not None:
        rows = {**rows, "y": labels(rows["y"])}
    model = fitted(estimator, rows=rows, task="regression" if labels else task)
    classes = tuple(np.unique(labels(cars()["y"]))) if labels else (0.0, 1.0) if task != "regression" else ()
    info = PackageInfo(
        project="cars", variant="v", task=task, target="y", classes=tuple(map(float, classes)), takes="raw"
    )
    compiled = compile_pipeline(model, KINDS)
    graph = to_onnx(compiled.estimator, n_features=compiled.plan["width"], task=task)
    package = build_package(info, Encoding.fit(rows, SPECS), graph, plan=compiled.plan)
    last = model[-1]
    raw = {"raw_score": True} if margin == "raw_score" else {}
    ask = getattr(last, "predict" if raw else margin)
    return Case(package, load_scorer(package), lambda given: ask(model[:-1].transform(frame(given)), **raw))


def _thirds(y: Any) -> Any:
    return np.digitize(y, np.quantile(y, [0.4, 0.7]))


@cache
def case(name: str) -> Case:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from sklearn import ensemble
    from sklearn.linear_model import LogisticRegression, Ridge

    quick: dict[str, Any] = {"n_estimators": 12, "num_leaves": 8, "n_jobs": 1, "verbose": -1}
    few: dict[str, Any] = {"n_estimators": 6, "max_depth": 5, "random_state": 0}
    match name:
        case "lightgbm":
            return _case(LGBMRegressor(**quick), "predict")
        case "lightgbm classes":
            return _case(LGBMClassifier(**quick), "raw_score", "classification", _thirds)
        case "boosting":
            return _case(
                ensemble.GradientBoostingClassifier(n_estimators=12, random_state=0),
                "decision_function", "classification",
            )  # fmt: skip
        case "forest":
            return _case(ensemble.RandomForestClassifier(**few), "predict_proba", "classification")
        case "forest of numbers":
            return _case(ensemble.ExtraTreesRegressor(**few), "predict")
        case "ridge":
            return _case(Ridge(), "predict")
        case "logistic":
            return _case(LogisticRegression(max_iter=2000), "decision_function", "classification")
    raise AssertionError(name)


EXACT = (
    "lightgbm", "lightgbm classes", "boosting", "forest", "forest of numbers", "ridge", "logistic",
)  # fmt: skip


def brute_force(margin: Callable[[Any], Any], row: Any, background: Any) -> tuple[Any, dict[str, Any]]:
    """Shapley's own formula: base and contributions by asking the original for every set of columns."""

    n = len(background["year"])
    sets = [chosen for size in range(len(NAMES) + 1) for chosen in combinations(NAMES, size)]
    mixed = {
        name: np.concatenate(
            [np.repeat(row[name], n) if name in chosen else background[name] for chosen in sets]
        )
        for name in NAMES
    }
    means = np.asarray(margin(mixed)).reshape(len(sets), n, -1).mean(axis=1)
    worth = {
        frozenset(chosen): mean if mean.size > 1 else mean[0]
        for chosen, mean in zip(sets, means, strict=True)
    }

    found = {}
    for name in NAMES:
        others = [other for other in NAMES if other != name]
        total: Any = 0.0
        for size in range(len(NAMES)):
            weight = factorial(size) * factorial(len(NAMES) - size - 1) / factorial(len(NAMES))
            for chosen in combinations(others, size):
                total = total + weight * (worth[frozenset((*chosen, name))] - worth[frozenset(chosen)])
        found[name] = total
    return worth[frozenset()], found


@pytest.mark.requirement("SRV-09")
@pytest.mark.parametrize("name", EXACT)
def test_contributions_are_shapleys_over_raw_columns(name: str) -> None:
    package, scorer, margin = case(name)
    background = take(inputs(cars()), np.arange(FEW))
    explainer = Explainer(package, scorer, background)
    assert explainer.method == ("linear" if name in ("ridge", "logistic") else "trees")
    rows = inputs(cars(4, seed=9))
    explained = explainer.explain({column: values.tolist() for column, values in rows.items()})
    assert explained.background_rows == FEW
    answers = scorer.score(rows)
    for index, one in enumerate(explained.rows):
        row = take(rows, np.array([index]))
        base, expected = brute_force(margin, row, background)
        if np.ndim(base):
            place = int(answers["probability"][index].argmax()) if len(base) > 2 else 1
            assert one.of == scorer.info.classes[place]
            base, expected = base[place], {column: values[place] for column, values in expected.items()}
        assert one.base == pytest.approx(base, abs=1e-9)
        assert one.contributions == pytest.approx(expected, abs=1e-9)
        assert one.standard_errors is None


NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6))
ROW = st.fixed_dictionaries(
    {
        "size": NUMBERS,
        "year": NUMBERS,
        "doors": st.integers(2, 5).map(float),
        "fuel": st.sampled_from(["petrol", "diesel", "gas", "steam", None]),
        "new": st.booleans(),
    }
)


@pytest.mark.requirement("SRV-09")
@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=25)
@given(row=ROW)
def test_contributions_of_any_row_add_up_to_its_answer(name: str, row: dict[str, Any]) -> None:
    scorer, explainer = case(name).scorer, _explainer(name)
    one = explainer.explain({column: [value] for column, value in row.items()}).rows[0]
    assert one.base + sum(one.contributions.values()) == pytest.approx(one.value, rel=1e-9, abs=1e-9)
    answer = scorer.score_row([row[column] for column in NAMES])
    scale = explainer.scale
    if scale == "output":
        assert one.value == pytest.approx(answer["predict"], rel=1e-9, abs=1e-9)
    elif scale == "probability":
        assert one.value == pytest.approx(answer["probability"][1], abs=1e-9)
    elif len(answer["probability"]) == 2:
        assert expit(one.value) == pytest.approx(answer["probability"][1], abs=1e-9)


TREES = tuple(name for name in EXACT if name not in ("ridge", "logistic"))


def _inside(one: Condition, row: dict[str, Any], random: np.random.Generator) -> Any:
    """Another value that meets the condition."""
    if one.missing:
        return None
    if one.among is not None:
        return random.choice(np.array(one.among, dtype=object)) if one.among else row[one.input]
    low = -1e9 if one.above is None else np.nextafter(one.above, np.inf)
    high = 1e9 if one.at_most is None else one.at_most
    return float(random.choice([low, high, random.uniform(low, high)]))


@pytest.mark.requirement("TRC-10")
@pytest.mark.parametrize("name", TREES)
@settings(max_examples=25)
@given(row=ROW, seed=st.integers(0, 2**32 - 1))
def test_every_row_that_meets_the_conditions_of_the_path_has_the_same_answer(
    name: str, row: dict[str, Any], seed: int
) -> None:
    scorer, explainer = case(name).scorer, _explainer(name)
    random = np.random.default_rng(seed)
    path = _path(explainer, row)
    others = {column: AT_RANDOM[column](random) for column in NAMES}
    moved = others | {one.input: _inside(one, row, random) for one in path}
    expected, answered = (scorer.score_row([cells[column] for column in NAMES]) for cells in (row, moved))
    assert answered == expected
    assert _path(explainer, moved) == path
    for one in path:
        for value in _just_outside(one):
            assert _path(explainer, row | {one.input: value}) != path, "a limit is wider than it need be"


AT_RANDOM: dict[str, Callable[[np.random.Generator], Any]] = {
    "size": lambda random: random.normal() * 1e3,
    "year": lambda random: float(random.integers(1980, 2030)),
    "doors": lambda random: float(random.integers(2, 6)),
    "fuel": lambda random: random.choice(["petrol", "diesel", "gas"]),
    "new": lambda random: bool(random.integers(0, 2)),
}


def _path(explainer: Explainer, row: dict[str, Any]) -> list[Condition]:
    path = explainer.explain({column: [value] for column, value in row.items()}).rows[0].path
    assert path is not None
    return path


def _just_outside(one: Condition) -> list[float]:
    beyond = None if one.at_most is None else float(np.nextafter(one.at_most, np.inf))
    return [value for value in (one.above, beyond) if value is not None]


@pytest.mark.requirement("TRC-10")
def test_of_a_model_without_trees_there_is_no_path_and_of_a_class_there_is_confidence() -> None:
    row = {column: values.tolist() for column, values in inputs(cars(1, seed=5)).items()}
    assert _explainer("ridge").explain(row).rows[0].path is None
    assert _explainer("ridge").explain(row).rows[0].confidence is None
    one = _explainer("lightgbm classes").explain(row).rows[0]
    answer = case("lightgbm classes").scorer.score_row([row[column][0] for column in NAMES])
    assert one.confidence == pytest.approx(max(answer["probability"]))


@cache
def _explainer(name: str) -> Explainer:
    package, scorer, _ = case(name)
    return Explainer(package, scorer, inputs(cars(20, seed=3)))


def test_the_scale_is_said() -> None:
    found = {name: _explainer(name).scale for name in EXACT}
    assert found == {
        "lightgbm": "output",
        "lightgbm classes": "log_odds",
        "boosting": "log_odds",
        "forest": "probability",
        "forest of numbers": "output",
        "ridge": "output",
        "logistic": "log_odds",
    }


def test_a_column_that_the_model_does_not_look_at_contributes_nothing() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    rows = cars()
    only = ColumnTransformer([("kept", "passthrough", ["year", "new"])])
    model = make_pipeline(only, Ridge()).fit(frame(rows), rows["y"])
    compiled = compile_pipeline(model, KINDS)
    info = PackageInfo(project="cars", variant="v", task="regression", target="y", takes="raw")
    graph = to_onnx(compiled.estimator, n_features=2, task="regression")
    package = build_package(info, Encoding.fit(rows, SPECS), graph, plan=compiled.plan)
    one = Explainer(package, load_scorer(package), inputs(rows)).explain(inputs(cars(1, seed=5))).rows[0]
    assert one.contributions["size"] == one.contributions["fuel"] == 0.0
    assert one.contributions["year"] != 0.0


def neighbours() -> Any:
    """An estimator that is neither trees nor linear, behind the preparation."""
    from sklearn.neighbors import KNeighborsRegressor

    return fitted(KNeighborsRegressor(3))


@cache
def native() -> tuple[bytes, PackageScorer]:
    compiled = compile_pipeline(neighbours(), KINDS)
    info = PackageInfo(
        project="cars", variant="v", task="regression", target="y", takes="raw", engine="native"
    )
    kept = pickled(compiled.estimator, "It")
    package = build_package(info, Encoding.fit(cars(), SPECS), kept, plan=compiled.plan)
    return package, load_scorer(package)


def test_anything_else_is_asked_for_every_set_of_columns() -> None:
    package, scorer = native()
    background = take(inputs(cars()), np.arange(FEW))
    explainer = Explainer(package, scorer, background)
    assert (explainer.method, explainer.scale) == ("all_subsets", "output")
    row = inputs(cars(1, seed=4))
    (one,) = explainer.explain(row).rows
    base, expected = brute_force(lambda given: scorer.score(given)["predict"], row, background)
    assert one.base == pytest.approx(base)
    assert one.contributions == pytest.approx(expected, abs=1e-9)
    assert one.value == pytest.approx(scorer.score(row)["predict"][0])


def test_many_columns_are_sampled_with_errors_that_cover() -> None:
    """Of 24 columns every contribution is known beforehand: products of neighbouring columns."""
    names = [f"x{index:02}" for index in range(24)]

    class Products(_Asked):
        def answers(self, X: Any) -> Any:
            return (X[:, ::2] * X[:, 1::2]).sum(axis=1)

    random = np.random.default_rng(1)
    table = {name: random.normal(size=30) for name in names}
    model = Products(names)
    covered, row_of = 0, {name: random.normal(size=3) for name in names}
    explainer = Explainer(b"", model, table)  # type: ignore[arg-type]
    assert explainer.method == "sampled"
    explained = explainer.explain(row_of)
    for index, one in enumerate(explained.rows):
        assert one.base + sum(one.contributions.values()) == pytest.approx(one.value)
        assert one.standard_errors is not None
        for left, right in zip(names[::2], names[1::2], strict=True):
            a, b = row_of[left][index], row_of[right][index]
            za, zb = table[left], table[right]
            exact = ((a - za) * zb / 2 + (a - za) * b / 2).mean()
            error = one.standard_errors[left]
            covered += abs(one.contributions[left] - exact) <= 4 * error + 1e-9
    assert covered >= 34, "of 36"
    assert explainer.explain(row_of) == explained, "the same question gets the same answer"


class _Asked:
    """A scorer of numbers without a package."""

    def __init__(self, names: list[str]) -> None:
        self.info = PackageInfo(project="p", variant="v", task="regression", target="y", engine="untouched")
        rows = {name: np.zeros(1) for name in names}
        self.encoding = Encoding.fit(rows, [Column(name=name, role="numeric") for name in names])
        self.prepared, self.classes, self.inline = None, None, True

    def answers(self, X: Any) -> Any:
        raise NotImplementedError

    def score(self, columns: Any) -> dict[str, Any]:
        return {"predict": self.answers(np.column_stack([columns[n] for n in self.encoding.columns]))}


def test_what_does_not_add_up_is_not_given() -> None:
    package, _, _ = case("ridge")
    explainer = Explainer(package, case("lightgbm").scorer, inputs(cars(20)))
    with pytest.raises(InternalError, match="explain nothing"):
        explainer.explain(inputs(cars(1, seed=4)))


def test_what_cannot_be_explained_is_refused() -> None:
    package, scorer, _ = case("ridge")
    with pytest.raises(InvalidInput, match="No training row is left"):
        Explainer(package, scorer, {name: values[:0] for name, values in inputs(cars()).items()})
    row = inputs(cars(1))
    del row["fuel"]
    with pytest.raises(InvalidInput, match="Column 'fuel' is missing"):
        _explainer("ridge").explain(row)
    with pytest.raises(InvalidInput, match="'size' holds something else than numbers"):
        _explainer("ridge").explain({**inputs(cars(1)), "size": ["big"]})


@pytest.mark.requirement("SRV-09")
@pytest.mark.parametrize("kind", ["regression", "binary", "classes"])
def test_trees_of_numbers_are_explained_as_shap_explains_them(kind: str) -> None:
    shap = pytest.importorskip("shap", reason="shap is the oracle, and no dependency")
    from lightgbm import LGBMClassifier, LGBMRegressor

    random = np.random.default_rng(2)
    names = [f"x{index}" for index in range(6)]
    table = {name: random.normal(size=300) for name in names}
    X = np.column_stack(list(table.values()))
    y = X[:, 0] * X[:, 1] + np.sin(X[:, 2]) + (X[:, 3] > 0)
    task: Task = "regression" if kind == "regression" else "classification"
    quick: dict[str, Any] = {"n_estimators": 15, "num_leaves": 12, "n_jobs": 1, "verbose": -1}
    labels = np.digitize(y, np.quantile(y, [0.5] if kind == "binary" else [0.3, 0.6]))
    model = (
        LGBMRegressor(**quick).fit(X, y) if task == "regression" else LGBMClassifier(**quick).fit(X, labels)
    )
    classes = () if task == "regression" else tuple(float(one) for one in model.classes_)
    encoding = Encoding.fit(table, [Column(name=name, role="numeric") for name in names])
    info = PackageInfo(project="p", variant="v", task=task, target="y", classes=classes, takes="raw")
    compiled = compile_pipeline(model, [(name, "number") for name in names])
    graph = to_onnx(compiled.estimator, n_features=len(names), task=task)
    package = build_package(info, encoding, graph, plan=compiled.plan)
    scorer = load_scorer(package)
    explainer = Explainer(package, scorer, table)
    n_background = explainer.background_rows
    oracle = shap.TreeExplainer(model, X[:n_background], feature_perturbation="interventional")
    rows = {name: random.normal(size=5) for name in names}
    theirs = np.asarray(oracle.shap_values(np.column_stack(list(rows.values())), check_additivity=False))
    for index, one in enumerate(explainer.explain(rows).rows):
        expected = theirs[index]
        if expected.ndim == 2:
            place = int(scorer.score(rows)["probability"][index].argmax()) if kind == "classes" else -1
            expected = expected[:, place]
        np.testing.assert_allclose(list(one.contributions.values()), expected, atol=1e-6)
