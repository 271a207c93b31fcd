"""Columns that are other ones now, and answers that have moved, are named with how far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.checks.changes import LEVEL, changes, moved, moved_by_segment
from headrace.checks.profiles import Profile
from headrace.core.project import Column

SPEC = [
    Column(name="income", role="numeric"),
    Column(name="heat", role="numeric"),
    Column(name="fuel", role="categorical"),
    Column(name="day", role="categorical"),
]


def table(random: np.random.Generator, n_rows: int = 2000) -> dict[str, Any]:
    days = np.datetime64("2024-01-01") + random.integers(0, 300, n_rows)
    return {
        "income": random.lognormal(10, 0.5, n_rows),
        "heat": random.normal(20, 5, n_rows),
        "fuel": random.choice(np.array(["diesel", "petrol"], dtype=object), n_rows),
        "day": np.array([str(day) for day in days], dtype=object),
    }


def turned(day: str) -> str:
    year, month, number = day.split("-")
    return f"{number}/{month}/{year}"


@pytest.mark.requirement("DAT-07")
@pytest.mark.parametrize(
    ("column", "change", "cause", "words"),
    [
        ("income", lambda v: np.full(len(v), np.nan), "empty", "is empty in 100% of the rows (training: 0%)"),
        ("income", lambda v: v * 1000, "rescaled", "another unit?"),
        ("income", lambda v: np.array([f"{x:.2f}".replace(".", ",") for x in v], dtype=object), "text",
         "where training has numbers: numbers with a decimal comma"),
        ("income", lambda v: np.array([f"{x:.2f}" for x in v], dtype=object), "text", "numbers: numbers"),
        ("heat", lambda v: v * 1.8 + 32, "converted", "degrees Fahrenheit, where training has Celsius"),
        ("fuel", lambda v: np.array([x.upper() for x in v], dtype=object), "respelled", "'DIESEL'"),
        ("day", lambda v: np.array([turned(x) for x in v], dtype=object), "reformatted", "%d/%m/%Y"),
    ],
)  # fmt: skip
def test_a_column_that_is_redefined_is_named(column: str, change: Any, cause: str, words: str) -> None:
    random = np.random.default_rng(1)
    reference, now = Profile.fit(table(random), SPEC), table(random)
    now[column] = change(now[column])
    (found,) = changes(reference, now, 0.08)
    assert (found.column, found.cause, found.redefined) == (column, cause, True)
    assert words in found.what or (cause == "respelled" and "'PETROL'" in found.what)


def test_rows_that_have_moved_are_listed_after_columns_that_are_redefined() -> None:
    random = np.random.default_rng(2)
    reference, now = Profile.fit(table(random), SPEC), table(random)
    now["income"], now["heat"] = now["income"] * 1000, now["heat"] + 40.0 * random.random(2000)
    del now["fuel"]
    found = changes(reference, now, 0.08)
    assert [(one.column, one.redefined) for one in found] == [("income", True), ("heat", False)]


def test_chance_calls_hardly_any_table_changed() -> None:
    random = np.random.default_rng(3)
    reference = Profile.fit(table(random), SPEC)
    called = sum(bool(changes(reference, table(random, 500), 0.0)) for _ in range(400))
    assert called <= 5, f"at a level of {LEVEL} a table 0.4 are expected"


@pytest.mark.requirement("GAT-11")
def test_answers_that_moved_say_how_far_in_which_direction_and_where() -> None:
    random = np.random.default_rng(4)
    region = random.choice(np.array(["north", "south", "tiny"], dtype=object), 1000, p=[0.5, 0.49, 0.01])
    before = random.normal(100, 10, 1000)
    after = before + 5.0 * (region == "south")
    whole = moved(after, before, numeric=True)
    assert whole.size == pytest.approx(whole.direction) == pytest.approx(0.245, abs=0.03)
    parts = moved_by_segment(after, before, {"region": region}, numeric=True)
    assert parts["region: south"].size == pytest.approx(0.5, abs=0.03)
    assert parts["region: north"].size == 0
    assert "region: tiny" not in parts, "too few rows to say"


@pytest.mark.requirement("GAT-11")
def test_decisions_that_flip_both_ways_are_a_move_without_a_direction() -> None:
    before = np.array([True, False] * 50)
    whole = moved(~before, before, numeric=False)
    assert whole.size == 1
    assert whole.direction == {"0": 0.0, "1": 0.0}
