from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.columns import is_missing, label, label_counts, labels, missing, numbers
from headrace.core.errors import InvalidInput


def objects(*values: Any) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf]),
    st.floats(), st.text(max_size=3),
    st.sampled_from([np.datetime64("NaT"), np.float64(2.0), np.float64("nan")]),
)  # fmt: skip


@given(st.lists(VALUES, max_size=20))
def test_a_column_is_read_as_its_values_are(values: list[Any]) -> None:
    column = objects(*values)
    assert missing(column).tolist() == [is_missing(value) for value in values]
    assert labels(column) == [label(value) for value in values]


def test_values_without_a_hash_have_labels() -> None:
    assert labels(objects([1], {"a": 2}, [1])) == ["[1]", "{'a': 2}", "[1]"]


def test_missing_values_of_every_kind() -> None:
    assert missing(np.array([1, np.nan, np.inf])).tolist() == [False, True, False]
    assert missing(np.array(["2020-01-01", "NaT"], dtype="datetime64[us]")).tolist() == [False, True]
    assert missing(objects("a", None, np.nan, np.datetime64("NaT"))).tolist() == [False, True, True, True]
    assert missing(np.array([True])).tolist() == [False]


def test_numbers_as_a_model_sees_them() -> None:
    found = numbers(np.array([1.0, np.inf, -np.inf, 1e39, np.nan]), "x")
    np.testing.assert_array_equal(found, [1, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(numbers(objects(1, None, 2.5, True), "x"), [1, np.nan, 2.5, 1])
    np.testing.assert_array_equal(numbers(objects(None, None), "x"), [np.nan, np.nan])
    for values in (objects("a", None), np.array(["2020-01-01"], dtype="datetime64[us]")):
        with pytest.raises(InvalidInput, match="'x'"):
            numbers(values, "x")


def test_labels_that_mean_the_same_are_counted_together() -> None:
    assert [label(v) for v in (1, 1.0, True, "1", " a ", None, np.nan, np.inf)] == [
        "1",
        "1",
        "1",
        "1",
        "a",
        None,
        None,
        None,
    ]
    assert label_counts(objects("a", "b ", "b", None)) == {"b": 2, "a": 1, None: 1}
    assert label_counts(np.array([2.0, 2.0, np.nan, np.nan])) == {None: 2, "2": 2} or {"2": 2, None: 2}
    assert label_counts(np.array([True, False, True])) == {"1": 2, "0": 1}
