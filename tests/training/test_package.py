from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.core.project import Column, Task
from headrace.data.encoding import Encoding
from headrace.data.history import History, feature_columns
from headrace.testing.suites.scorer import ScorerSuite
from headrace.training.archives import pack_files, unpack_files
from headrace.training.baselines import ColumnModel
from headrace.training.package import InputSpec, PackageInfo, PackageScorer, build_package, load_scorer
from tests.training.examples import packed, series, table

SPECS = [
    Column(name="size", role="numeric"),
    Column(name="year", role="numeric"),
    Column(name="fuel", role="categorical"),
]
LABELS: dict[str, tuple[Any, ...]] = {
    "text": ("cheap", "fair", "dear"),
    "numbers": (1.0, 2.0, 3.0),
    "booleans": (False, True),
}


def _info(task: Task = "regression", **changes: Any) -> PackageInfo:
    return PackageInfo(project="cars", variant="lightgbm", task=task, target="y", **changes)


@cache
def _package(labels: str = "") -> bytes:
    from lightgbm import LGBMClassifier, LGBMRegressor

    columns = table(200)
    encoding = Encoding.fit(columns, SPECS)
    X = encoding.encode(columns)
    params: dict[str, Any] = {"n_estimators": 10, "n_jobs": 1, "verbose": -1, "min_child_samples": 5}
    if not labels:
        model = LGBMRegressor(**params).fit(X, columns["y"])
        return packed(_info(), encoding, model)
    classes = LABELS[labels]
    y = np.digitize(columns["y"], np.quantile(columns["y"], [0.4, 0.7][: len(classes) - 1]))
    model = LGBMClassifier(**params).fit(X, y)
    return packed(_info("classification", classes=classes), encoding, model)


def _rows(columns: dict[str, Any]) -> list[list[Any]]:
    return [list(row) for row in zip(*(columns[spec.name].tolist() for spec in SPECS), strict=True)]


def test_numbers_are_answered_by_table_and_by_row_alike() -> None:
    scorer = load_scorer(_package())
    columns = table(50, seed=9)
    answer = scorer.score(columns)
    assert set(answer) == set(scorer.outputs) == {"predict"}
    assert answer["predict"].dtype == np.float64
    assert answer["predict"].shape == (50,)
    assert [scorer.score_row(row)["predict"] for row in _rows(columns)] == answer["predict"].tolist()
    assert scorer.inputs == (
        InputSpec("size", "number", True),
        InputSpec("year", "number", True),
        InputSpec("fuel", "text", True),
    )
    assert (scorer.task, scorer.classes) == ("regression", None)


@pytest.mark.parametrize("labels", LABELS)
def test_labels_keep_their_type(labels: str) -> None:
    scorer = load_scorer(_package(labels))
    classes = LABELS[labels]
    columns = table(50, seed=9)
    answer = scorer.score(columns)
    assert scorer.classes == classes
    assert scorer.outputs == ("predict", "probability")
    assert answer["probability"].shape == (50, len(classes))
    np.testing.assert_allclose(answer["probability"].sum(axis=1), 1, atol=1e-6)
    assert set(answer["predict"].tolist()) <= set(classes)
    assert answer["predict"].dtype.kind == {"text": "O", "numbers": "f", "booleans": "b"}[labels]
    for index, row in enumerate(_rows(columns)):
        one = scorer.score_row(row)
        assert one["predict"] == answer["predict"][index]
        assert type(one["predict"]) is type(classes[0])
        # A vectorised exponential may differ in the last bit from that of a single number.
        np.testing.assert_allclose(one["probability"], answer["probability"][index], rtol=1e-13)


def _rebuilt(package: bytes) -> bytes:
    files, scorer = unpack_files(package, ""), load_scorer(package)
    plan = json.loads(files["plan.json"])
    return build_package(scorer.info, scorer.encoding, files["model.onnx"], plan=plan)


VALUES = st.tuples(
    st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-100, 100)),
    st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
    st.one_of(st.none(), st.sampled_from(["petrol", "diesel", " hybrid", "steam", ""])),
)


