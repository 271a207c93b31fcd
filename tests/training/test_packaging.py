"""From a user's pipeline to a package: the fastest way that a search cannot tell from the original."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.checks.searching import Budget, search
from headrace.core.clock import SystemClock
from headrace.core.errors import GateFailed, InvalidInput, UserCodeError
from headrace.core.project import Task
from headrace.training.archives import pack_files, unpack_files
from headrace.training.original import Original
from headrace.training.package import PackageScorer, load_scorer
from headrace.training.packaging import Packaged, asked_raw, asker, make_package
from tests.training.pipelines import SPECS, cars, fitted, frame, inputs, material, prepare

QUICK = Budget(n_rows=3_000)


def packaged(model: Any, task: Task = "regression", **changes: Any) -> tuple[Packaged, PackageScorer, Any]:
    made = material(task, **changes)
    n_classes = len(made.info.classes)
    original = Original(model, task, n_classes, Path("/p"), "project.py:1", made.info.classes)
    raw = asked_raw(model, made.encoding, made.columns)
    ask = asker(original, model, made.encoding, raw=raw)
    found = make_package(model, ask, made, SystemClock(), raw=raw, budget=QUICK)
    return found, load_scorer(found.package), ask


def rows_of(columns: dict[str, Any]) -> list[list[Any]]:
    return [list(row) for row in zip(*(columns[spec.name].tolist() for spec in SPECS), strict=True)]


def boosting(task: Task) -> Any:
    from sklearn import ensemble

    name = f"GradientBoosting{'Classifier' if task == 'classification' else 'Regressor'}"
    return getattr(ensemble, name)(n_estimators=20, random_state=0)


def lightgbm(task: Task) -> Any:
    import lightgbm

    name = f"LGBM{'Classifier' if task == 'classification' else 'Regressor'}"
    return getattr(lightgbm, name)(n_estimators=20, n_jobs=1, verbose=-1)


def linear(task: Task) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    return LogisticRegression(max_iter=2000) if task == "classification" else Ridge()


@pytest.mark.requirement("GAT-03")
@pytest.mark.requirement("DEP-09")
@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("make", [boosting, lightgbm, linear])
def test_a_pipeline_over_raw_columns_is_compiled_and_answers_as_it_did(make: Any, task: Task) -> None:
    model = fitted(make(task), task=task)
    found, scorer, _ = packaged(model, task)
    assert set(unpack_files(found.package, "")) == {
        "package.json", "encoding.json", "plan.json", "model.onnx",
    }  # fmt: skip
    assert found.passed_over == []
    assert found.search.found.outcome == "passed"
    assert found.search.found.max_difference is not None
    assert found.search.found.max_difference < 1e-9
    assert found.search.n_rows["training"] == 400
    assert found.search.n_rows["bisection"] > 0
    assert (found.search.n_rows["thresholds"] > 0) == (make is not linear)
    fresh = cars(60, seed=9)
    name = "predict" if task == "regression" else "probability"
    expected = model.predict(frame(fresh)) if task == "regression" else model.predict_proba(frame(fresh))
    np.testing.assert_allclose(scorer.score(inputs(fresh))[name], expected, rtol=1e-12, atol=1e-14)
    by_row = [scorer.score_row(row)[name] for row in rows_of(fresh)]
    np.testing.assert_allclose(by_row, expected, rtol=1e-12, atol=1e-14)


def narrowed(model: Any) -> Any:
    """The whole pipeline as one graph in float32, scaler and all: what a converter makes by itself."""
    import onnxruntime
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    width = model.n_features_in_
    graph = convert_sklearn(model, initial_types=[("X", FloatTensorType([None, width]))], target_opset=18)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda X: session.run(None, {"X": X.astype(np.float32)})[0].ravel().astype(np.float64)


@pytest.mark.requirement("GAT-03")
def test_the_search_finds_the_rows_that_a_float32_graph_gets_wrong_and_ours_passes() -> None:
    """A scaler in float32 before trees: a sample shows the fault on a few of 20,000 rows, or on none."""
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from headrace.core.project import Column
    from headrace.data.encoding import Encoding

    random = np.random.default_rng(0)
    names = [f"x{i}" for i in range(6)]
    specs = [Column(name=name, role="numeric") for name in names]
    columns = {name: random.normal(size=1_500) * 10.0**i + 3.0**i for i, name in enumerate(names)}
    table = np.array(list(columns.values())).T
    y = columns["x0"] + np.sin(columns["x1"] / 5) * 3 + columns["x5"] / 1e5
    model = make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=40, random_state=0))
    model.fit(table, y)
    graph = narrowed(model)

    def asked(predict: Any, rows: Any) -> Any:
        X = np.array([rows[name] for name in names]).T
        if np.isnan(X).any():
            raise UserCodeError("a value is missing")
        return {"predict": predict(X)}

    def original(rows: Any) -> Any:
        return asked(model.predict, rows)

    def faulty(rows: Any) -> Any:
        return asked(graph, rows)

    sampled = np.abs(faulty(columns)["predict"] - original(columns)["predict"])
    assert (sampled / np.std(y) > 1e-3).mean() < 2e-3, "the training sample hardly shows it"
    found = search(original, faulty, columns, specs, 1e-3, clock=SystemClock(), budget=QUICK)
    assert found.found.outcome == "failed"
    assert found.worst is not None
    worst = {name: np.array([value]) for name, value in found.worst.items()}
    gap = abs(original(worst)["predict"][0] - faulty(worst)["predict"][0])
    assert gap / np.std(y) > 1e-3, "the input that is shown shows it"

    encoding = Encoding.fit(columns, specs)
    ours = material(encoding=encoding, columns=columns, specs=specs)
    made = make_package(
        model,
        lambda rows: asked(
            model.predict, dict(zip(names, encoding.encode(rows).astype(np.float64).T, strict=True))
        ),
        ours,
        SystemClock(),
        raw=False,
        budget=QUICK,
    )
    assert load_scorer(made.package).info.engine == "onnx"
    assert made.search.found.outcome == "passed"
    assert made.search.found.max_difference is not None
    assert made.search.found.max_difference < 1e-12
    assert made.search.n_rows["thresholds"] > 1_000


@pytest.mark.requirement("DEP-09")
@pytest.mark.parametrize("kind", ["histogram", "nearest"])
def test_an_estimator_that_does_not_convert_answers_by_itself_behind_the_same_preparation(kind: str) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tests.training.test_compiling import numbers_only

    if kind == "histogram":
        model = fitted(HistGradientBoostingRegressor(max_iter=10))
    else:
        # Its graph in float32 parts the rows elsewhere: the search tells, and the graph is left.
        before = numbers_only(make_pipeline(SimpleImputer(), StandardScaler()))
        model = fitted(KNeighborsRegressor(1), before=before)
    found, scorer, _ = packaged(model)
    assert scorer.info.engine == "native"
    assert len(found.passed_over) == 1
    assert ("cannot be converted" if kind == "histogram" else "onnx differs: ") in found.passed_over[0]
    assert found.search.found.outcome == "passed"
    fresh = cars(20, seed=9)
    expected = model.predict(frame(fresh))
    np.testing.assert_allclose(scorer.score(inputs(fresh))["predict"], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose([scorer.score_row(row)["predict"] for row in rows_of(fresh)], expected)


def test_a_kept_estimator_that_is_damaged_or_exchanged_is_not_loaded(tmp_path: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    files = unpack_files(packaged(fitted(HistGradientBoostingRegressor(max_iter=3)))[0].package, "")
    marker = tmp_path / "ran"
    bomb = f"cposix\nsystem\n(Vtouch {marker}\ntR.".encode()
    for content in (bomb, files["model.pkl"][:-100], b""):
        with pytest.raises((GateFailed, InvalidInput), match=r"model\.pkl"):
            load_scorer(pack_files(files | {"model.pkl": content}))
    assert not marker.exists()
    with pytest.raises(InvalidInput, match=r"has no model\.pkl"):
        load_scorer(pack_files({name: data for name, data in files.items() if name != "model.pkl"}))


def test_a_pipeline_that_cannot_be_read_answers_untouched_in_a_process_of_its_own() -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PowerTransformer

    from tests.training.test_compiling import numbers_only

    model = fitted(Ridge(), before=numbers_only(make_pipeline(SimpleImputer(), PowerTransformer())))
    found, scorer, _ = packaged(model)
    try:
        assert (scorer.info.engine, scorer.inline) == ("untouched", False)
        assert found.passed_over == ["sklearn.Pipeline cannot be read: PowerTransformer has no form as data"]
        fresh = cars(10, seed=9)
        expected = model.predict(frame(fresh))
        np.testing.assert_array_equal(scorer.score(inputs(fresh))["predict"], expected)
        assert [scorer.score_row(row)["predict"] for row in rows_of(fresh)] == expected.tolist()
        with pytest.raises(InvalidInput, match="'size' got 'big'"):
            scorer.score_row(["big", 1.0, 1.0, "gas", True])
    finally:
        scorer.close()


def test_what_was_not_kept_is_said_and_code_of_ones_own_is_refused() -> None:
    from tests.training.test_compiling import Last

    with pytest.raises(InvalidInput, match="cannot be kept as it is.*is not trusted"):
        packaged(fitted(Last()))


@pytest.mark.parametrize("engine", ["onnx", "untouched"])
def test_empty_text_is_a_gap_to_new_packages_and_what_it_was_to_those_of_before(engine: str) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PowerTransformer

    unreadable = make_pipeline(prepare(), PowerTransformer(standardize=False))
    model = fitted(linear("regression"), before=unreadable if engine == "untouched" else None)
    new = material().encoding
    old = replace(new, inputs=tuple(replace(column, empty_is_null=False) for column in new.inputs))
    row = rows_of(cars(1))[0]

    def asked(scorer: PackageScorer, fuel: str | None) -> tuple[float, float]:
        given = [*row[:3], fuel, row[4]]
        columns = {spec.name: np.array([value]) for spec, value in zip(SPECS, given, strict=True)}
        columns["fuel"] = np.array([fuel], dtype=object)
        return scorer.score_row(given)["predict"], scorer.score(columns)["predict"][0]

    for encoding, meant in ((new, None), (old, "never seen")):
        scorer = packaged(model, encoding=encoding)[1]
        try:
            assert scorer.info.engine == engine
            assert asked(scorer, None) != asked(scorer, "never seen")
            assert asked(scorer, "") == asked(scorer, meant)
        finally:
            scorer.close()


def test_a_pipeline_over_encoded_features_is_compiled_too() -> None:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = material()
    X = made.encoding.encode(made.columns)
    model = make_pipeline(SimpleImputer(), StandardScaler(), RandomForestRegressor(10, random_state=0))
    model.fit(X, cars()["y"])
    found, scorer, _ = packaged(model)
    assert (scorer.info.engine, scorer.info.takes) == ("onnx", "features")
    assert found.search.found.max_difference == pytest.approx(0, abs=1e-12)
    expected = model.predict(X.astype(np.float64))
    np.testing.assert_allclose(scorer.score(made.columns)["predict"], expected, rtol=1e-13)
    np.testing.assert_allclose([scorer.score_row(row)["predict"] for row in rows_of(cars())], expected)


@pytest.mark.requirement("GAT-03")
def test_a_plan_that_was_changed_is_told_from_the_original() -> None:
    found, scorer, ask = packaged(fitted(boosting("regression")))
    files = unpack_files(found.package, "")
    plan = json.loads(files["plan.json"])
    (scaled,) = [n for n in plan["inputs"][1]["numbers"] if n["steps"][-1][0] == "affine"]
    scaled["steps"][-1][1] += 0.6
    other = load_scorer(pack_files(files | {"plan.json": json.dumps(plan).encode()}))
    made = material()
    arguments: dict[str, Any] = {"clock": SystemClock(), "budget": QUICK}
    hunted = search(ask, other.score, made.columns, SPECS, 1e-3, **arguments)
    assert hunted.found.outcome == "failed"
    same = search(ask, scorer.score, made.columns, SPECS, 1e-3, **arguments)
    assert same.found.outcome == "passed"
    assert same.n_rows == replace(hunted, n_rows=same.n_rows).n_rows
