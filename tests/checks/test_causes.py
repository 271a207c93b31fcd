"""Planted faults are called by their names, and plain moves by none of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.checks.causes import cause_of
from headrace.checks.drift import Profile, shifts
from headrace.core.project import Column

SPEC = (
    Column(name="km", role="numeric"),
    Column(name="age", role="numeric"),
    Column(name="fuel", role="categorical"),
)


def cars(random: np.random.Generator, n_rows: int) -> dict[str, Any]:
    return {
        "km": random.lognormal(10, 0.8, n_rows),
        "age": random.normal(8, 3, n_rows),
        "fuel": random.choice(np.array(["diesel", "hybrid", "petrol"], dtype=object), n_rows),
    }


def nulled(values: Any, share: float, by: Any = None) -> Any:
    made = np.array(values, dtype=object)
    made[: int(share * len(made))] = by
    return made


FAULTS = [
    ("a column is no longer filled", "km", lambda v: nulled(v, 1.0), "empty"),
    ("a join misses a fifth", "age", lambda v: nulled(v, 0.2), "empty"),
    ("a category is no longer filled", "fuel", lambda v: nulled(v, 0.5), "empty"),
    ("infinity", "age", lambda v: nulled(v, 0.3, np.inf), "empty"),
    ("text among numbers", "km", lambda v: nulled(v, 0.3, "unknown"), "text"),
    ("a sensor is stuck", "age", lambda v: np.full(len(v), 4.0), "stuck"),
    ("zeros in place of nulls", "km", lambda v: np.zeros(len(v)), "stuck"),
    ("miles in place of kilometres", "km", lambda v: v / 1.609, "rescaled"),
    ("metres in place of kilometres", "km", lambda v: v * 1000, "rescaled"),
    ("months in place of years", "age", lambda v: v * 12, "rescaled"),
    ("a new category", "fuel", lambda v: nulled(v, 0.2, "hydrogen"), "new_categories"),
    ("capitals", "fuel", lambda v: np.array([str(one).upper() for one in v], dtype=object), "new_categories"),
    ("a category disappears", "fuel", lambda v: np.where(v == "hybrid", "petrol", v), "gone_category"),
    ("older cars", "age", lambda v: v + 2, "moved"),
    ("more diesel", "fuel", lambda v: np.where(np.arange(len(v)) % 5 == 0, "diesel", v), "moved"),
]


@pytest.mark.parametrize(("fault", "column", "plant", "cause"), FAULTS, ids=[f[0] for f in FAULTS])
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_fault_is_named(fault: str, column: str, plant: Any, cause: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = Profile.fit(cars(random, 5000), SPEC)
    now = cars(random, 1000)
    now[column] = plant(now[column])
    found = {shift.feature: shift for shift in shifts(reference, now)}
    p_value = found[column].p_value
    assert p_value is not None, fault
    assert p_value < 1e-4, fault
    assert cause_of(found[column]).name == cause


def test_words_tell_what_to_look_for() -> None:
    random = np.random.default_rng(0)
    reference = Profile.fit(cars(random, 5000), SPEC)
    now = cars(random, 1000)
    now |= {
        "km": now["km"] * 1000,
        "age": nulled(now["age"], 0.2),
        "fuel": nulled(now["fuel"], 0.2, "hydrogen"),
    }
    said = [cause_of(shift).words for shift in shifts(reference, now)]
    assert said[0].endswith("times what it was in training: another unit?")
    assert said[1] == "is empty in 20% of the rows (training: 0%)"
    assert said[2] == "has values in 20% of the rows that training never saw: 'hydrogen'"


@pytest.mark.parametrize("seed", range(20))
def test_what_has_not_changed_has_no_name(seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = Profile.fit(cars(random, 5000), SPEC)
    assert {cause_of(shift).name for shift in shifts(reference, cars(random, 1000))} == {"moved"}
