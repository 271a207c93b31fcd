from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.checks.quality import DataResult, check_data, good_rows, kept_rows
from headrace.core.canonical import canonical_json
from headrace.core.project import Column, DataGate, DataSpec, Task
from headrace.data.sources import read_file

N = 200
SPEC = DataSpec(
    source="cars.csv",
    target="price",
    time="sold",
    columns=(
        Column(name="km", role="numeric"),
        Column(name="model", role="categorical"),
        Column(name="note", role="ignored"),
    ),
)
GATE = DataGate(min_rows=50, max_null_fraction=0.5)


def words(*values: Any) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def cars(**changed: Any) -> dict[str, NDArray[Any]]:
    table: dict[str, NDArray[Any]] = {
        "km": np.arange(float(N)),
        "model": words(*["A1", "A3", "A4", "Q5"] * (N // 4)),
        "note": words(*[None] * N),
        "sold": (np.datetime64("2020-01-01") + np.arange(N)).astype("datetime64[us]"),
        "price": np.arange(float(N)) * 10,
    }
    return {name: values for name, values in {**table, **changed}.items() if values is not None}


def check(table: Any, spec: DataSpec = SPEC, gate: DataGate = GATE, task: Task = "regression") -> DataResult:
    result = check_data(table, spec, gate, task)
    canonical_json(result.evidence)
    return result


@pytest.mark.requirement("GAT-01")
def test_good_data_passes_with_evidence() -> None:
    result = check(cars())
    assert (result.outcome, result.blocked_segments) == ("passed", ())
    assert result.reason == "200 of 200 rows can be learnt from"
    assert result.evidence["columns"]["km"] == {
        "kind": "number",
        "nulls": 0,
        "infinities": 0,
        "distinct": 200,
        "min": 0.0,
        "max": 199.0,
        "mean": 99.5,
        "null_fraction": 0.0,
    }
    assert result.evidence["columns"]["sold"]["min"] == "2020-01-01T00:00:00.000000Z"
    assert result.evidence["limits"]["min_rows"] == 50
    assert result.evidence["sparse_columns"] == ["note"]


def with_gaps(values: NDArray[Any], n: int, gap: Any) -> NDArray[Any]:
    values = values.copy()
    values[:n] = gap
    return values


@pytest.mark.requirement("GAT-01")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"price": None}, "columns are missing: price"),
        ({"km": None, "sold": None}, "columns are missing: km, sold"),
        ({"price": np.full(N, np.nan)}, "'price' is known in no good row"),
        ({"price": np.full(N, 7.0)}, "'price' is '7' in every good row"),
        ({"price": words(*["x", "y"] * 100)}, "holds no numbers, which regression needs"),
        ({"price": with_gaps(np.arange(200.0), 151, np.nan)}, "49 good rows are fewer than 50"),
        ({"price": with_gaps(np.arange(200.0), 151, np.inf)}, "49 good rows are fewer than 50"),
        ({"sold": with_gaps(cars()["sold"], 151, np.datetime64("NaT"))}, "49 good rows are fewer than 50"),
        ({"km": with_gaps(np.arange(200.0), 101, np.nan)}, "input 'km' is null in 50% of the rows"),
        ({"km": with_gaps(np.arange(200.0), 150, np.inf)}, "input 'km' is null in 75% of the rows"),
        (
            {"model": with_gaps(cars()["model"], 150, None)},
            "null in 75% of the rows, more than 50% (gates.data.max_null_fraction): give it 'role: ignored'",
        ),
        ({"km": words(*["far"] * N)}, "'km' is numeric by declaration but holds text"),
    ],
)
def test_bad_data_fails_and_says_why(changed: dict[str, Any], reason: str) -> None:
    result = check(cars(**changed))
    assert result.outcome == "failed"
    assert reason in result.reason


@pytest.mark.requirement("GAT-01")
def test_every_problem_is_named_at_once() -> None:
    result = check(cars(km=np.full(N, np.nan), price=np.full(N, 7.0)))
    assert len(result.evidence["problems"]) == 2


def test_classes_need_two_rows_each() -> None:
    labels = words(*["yes"] * 100 + ["no"] * 99 + ["maybe"])
    assert "classes with a single row: maybe" in check(cars(price=labels), task="classification").reason
    assert check(cars(price=words(*["yes", "no"] * 100)), task="classification").outcome == "passed"


