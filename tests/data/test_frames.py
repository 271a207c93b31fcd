from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.data.frames import (
    as_column,
    concat,
    content_digest,
    kind_of,
    kinds,
    n_rows,
    nulls,
    row_hashes,
    take,
)
from tests.data.strategies import tables

Table = dict[str, NDArray[Any]]


def text(*values: str | None) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


CARS: Table = {
    "price": np.array([12500.0, np.nan]),
    "model": text("A1", None),
    "sold": np.array(["2019-01-01", "NaT"], dtype="datetime64[us]"),
    "new": np.array([True, False]),
}


def test_kinds_and_nulls() -> None:
    assert kinds(CARS) == {"price": "number", "model": "text", "sold": "time", "new": "boolean"}
    assert [nulls(values).tolist() for values in CARS.values()] == [[False, True]] * 3 + [[False, False]]


def test_digests_and_hashes_are_the_same_on_every_machine() -> None:
    # Written down once: a change here would orphan every stored snapshot.
    assert content_digest(CARS) == "00c7df89294b443e9f05992f2495c183a05a68403a8126f66eed15ffac0a08bd"
    assert row_hashes(CARS).tolist() == [8380374467076225731, 5792735166401284672]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match="differ in length"):
        n_rows({"a": np.zeros(2), "b": np.zeros(3)})


@given(tables(), st.randoms(use_true_random=False))
def test_order_of_columns_does_not_count(table: Table, random: Any) -> None:
    names = list(table)
    random.shuffle(names)
    shuffled = {name: table[name] for name in names}
    assert content_digest(shuffled) == content_digest(table)
    assert (row_hashes(shuffled) == row_hashes(table)).all()


@given(tables(min_rows=1), st.data())
def test_hashes_follow_rows(table: Table, data: st.DataObject) -> None:
    n = n_rows(table)
    index = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=20)), dtype=np.int64)
    assert (row_hashes(take(table, index)) == row_hashes(table)[index]).all()


@given(tables(min_rows=1), st.data())
def test_any_changed_value_changes_digest_and_hash(table: Table, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(table)))
    row = data.draw(st.integers(0, n_rows(table) - 1))
    before = table[name][row]
    changed = {**table, name: table[name].copy()}
    match kind_of(table[name]):
        case "number":
            changed[name][row] = 1.5 if np.isnan(before) or before != 1.5 else 2.5
        case "boolean":
            changed[name][row] = not before
        case "time":
            changed[name][row] = np.datetime64(12345, "us")
            assume(before != changed[name][row])
        case _:
            changed[name][row] = (before or "") + "x"
    assert content_digest(changed) != content_digest(table)
    differs = row_hashes(changed) != row_hashes(table)
    assert differs.tolist() == [i == row for i in range(n_rows(table))]


def test_text_has_the_digest_that_snapshots_have_on_record() -> None:
    plain, other = text("e", None, "", "b"), text("é", None, "", "b")
    assert content_digest({"a": plain}) == "01b4932aaf59dcb9b8bb982c90dbdbd28bb0209e95453e2054d3db9f064f8b81"
    assert content_digest({"a": other}) == "51d5824ca3d43b45840399b526789b69f8294ebe68f82ed698b3f805e73f90c8"


def test_text_is_not_run_together() -> None:
    assert content_digest({"a": text("ab", "c")}) != content_digest({"a": text("a", "bc")})
    assert content_digest({"a": text("", None)}) != content_digest({"a": text(None, "")})


def test_rows_that_mean_the_same_hash_the_same() -> None:
    hashes = row_hashes({"a": np.array([0.0, -0.0, np.nan, -np.nan])})
    assert hashes[0] == hashes[1]
    assert hashes[2] == hashes[3]


def test_hashes_do_not_collide_on_a_grid() -> None:
    x, y = np.meshgrid(np.arange(300.0), np.arange(300.0))
    assert len(np.unique(row_hashes({"x": x.ravel(), "y": y.ravel()}))) == 90_000


def test_some_columns_can_be_hashed() -> None:
    assert (row_hashes(CARS, ["price"]) == row_hashes({"price": CARS["price"]})).all()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([1, 2], dtype=np.int32), "number", [1.0, 2.0]),
        (np.array([2**53 + 1, 1]), "text", ["9007199254740993", "1"]),
        (np.array(["a", "b"]), "text", ["a", "b"]),
        (text("a", None), "text", ["a", None]),
        ([1, None], "number", [1.0, None]),
        ([True, False], "boolean", [True, False]),
        ([True, None], "number", [1.0, None]),
        ([Decimal("1.5"), 2], "number", [1.5, 2.0]),
        ([2**60, None], "text", [str(2**60), None]),
        ([dt.date(2020, 1, 2), None], "time", ["2020-01-02T00:00:00.000000", None]),
        (
            [dt.datetime(2020, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2)))],
            "time",
            ["2020-01-02T01:00:00.000000"],
        ),
        ([b"caf\xc3\xa9"], "text", ["café"]),
        (["a", 1], "text", ["a", "1"]),
        (np.ma.masked_array([1, 2], mask=[False, True]), "number", [1.0, None]),
        (np.ma.masked_array([True, False], mask=[False, True]), "number", [1.0, None]),
        (np.ma.masked_array(text("a", "b"), mask=[True, False]), "text", [None, "b"]),
    ],
)
def test_columns_come_in_many_forms(values: Any, kind: str, expected: list[Any]) -> None:
    column = as_column(values)
    found = [None if null else v for v, null in zip(column, nulls(column), strict=True)]
    assert kind_of(column) == kind
    assert [str(v) if kind == "time" and v is not None else v for v in found] == expected


def test_a_matrix_is_no_column() -> None:
    with pytest.raises(InvalidInput, match="'probability' has shape"):
        as_column(np.zeros((2, 2)), "probability")


def test_tables_stack() -> None:
    stacked = concat([CARS, {**CARS, "price": text(None, None)}])
    assert n_rows(stacked) == 4
    assert kind_of(stacked["price"]) == "number"
    with pytest.raises(InvalidInput, match="'price' is number in one table and text"):
        concat([CARS, {**CARS, "price": text("a", "b")}])
    with pytest.raises(InvalidInput, match="'new'"):
        concat([CARS, {name: CARS[name] for name in ("price", "model", "sold")}])
    with pytest.raises(InvalidInput, match="nothing to stack"):
        concat([])
