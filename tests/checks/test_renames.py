from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.checks.renames import renamed

RANDOM = np.random.default_rng(4)
BEFORE: dict[str, NDArray[Any]] = {
    "km": RANDOM.normal(50_000, 9_000, 500),
    "fuel": RANDOM.choice(np.array(["gas", "diesel"], dtype=object), 500),
}
NOW: dict[str, NDArray[Any]] = {
    "laufleistung": RANDOM.normal(50_000, 9_000, 400),
    "seats": RANDOM.choice([2.0, 4.0, 5.0], 400),
    "antrieb": RANDOM.choice(np.array(["gas", "diesel"], dtype=object), 400),
    "colour": RANDOM.choice(np.array(["red", "blue"], dtype=object), 400),
}


@pytest.mark.parametrize(
    ("missing", "role", "name"), [("km", "numeric", "laufleistung"), ("fuel", "categorical", "antrieb")]
)
def test_a_new_name_that_is_nothing_like_the_old_is_found_by_its_values(
    missing: str, role: str, name: str
) -> None:
    found = renamed(missing, role, NOW, NOW, BEFORE)
    assert found is not None
    assert found.name == name
    assert found.values is not None
    assert found.values > 0.9


@pytest.mark.parametrize("name", ["KM", "km_total", "totalKm"])
def test_a_name_that_is_alike_is_found_without_a_table_of_before(name: str) -> None:
    now = {"seats": NOW["seats"], name: NOW["laufleistung"]}
    found = renamed("km", "numeric", now, now, {})
    assert found is not None
    assert (found.name, found.values) == (name, None)


def test_a_like_name_is_not_enough_when_the_values_are_of_something_else() -> None:
    now = {"km_price": NOW["seats"]}
    assert renamed("km", "numeric", now, now, BEFORE) is None
    assert renamed("km", "numeric", {"colour": NOW["colour"]}, ["colour"], BEFORE) is None


def test_of_columns_with_the_same_values_the_one_with_the_like_name_is_named() -> None:
    now = {"other": BEFORE["km"], "km_driven": BEFORE["km"]}
    found = renamed("km", "numeric", now, now, BEFORE)
    assert found is not None
    assert found.name == "km_driven"


def test_a_few_rows_say_nothing_about_values() -> None:
    now = {"laufleistung": NOW["laufleistung"][:50]}
    assert renamed("km", "numeric", now, now, BEFORE) is None
