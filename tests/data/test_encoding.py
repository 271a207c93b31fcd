from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput
from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.data.frames import kind_of, n_rows
from tests.data.strategies import tables

Table = dict[str, NDArray[Any]]
FLOAT32_MAX = float(np.finfo(np.float32).max)


def words(*values: str | None) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def spec(table: Table, *, categorical_numbers: bool = False) -> list[Column]:
    return [
        Column(
            name=name,
            role="numeric" if kind_of(values) == "number" and not categorical_numbers else "categorical",
        )
        for name, values in table.items()
    ]


CARS = {
    "km": np.array([5.0, np.nan, 7.0]),
    "fuel": words("Petrol", "Diesel", None),
    "new": np.array([1, 0, 1]) > 0,
}
ENCODING = Encoding.fit(
    CARS,
    [
        Column(name="km", role="numeric"),
        Column(name="fuel", role="categorical"),
        Column(name="make", role="ignored"),
        Column(name="new", role="categorical"),
    ],
)


def test_numbers_stay_and_categories_become_codes() -> None:
    assert ENCODING.columns == ("km", "fuel", "new")
    assert ENCODING.categorical_indexes == (1, 2)
    encoded = ENCODING.encode(CARS)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, [[5, 1, 1], [np.nan, 0, 0], [7, -1, 1]])


@given(tables(min_rows=1, kinds=("number", "boolean", "word")), st.booleans(), st.data())
def test_one_row_encodes_as_a_table_does(table: Table, categorical: bool, data: st.DataObject) -> None:
    encoding = Encoding.fit(table, spec(table, categorical_numbers=categorical))
    other = data.draw(st.just(table) | tables(min_rows=1, kinds=("number", "boolean", "word")))
    if {n: kind_of(v) for n, v in other.items()} != {n: kind_of(v) for n, v in table.items()}:
        other = table
    whole = encoding.encode(other)
    for row in range(n_rows(other)):
        values = [other[name].tolist()[row] for name in encoding.columns]
        alone = np.array(encoding.encode_row(values), dtype=np.float32)
        assert alone.tobytes() == whole[row].tobytes()


@given(st.floats(allow_nan=False) | st.integers(-(2**70), 2**70) | st.booleans())
def test_every_number_encodes_as_a_table_does(value: float) -> None:
    encoding = Encoding.fit({"x": np.array([1.0])}, [Column(name="x", role="numeric")])
    whole = encoding.encode({"x": np.array([float(value)])})
    alone = np.array(encoding.encode_row([value]), dtype=np.float32)
    assert alone.tobytes() == whole[0].tobytes()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, None, 1e39, 10**400])
def test_what_float32_cannot_hold_is_null(value: float | None) -> None:
    assert math.isnan(ENCODING.encode_row([value, "Petrol", True])[0])


def test_the_largest_float32_is_kept() -> None:
    assert ENCODING.encode_row([FLOAT32_MAX, "Petrol", True])[0] == FLOAT32_MAX


@pytest.mark.parametrize("value", ["Steam", None, math.nan, ""])
def test_null_and_never_seen_have_no_code(value: Any) -> None:
    assert ENCODING.encode_row([1.0, value, True])[1] == -1


