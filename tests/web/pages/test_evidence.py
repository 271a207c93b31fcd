from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.web.pages.evidence import blocks

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


def test_plain_values_are_a_list_and_mappings_are_tables() -> None:
    found = blocks(
        {
            "metric": "mae",
            "interval": [-0.25, 0.5],
            "columns": {"mileage": {"nulls": 1, "kind": "number"}, "model": {"nulls": 0, "most": "a3"}},
            "segments": {"north": 10},
            "rows": [{"at": 1}, {"at": 2, "why": "late"}],
        }
    )
    plain, columns, segments, rows = found
    assert plain.rows == [["metric", "mae"], ["interval", "-0.25 to 0.5"]]
    assert columns.heads == ["name", "nulls", "kind", "most"]
    assert columns.rows == [["mileage", 1, "number", None], ["model", 0, None, "a3"]]
    assert columns.numeric == [False, True, False, False]
    assert segments.rows == [["north", 10]]
    assert rows.heads == ["at", "why"]


def test_nothing_measured_is_no_table_and_an_empty_word_no_row() -> None:
    assert blocks({}) == []
    assert blocks({"came": ""}) == []
    assert blocks({"came": "", "n": 0, "interval": None})[0].rows == [["n", 0], ["interval", None]]


def test_long_and_deep_values_are_short_text() -> None:
    ((name, text),) = blocks({"names": [f"feature_{i}" for i in range(100)]})[0].rows
    assert name == "names"
    assert len(text) == 201
    assert text.endswith("…")
    ((_, nested),) = blocks({"pair": [[1, 2], [3]]})[0].rows
    assert nested == "[[1, 2], [3]]"


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_whatever_a_gate_keeps_becomes_rectangular_tables(evidence: dict[str, Any]) -> None:
    for block in blocks(evidence):
        width = len(block.heads) or 2
        assert all(len(row) == width for row in block.rows)
        assert len(block.numeric) == len(block.heads)