SEGMENTED = replace(GATE, segment="model", min_rows_per_segment=20)


@pytest.mark.requirement("GAT-01")
def test_a_segment_without_enough_good_rows_is_not_trained_on() -> None:
    model = words(*["A1"] * 100 + ["A3"] * 81 + [" R8"] * 19)
    price = with_gaps(np.arange(200.0), 0, 0)
    table = cars(model=model, price=price)
    result = check(table, gate=SEGMENTED)
    assert (result.outcome, result.blocked_segments) == ("passed", ("R8",))
    assert "1 segments have too few good rows and are left out: R8" in result.reason
    assert result.evidence["segments"] == {"R8": 19, "A1": 100, "A3": 81}
    assert result.evidence["n_kept_rows"] == 181
    kept = kept_rows(table, SPEC, SEGMENTED, result.blocked_segments)
    assert kept.tolist() == [name.strip() != "R8" for name in model]


@pytest.mark.requirement("GAT-01")
def test_only_good_rows_count_for_a_segment() -> None:
    model = words(*["A1"] * 100 + ["A3"] * 100)
    price = np.arange(200.0)
    price[110:] = np.nan
    result = check(cars(model=model, price=price), gate=SEGMENTED)
    assert result.blocked_segments == ("A3",)
    assert result.evidence["segments"] == {"A1": 100, "A3": 10}


@pytest.mark.requirement("GAT-01")
def test_nothing_is_trained_when_every_segment_is_blocked() -> None:
    model = words(*[f"m{i % 20}" for i in range(N)])
    result = check(cars(model=model), gate=SEGMENTED)
    assert result.outcome == "failed"
    assert len(result.blocked_segments) == 20
    assert "every segment of 'model' has fewer than 20 good rows" in result.reason


def test_too_few_rows_are_left_after_blocking() -> None:
    model = words(*["A1"] * 40 + [f"m{i}" for i in range(160)])
    result = check(cars(model=model), gate=SEGMENTED)
    assert (result.outcome, result.reason) == ("failed", "40 good rows are fewer than 50")


def test_segments_may_be_numbers_and_rows_without_one_are_left_out() -> None:
    year = np.where(np.arange(N) < 150, 2017.0, 2019.0)
    year[150:185] = np.nan
    gate = replace(GATE, segment="year")
    table = cars(year=year)
    result = check(table, gate=gate)
    assert result.blocked_segments == ("2019.0",)
    assert kept_rows(table, SPEC, gate, result.blocked_segments).sum() == 150


def test_a_missing_segment_column_fails() -> None:
    assert check(cars(), gate=replace(GATE, segment="region")).reason.startswith(
        "columns are missing: region"
    )


def test_a_row_without_any_input_is_not_good() -> None:
    table = cars(km=with_gaps(np.arange(200.0), 2, np.nan), model=with_gaps(cars()["model"], 1, None))
    assert good_rows(table, SPEC).tolist() == [False] + [True] * 199


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=60), st.integers(1, 30))
def test_kept_rows_are_good_and_in_segments_that_are_large_enough(names: list[Any], least: int) -> None:
    n = len(names)
    table: dict[str, NDArray[Any]] = {
        "y": np.where(np.arange(n) % 3 == 0, np.nan, np.arange(n)),
        "s": words(*names),
    }
    spec = DataSpec(source="t.csv", target="y")
    gate = DataGate(min_rows=1, segment="s", min_rows_per_segment=least)
    result = check(table, spec, gate)
    kept = kept_rows(table, spec, gate, result.blocked_segments)
    assert not (kept & ~good_rows(table, spec)).any()
    for name in {v for v in names if v is not None}:
        rows = int((kept & (table["s"] == name)).sum())
        assert rows == 0 or rows >= least
    assert result.evidence["n_kept_rows"] == kept.sum()


@pytest.mark.requirement("GAT-01")
def test_car_models_with_few_cars_are_blocked(shared_data: Path) -> None:
    table = read_file(shared_data / "used_cars_audi.csv")
    spec = DataSpec(source="cars.csv", target="price", columns=(Column(name="year", role="numeric"),))
    result = check(table, spec, DataGate(segment="model", min_rows_per_segment=20))
    assert result.outcome == "passed"
    counts = {name: int((table["model"] == name).sum()) for name in set(table["model"])}
    assert set(result.blocked_segments) == {name for name, count in counts.items() if count < 20}
    assert result.blocked_segments