@settings(max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_any_rows_get_the_same_answer_by_row_by_table_and_after_a_round_trip(rows: list[Any]) -> None:
    for labels in ("", "text"):
        package = _package(labels)
        scorer = load_scorer(package)
        again = load_scorer(_rebuilt(package))
        columns = {
            "size": np.array([np.nan if r[0] is None else r[0] for r in rows], dtype=np.float64),
            "year": np.array([np.nan if r[1] is None else r[1] for r in rows], dtype=np.float64),
            "fuel": np.array([r[2] for r in rows], dtype=object),
        }
        by_table = scorer.score(columns)
        assert {k: v.tolist() for k, v in again.score(columns).items()} == {
            k: v.tolist() for k, v in by_table.items()
        }
        for index, row in enumerate(rows):
            for name, value in scorer.score_row(row).items():
                if name == "probability":
                    np.testing.assert_allclose(value, by_table[name][index], rtol=1e-13)
                else:
                    assert np.asarray(value).tolist() == np.asarray(by_table[name][index]).tolist()


def test_rows_and_columns_that_do_not_fit_are_named() -> None:
    scorer = load_scorer(_package())
    with pytest.raises(InvalidInput, match="'fuel' is missing"):
        scorer.score({"size": np.zeros(1), "year": np.zeros(1)})
    with pytest.raises(InvalidInput, match="'year' got 'new'"):
        scorer.score_row([1.0, "new", "petrol"])
    with pytest.raises(InvalidInput, match="2 values"):
        scorer.score_row([1.0, 2.0])


@pytest.mark.requirement("TRN-02")
def test_equal_parts_give_equal_bytes() -> None:
    assert _rebuilt(_package()) == _package()


@pytest.mark.parametrize("name", ["package.json", "encoding.json", "plan.json", "model.onnx"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 99}', b"\xff\x00"])
def test_damaged_parts_are_refused(name: str, content: bytes) -> None:
    files = {**unpack_files(_package(), ""), name: content}
    with pytest.raises(InvalidInput, match=r"The package|An encoding"):
        load_scorer(pack_files(files))


@pytest.mark.parametrize("name", ["package.json", "encoding.json", "plan.json", "model.onnx"])
def test_missing_parts_are_named(name: str) -> None:
    files = unpack_files(_package(), "")
    del files[name]
    with pytest.raises(InvalidInput, match=f"has no {name}"):
        load_scorer(pack_files(files))


@settings(max_examples=60)
@given(st.data())
def test_cut_or_damaged_bytes_never_answer_otherwise(data: st.DataObject) -> None:
    package = _package("text")
    at = data.draw(st.integers(0, len(package) - 1))
    damaged = package[:at]
    if data.draw(st.booleans()):
        damaged += bytes([package[at] ^ data.draw(st.integers(1, 255))]) + package[at + 1 :]
    columns = table(20, seed=5)
    try:
        answer = load_scorer(damaged).score(columns)
    except InvalidInput:
        return
    wanted = load_scorer(package).score(columns)
    assert answer["probability"].tolist() == wanted["probability"].tolist()


def test_a_model_of_other_inputs_is_refused() -> None:
    files = unpack_files(_package(), "")
    encoding = json.loads(files["encoding.json"])
    encoding["columns"].pop()
    files["encoding.json"] = json.dumps(encoding).encode()
    with pytest.raises(InvalidInput, match="plan prepares .*, but its encoding has"):
        load_scorer(pack_files(files))


def test_a_model_that_refuses_gaps_keeps_refusing_them() -> None:
    columns = table(60)
    encoding = Encoding.fit(columns, SPECS)
    from sklearn.linear_model import Ridge

    filled = np.nan_to_num(encoding.encode(columns))
    scorer = load_scorer(packed(_info(), encoding, Ridge().fit(filled, columns["y"])))
    with pytest.raises(InvalidInput, match="'size' holds a missing value, which this model refuses"):
        scorer.score(columns)
    with pytest.raises(InvalidInput, match="'year' holds a missing value"):
        scorer.score_row([1.0, None, "petrol"])
    assert np.isfinite(scorer.score_row([1.0, 2015.0, None])["predict"])


def _forecasting() -> bytes:
    known = series(30)
    history = History(known["date"], known["y"])
    columns = history.features(known["date"], (7, 14), 7)
    encoding = Encoding.fit(columns, list(feature_columns((7, 14))))
    model = ColumnModel(encoding.columns.index("lag_7")).fit(encoding.encode(columns), known["y"])
    info = _info("forecasting", time="date", lags_days=(7, 14), horizon_days=7)
    return packed(info, encoding, model, history)


def _forecaster() -> PackageScorer:
    return load_scorer(_forecasting())


def _days(*texts: str) -> np.ndarray[Any, Any]:
    return np.array(texts, dtype="datetime64[us]")


def test_a_forecast_needs_only_the_day() -> None:
    scorer = _forecaster()
    known = series(31)
    completed = scorer.complete({"date": _days("2019-01-31")})
    assert set(completed) == {"date", *scorer.encoding.columns}
    assert completed["lag_7"].tolist() == [known["y"][23]]
    wanted = pytest.approx(known["y"][23], rel=1e-6)
    assert scorer.score({"date": _days("2019-01-31")})["predict"][0] == wanted
    row = [_days("2019-01-31")[0].item(), *[None] * len(scorer.encoding.columns)]
    assert scorer.score_row(row) == {"predict": wanted}
    assert scorer.inputs[0] == InputSpec("date", "time", True)
    assert not any(spec.required for spec in scorer.inputs[1:])


def test_lags_that_are_given_are_used_and_gaps_among_them_filled() -> None:
    scorer = _forecaster()
    completed = scorer.complete(
        {"date": _days("2019-01-31", "2019-01-30"), "lag_7": np.array([5.0, np.nan]), "note": np.zeros(2)}
    )
    assert completed["lag_7"].tolist() == [5.0, series(31)["y"][22]]
    assert scorer.score(completed)["predict"][0] == 5.0


def test_what_is_observed_later_counts() -> None:
    scorer = _forecaster()
    late = _days("2019-03-20")
    with pytest.raises(InvalidInput, match=r"forecast for 2019-03-20 needs .*up to 2019-01-30"):
        scorer.complete({"date": late})
    scorer.observe(_days("2019-03-13"), np.array([77.0]))
    assert scorer.score({"date": late})["predict"].tolist() == [77.0]


def test_a_forecast_without_a_day_is_refused() -> None:
    scorer = _forecaster()
    with pytest.raises(InvalidInput, match="'date' is missing"):
        scorer.complete({"lag_7": np.zeros(1)})
    for bad in (np.array(["soon"], dtype=object), _days("NaT")):
        with pytest.raises(InvalidInput, match="'date' holds something else than times"):
            scorer.complete({"date": bad})


def test_other_tasks_have_nothing_to_complete_or_observe() -> None:
    scorer = load_scorer(_package())
    columns = table(3)
    assert scorer.complete(columns) is columns
    scorer.observe(_days("2020-01-01"), np.array([1.0]))
    assert scorer.history is None


class TestPackageScorer(ScorerSuite):
    """What every loaded model promises."""

    @pytest.fixture(params=["", "text", "numbers", "booleans", "days"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def scorer(self, kind: str) -> PackageScorer:
        return _forecaster() if kind == "days" else load_scorer(_package(kind))

    @pytest.fixture
    def columns(self, kind: str) -> dict[str, Any]:
        if kind == "days":
            return {"date": _days("2019-01-31", "2019-02-01", "2019-02-03")}
        return table(20, seed=6)


def test_loading_needs_neither_the_trainers_nor_their_libraries() -> None:
    import subprocess
    import sys

    program = (
        "import sys, headrace.training.package as p; p.load_scorer(sys.stdin.buffer.read());"
        "heavy = {'sklearn', 'lightgbm', 'onnx', 'scipy', 'pandas', 'skl2onnx', 'sqlalchemy'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=_package(), capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
