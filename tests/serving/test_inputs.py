from __future__ import annotations

from datetime import UTC, datetime
from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.serving.inputs import count_rows, read_columns, read_row, read_time
from headrace.serving.models import LoadedModel, LoadedModels
from headrace.serving.one_row import OneRow
from headrace.testing.clock import FakeClock
from tests.serving.scene import ROW, ROWS, Forecaster, StubModel


def _loaded(model: StubModel | None = None) -> LoadedModel:
    found = model or StubModel()
    return LoadedModels(lambda _: found, FakeClock()).get("r1")


def _without(name: str) -> dict[str, list[Any]]:
    return {key: values for key, values in ROW.items() if key != name}


def test_a_row_comes_in_the_models_order() -> None:
    values = {name: ROW[name] for name in reversed(ROW)}
    row = read_row(_loaded(), values)
    assert row.values == [12.5, "a4", True]
    assert row.columns == ROW


def test_null_is_a_gap_of_any_kind() -> None:
    row = read_row(_loaded(), {"mileage": [None], "model": [None], "leased": [None]})
    assert isnan(row.values[0])
    assert row.values[1:] == [None, None]
    assert row.columns == {"mileage": [None], "model": [None], "leased": [None]}


def test_empty_text_is_a_gap_as_in_a_csv_file() -> None:
    row = read_row(_loaded(), {**ROW, "model": [" "]})
    assert row.values == [12.5, None, True]
    assert row.columns == {**ROW, "model": [None]}
    columns = read_columns(_loaded(), {**ROWS, "model": ["", None, "tt"]}, 3)
    assert columns["model"].tolist() == [None, None, "tt"]


def test_the_quick_way_leaves_empty_text_to_the_one_that_reads_it() -> None:
    one = OneRow("cars", _loaded(), "live")
    body = '{"record": {"mileage": 1.5, "model": %s, "leased": true}}'
    assert one.read("record", (body % "null").encode()) == (1.5, None, True)
    assert one.read("record", (body % '""').encode()) is None


def test_rows_become_columns() -> None:
    columns = read_columns(_loaded(), ROWS, 3)
    np.testing.assert_array_equal(columns["mileage"], [1.0, np.nan, 3.5])
    assert columns["model"].tolist() == ["a3", None, "tt"]
    assert columns["leased"].tolist() == [None, True, False]


def test_flags_without_gaps_stay_flags() -> None:
    assert read_columns(_loaded(), ROW, 1)["leased"].dtype == np.bool_


def test_moments_become_utc() -> None:
    columns = read_columns(
        _loaded(Forecaster()), {"date": ["2020-03-01T01:00:00+01:00", "2020-03-02", None]}, 3
    )
    assert columns["date"].astype(str).tolist() == [
        "2020-03-01T00:00:00.000000",
        "2020-03-02T00:00:00.000000",
        "NaT",
    ]
    assert "lag_7" not in columns


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (_without("mileage"), r"'mileage' is missing .*Expected: mileage, model, leased.*null"),
        ({}, r"'mileage' is missing .3 missing"),
        ({**ROW, "milage": [1.0]}, r"no input 'milage'. Did you mean 'mileage'"),
        ({**ROW, "x" * 500: [1.0]}, r"no input 'xxx.*Expected: leased, mileage, model"),
        ({**ROW, "model": ["a", "b"]}, r"'model' has 2 rows and 'mileage' has 1"),
        ({"mileage": [], "model": [], "leased": []}, r"0 rows"),
    ],
)
def test_columns_that_do_not_fit_are_named(values: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        count_rows(_loaded(), values)


BAD_VALUES: list[tuple[str, Any, str]] = [
    ("mileage", "12", r"'mileage', row 0: got '12'. Expected a finite number or null"),
    ("mileage", True, r"'mileage', row 0: got true. Expected a finite number"),
    ("mileage", float("nan"), r"'mileage', row 0: got nan"),
    ("mileage", float("inf"), r"'mileage', row 0: got inf"),
    ("mileage", -float("inf"), r"'mileage', row 0: got -inf"),
    ("mileage", 10**400, r"'mileage', row 0: got 1000"),
    ("mileage", 10**5000, r"'mileage', row 0: got a whole number of more than 4300 digits"),
    ("mileage", [1.0], r"'mileage', row 0: got \[1.0\]"),
    ("mileage", {"a": 1}, r"'mileage', row 0"),
    ("model", 3, r"'model', row 0: got 3. Expected text or null"),
    ("model", 3.5, r"'model', row 0: got 3.5. Expected text"),
    ("model", False, r"'model', row 0: got false. Expected text"),
    ("leased", "yes", r"'leased', row 0: got 'yes'. Expected true, false or null"),
    ("leased", 1, r"'leased', row 0: got 1. Expected true, false"),
]


@pytest.mark.parametrize(
    ("name", "value", "message"), BAD_VALUES, ids=lambda v: str(v)[:20] if v != 10**5000 else "h"
)
def test_values_of_another_type_are_named(name: str, value: Any, message: str) -> None:
    values = {**ROW, name: [value]}
    with pytest.raises(InvalidInput, match=message):
        read_row(_loaded(), values)
    twice = {key: [column[0], column[0]] for key, column in {**ROW, name: [value]}.items()}
    with pytest.raises(InvalidInput, match=message):
        read_columns(_loaded(), twice, 2)


@pytest.mark.parametrize("value", ["yesterday", "", 5, True, "2020-13-01", "0001-01-01T00:00:00+14:00"])
def test_other_texts_are_no_moments(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"Input 'date', row 0.*ISO 8601"):
        read_columns(_loaded(Forecaster()), {"date": [value]}, 1)


def test_an_offset_is_converted_and_none_means_utc() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert read_time("2026-01-31T12:00:00", "x") == noon
    assert read_time("2026-01-31T12:00:00Z", "x") == noon
    assert read_time("2026-01-31T20:00:00+08:00", "x") == noon


_ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2)
)


@given(
    st.dictionaries(st.sampled_from(["mileage", "model", "leased", "other"]), st.lists(_ANYTHING, max_size=3))
)
def test_whatever_comes_is_read_or_refused_by_name(values: dict[str, list[Any]]) -> None:
    loaded = _loaded()
    try:
        n_rows = count_rows(loaded, values)
        columns = read_columns(loaded, values, n_rows)
    except InvalidInput:
        return
    assert set(columns) == {"mileage", "model", "leased"}
    assert all(len(column) == n_rows for column in columns.values())
    assert not np.isinf(columns["mileage"]).any()


@given(
    mileage=st.one_of(
        st.none(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False)
    ),
    model=st.one_of(st.none(), st.text()),
    leased=st.one_of(st.none(), st.booleans()),
)
def test_one_row_reads_the_same_alone_and_in_a_table(
    mileage: float | None, model: str | None, leased: bool | None
) -> None:
    loaded = _loaded()
    values: dict[str, list[Any]] = {"mileage": [mileage], "model": [model], "leased": [leased]}
    alone = read_row(loaded, values).values
    table = read_columns(loaded, {name: column * 2 for name, column in values.items()}, 2)
    np.testing.assert_array_equal([alone[0]], table["mileage"][:1])
    assert alone[1:] == [table["model"][0], None if leased is None else bool(table["leased"][0])]