def test_spaces_around_a_category_do_not_count() -> None:
    assert ENCODING.encode_row([1.0, " Diesel ", True])[1] == 0
    padded = Encoding.fit(
        {"fuel": words(" Petrol", "Petrol", "Diesel")}, [Column(name="fuel", role="categorical")]
    )
    assert padded.encode({"fuel": words("Petrol", " Petrol", "Gas")})[:, 0].tolist() == [1, 1, -1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["far", "Petrol", True], "'km' got 'far' .str.. Expected a number"),
        ([[1.0], "Petrol", True], "'km' got"),
        ([1.0, 5, True], "'fuel' got 5 .int.. Expected text"),
        ([1.0, ["Petrol"], True], "'fuel' got"),
        ([1.0, "Petrol", "yes"], "'new' got 'yes' .str.. Expected true or false"),
        ([1.0, "Petrol"], "has 2 values. Expected 3"),
    ],
)
def test_a_wrong_type_names_its_column(row: list[Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ENCODING.encode_row(row)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("km", words("far", "away", None), "'km' got text"),
        ("km", np.array(["2020-01-01"] * 3, dtype="datetime64[us]"), "'km' got time"),
        ("fuel", np.array([1.0, 2.0, 3.0]), "'fuel' got 1.0"),
        ("new", words("yes", "no", None), "'new' got"),
    ],
)
def test_a_wrong_column_is_named(column: str, values: NDArray[Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ENCODING.encode({**CARS, column: values})


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'fuel' is missing \(has: km, Fuel\).*Did you mean 'Fuel'"):
        ENCODING.encode({"km": CARS["km"], "Fuel": CARS["fuel"]})


def test_columns_of_nulls_fit_every_input() -> None:
    empty = {"km": words(None, None), "fuel": np.array([np.nan, np.nan]), "new": words(None, None)}
    np.testing.assert_array_equal(ENCODING.encode(empty), [[np.nan, -1, -1]] * 2)


def test_roles_that_cannot_be() -> None:
    with pytest.raises(InvalidInput, match="'fuel' is text and cannot be numeric"):
        Encoding.fit(CARS, [Column(name="fuel", role="numeric")])
    with pytest.raises(InvalidInput, match="no inputs"):
        Encoding.fit(CARS, [Column(name="fuel", role="ignored")])


@given(tables(min_rows=1, kinds=("number", "boolean", "word")), st.booleans())
def test_it_survives_json(table: Table, categorical: bool) -> None:
    encoding = Encoding.fit(table, spec(table, categorical_numbers=categorical))
    again = Encoding.from_dict(json.loads(canonical_json(encoding.to_dict())))
    assert again == encoding
    assert again.encode(table).tobytes() == encoding.encode(table).tobytes()


def test_empty_text_is_a_gap_unless_training_knew_it_as_a_category() -> None:
    fuel = [Column(name="fuel", role="categorical")]
    of_csv = Encoding.fit({"fuel": words("Petrol", None)}, fuel)
    asked = {"fuel": words("", "  ", "Petrol", "Steam")}
    assert of_csv.check(asked)["fuel"].tolist() == [None, None, "Petrol", "Steam"]
    assert asked["fuel"].tolist()[0] == ""
    assert of_csv.without_empty([" "]) == [None]
    of_parquet = Encoding.fit({"fuel": words("Petrol", "", None)}, fuel)
    assert of_parquet.check(asked)["fuel"].tolist() == asked["fuel"].tolist()
    assert of_parquet.encode(asked)[:, 0].tolist() == [0, 0, 1, -1]


def test_an_encoding_of_before_keeps_its_bytes_and_what_it_takes_empty_text_for() -> None:
    column = {"name": "fuel", "role": "categorical", "kind": "text", "categories": ["Petrol"]}
    written = {"format": 1, "columns": [column]}
    encoding = Encoding.from_dict(written)
    assert canonical_json(encoding.to_dict()) == canonical_json(written)
    assert encoding.check({"fuel": words("")})["fuel"].tolist() == [""]
    assert encoding.without_empty([""]) == [""]


def test_a_later_format_is_refused() -> None:
    with pytest.raises(InvalidInput, match="format 2"):
        Encoding.from_dict({**ENCODING.to_dict(), "format": 2})


def test_free_text_has_no_number_and_leaves_no_text_behind() -> None:
    table = {"note": words("it is late", None, "all fine"), "km": np.array([1.0, 2.0, 3.0])}
    specs = [Column(name="note", role="text"), Column(name="km", role="numeric")]
    encoding = Encoding.fit(table, specs)
    assert encoding.categorical_indexes == ()
    assert encoding.encode(table).tolist() == [[-1, 1], [-1, 2], [-1, 3]]
    assert encoding.encode_row(["never seen", 5]) == [-1, 5]
    assert encoding.check(table)["note"].tolist() == ["it is late", None, "all fine"]
    written = json.dumps(encoding.to_dict())
    assert "fine" not in written
    assert Encoding.from_dict(json.loads(written)) == encoding
    with pytest.raises(InvalidInput, match="'km' is number, no text"):
        Encoding.fit(table, [Column(name="km", role="text")])
