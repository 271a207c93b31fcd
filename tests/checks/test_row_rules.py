from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.checks.row_rules import broken_by, parse_rule
from headrace.core.errors import InvalidInput

DAYS = np.array(["2026-01-01", "2026-01-05", "NaT"], dtype="datetime64[us]")
TABLE: dict[str, Any] = {
    "low": np.array([1.0, 5.0, np.nan]),
    "high": np.array([2.0, 4.0, 3.0]),
    "left": DAYS,
    "came back": DAYS - np.timedelta64(1, "D"),
    "fuel": np.array(["gas", "Diesel", None], dtype=object),
    "engine": np.array(["gas", "gas", "gas"], dtype=object),
    "typed": np.array(["1", "x", "9"], dtype=object),
}


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("low <= high", [1]),
        ("high > 2", [0]),
        ("low == 1", [1]),
        ("came back >= left", [0, 1]),
        ("left < 2026-01-03", [1]),
        ("left < 2026-01-05T01:00:00+01:00", [1]),
        ("fuel in gas, petrol", [1]),
        ("fuel != 'Diesel'", [1]),
        ("fuel == engine", [1]),
        ("typed < 5", [2]),
        ("low in 1, 2", [1]),
    ],
)
def test_rows_that_break_a_rule_are_found_and_unknown_values_break_none(rule: str, rows: list[int]) -> None:
    assert broken_by(parse_rule(rule), TABLE).tolist() == rows


@pytest.mark.parametrize("text", ["", "low", "low<high", "low <", "low => 2", "fuel < 'gas'"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="Expected a"):
        parse_rule(text)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("price > 0", "needs a column 'price'"),
        ("fuel == gas", "needs a column 'gas'.*text stands in quotes"),
        ("left > 3", "no common order"),
        ("low > 2026-01-01", "no common order"),
        ("fuel > left", "no common order"),
    ],
)
def test_a_rule_that_does_not_fit_the_table_is_refused(rule: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        broken_by(parse_rule(rule), TABLE)
