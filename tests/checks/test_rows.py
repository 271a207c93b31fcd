from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.checks.quality import check_data
from headrace.checks.rows import UNFIT, n_suspect, summary, suspect_rows, suspects
from headrace.core.canonical import canonical_json
from headrace.core.project import Column, DataGate, DataSpec

N = 400
SPEC = DataSpec(
    source="cars.csv",
    target="price",
    time="sold",
    key="id",
    columns=(Column(name="km", role="numeric"), Column(name="fuel", role="categorical")),
    rules=("price > 0", "scrapped >= sold"),
)


def words(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def cars() -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(3)
    sold = (np.datetime64("2024-01-01") + np.arange(N)).astype("datetime64[us]")
    return {
        "id": words([f"c{i}" for i in range(N)]),
        "km": random.normal(50_000, 9_000, N),
        "fuel": words(["Gas", "Diesel"] * (N // 2)),
        "sold": sold,
        "scrapped": sold + np.timedelta64(900, "D"),
        "price": random.normal(9_000, 900, N),
        "note": words([None] * N),
    }


def told(table: dict[str, NDArray[Any]], spec: DataSpec = SPEC) -> list[tuple[int, str | None, str, str]]:
    found = suspects(table, spec, "regression")
    canonical_json(summary(found))
    return sorted((x.row, x.column, x.kind, x.reason) for x in suspect_rows(table, found))


def test_nothing_is_said_of_a_clean_table() -> None:
    assert told(cars()) == []


@pytest.mark.requirement("DAT-08")
def test_every_planted_mistake_is_found_with_its_row_and_its_reason() -> None:
    table = cars()
    table["km"][0] = np.nan
    table["km"][1] = 5e7
    table["km"][2] = np.inf
    table["fuel"][3:8] = ["diesel", " Gas", "n/a", None, "DIESEL"]
    table["price"][10] = -3.0
    table["scrapped"][11] = np.datetime64("2001-01-01", "us")
    for values in table.values():
        values[20] = values[19]
    table["id"][31], table["sold"][31] = table["id"][30], table["sold"][30]
    reasons = {(row, column): (kind, reason) for row, column, kind, reason in told(table)}
    variant = "differs from {!r}, which most rows have, in case or white space only".format
    outlying = {place: reasons.pop(place) for place in ((2, "km"), (11, "price")) if place in reasons}
    assert outlying[2, "km"][0] == "outlier"
    assert outlying[2, "km"][1].startswith("is far from the usual ")
    assert reasons == {
        (1, "km"): ("missing", "has no value"),
        (3, "km"): ("wrong", "is infinite, or too large for any model"),
        (4, "fuel"): ("dirty", variant("Diesel")),
        (5, "fuel"): ("dirty", variant("Gas")),
        (6, "fuel"): ("missing", "holds a mark that stands for no value"),
        (7, "fuel"): ("missing", "has no value"),
        (8, "fuel"): ("dirty", variant("Diesel")),
        (12, "scrapped"): ("wrong", "breaks the rule scrapped >= sold"),
        (21, None): ("dirty", "is a copy of an earlier row"),
        (32, None): ("wrong", "an earlier row has the same id and sold, and says something else"),
    }
    # The eleventh price is an outlier and breaks a rule: each reason is told.
    assert {kind for row, _, kind, _ in told(table) if row == 11} == {"outlier", "wrong"}


@pytest.mark.requirement("DAT-08")
def test_mixed_types_and_unreadable_dates_are_found_in_columns_read_as_text() -> None:
    table = cars()
    table["km"] = words([f"{x:.1f}" for x in table["km"].tolist()])
    table["km"][5], table["km"][6] = "twelve", "9e9"
    table["sold"] = words([str(x)[:10] for x in table["sold"].tolist()])
    table["sold"][7], table["sold"][8], table["sold"][9] = "soon", "2024-02-30", "13.2.2024"
    found = told(table, replace(SPEC, rules=()))
    assert [x for x in found if x[2] != "outlier"] == [
        (6, "km", "wrong", "is no number, as the other rows are"),
        (8, "sold", "wrong", "is no date, as the other rows are"),
        (9, "sold", "wrong", "is no date, as the other rows are"),
        (10, "sold", "dirty", "is a date written %d.%m.%Y; most rows are ISO 8601"),
    ]
    assert [(x[0], x[1]) for x in found if x[2] == "outlier"] == [(7, "km")]


def test_names_with_a_few_numbers_among_them_and_american_dates_are_no_mistake() -> None:
    table = cars()
    table["fuel"] = words(["Gas", "500", "A1-2", "2026 x 1"] * (N // 4))
    table["sold"] = words([f"{1 + i % 12}/{1 + i // 12 % 28}/2024" for i in range(N)])
    assert [x for x in told(table, replace(SPEC, rules=(), key=None)) if x[1] is not None] == []


@pytest.mark.requirement("DAT-08")
def test_the_data_gate_counts_by_reason_and_stops_at_its_limit() -> None:
    table = cars()
    table["price"][:9] = -1.0
    result = check_data(table, SPEC, DataGate(), "regression")
    assert result.outcome == "passed"
    (broken,) = [x for x in result.evidence["suspect_rows"] if x["kind"] == "wrong"]
    assert (broken["rows"], broken["first"]) == (9, [1, 2, 3, 4, 5])
    assert result.evidence["n_unfit_rows"] == 9
    stopped = check_data(table, SPEC, DataGate(max_unfit_fraction=0.02), "regression")
    assert stopped.outcome == "failed"
    assert "9 of 400 rows are wrong or dirty, more than 2.0%" in stopped.reason
    unfit = check_data(table, replace(SPEC, rules=("worth > 0",)), DataGate(), "regression")
    assert unfit.outcome == "failed"
    assert "needs a column 'worth'" in unfit.reason


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([0.0, -0.0, 1.0, None])), min_size=1
    )
)
def test_copies_are_the_rows_that_were_there_before(rows: list[tuple[str | None, float | None]]) -> None:
    table = {"x": words([x for x, _ in rows]), "y": np.array([np.nan if y is None else y for _, y in rows])}
    spec = DataSpec(source="x.csv", target="y")
    found = [x for x in suspects(table, spec, "classification") if x.column is None]
    expected = [place for place, row in enumerate(rows) if row in rows[:place]]
    assert [x.rows.tolist() for x in found] == ([expected] if expected else [])
    assert n_suspect(found, UNFIT) == len(expected)


def test_an_empty_table_has_no_suspect_rows() -> None:
    table = {name: values[:0] for name, values in cars().items()}
    assert told(table) == []
