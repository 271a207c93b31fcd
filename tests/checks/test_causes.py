"""Planted faults are called by their names, and plain moves by none of them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from headrace.checks.causes import cause_of, ranked, undecided
from headrace.checks.drift import Profile, shifts
from headrace.core.project import Column

SPEC = (
    Column(name="km", role="numeric"),
    Column(name="age", role="numeric"),
    Column(name="fuel", role="categorical"),
    Column(name="trim", role="categorical"),
)


def cars(random: np.random.Generator, n_rows: int) -> dict[str, Any]:
    return {
        "km": random.lognormal(10, 0.8, n_rows),
        "age": random.normal(8, 3, n_rows),
        "fuel": random.choice(np.array(["diesel", "hybrid", "petrol"], dtype=object), n_rows),
        "trim": random.choice(np.array(["plain", "sport"], dtype=object), n_rows, p=[0.7, 0.3]),
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
    ("capitals", "fuel", lambda v: np.array([str(one).upper() for one in v], dtype=object), "respelled"),
    ("a category disappears", "fuel", lambda v: np.where(v == "hybrid", "petrol", v), "gone_category"),
    ("a code for no value", "age", lambda v: nulled(v, 0.1, -999.0), "sentinel"),
    ("a sensor at its limit", "age", lambda v: np.minimum(v, 9.0), "clipped"),
    ("stuck at times", "age", lambda v: nulled(v, 0.3, 11.5), "stuck"),
    ("the other sign", "age", lambda v: -v, "negated"),
    ("cut off", "age", np.floor, "rounded"),
    ("blanks", "fuel", lambda v: nulled(v, 0.3, " "), "empty"),
    ("one category only", "fuel", lambda v: np.full(len(v), "diesel", dtype=object), "stuck"),
    ("title case", "fuel", lambda v: np.array([one.title() for one in v], dtype=object), "respelled"),
    ("Fahrenheit in place of Celsius", "age", lambda v: v * 1.8 + 32, "converted"),
    ("Celsius in place of Fahrenheit", "age", lambda v: (v - 32) / 1.8, "converted"),
    ("kelvin", "age", lambda v: v + 273.15, "offset"),
    ("codes", "fuel", lambda v: np.array([f"{len(one)}{one[0]}" for one in v], dtype=object), "recoded"),
    ("exchanged", "trim", lambda v: np.where(v == "plain", "sport", "plain"), "exchanged"),
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
    rows = cars(random, 1000)
    (moved,) = shifts(reference, rows | {"age": rows["age"] + 273.15})[1:2]
    assert cause_of(moved).words.startswith("is 273")
    assert cause_of(moved).words.endswith(
        "higher than in training, low and high values alike: counted from another zero?"
    )


@pytest.mark.parametrize("seed", range(20))
def test_what_has_not_changed_has_no_name(seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = Profile.fit(cars(random, 5000), SPEC)
    assert {cause_of(shift).name for shift in shifts(reference, cars(random, 1000))} == {"moved"}


def found_in(now: dict[str, Any], random: np.random.Generator) -> list[Any]:
    reference = Profile.fit(cars(random, 5000), SPEC)
    return [s for s in shifts(reference, now) if s.p_value is not None and s.p_value < 1e-4]


def test_a_named_fault_goes_before_what_may_follow_from_it() -> None:
    random = np.random.default_rng(0)
    now = cars(random, 1000)
    now |= {"age": now["age"] + 6, "km": nulled(now["km"], 0.1)}
    causes = ranked(found_in(now, random))
    assert [(one.feature, one.cause.name) for one in causes] == [("km", "empty"), ("age", "moved")]
    assert causes[0].share < causes[1].share
    assert sum(one.share for one in causes) == pytest.approx(1)
    assert undecided(causes) == ""


def test_what_carries_about_as_much_cannot_be_told_apart() -> None:
    random = np.random.default_rng(0)
    now = cars(random, 1000)
    now |= {"km": nulled(now["km"], 0.3), "age": nulled(now["age"], 0.3)}
    assert "cannot tell" in undecided(ranked(found_in(now, random)))


def test_two_inputs_in_each_others_place_are_named_together() -> None:
    random = np.random.default_rng(0)
    now = cars(random, 1000)
    now["km"], now["age"] = now["age"], now["km"]
    causes = ranked(found_in(now, random))
    assert {one.feature: one.cause.name for one in causes} == {"km": "swapped", "age": "swapped"}
    assert causes[0].cause.words.startswith("looks as ")
    assert undecided(causes) == ""


@pytest.mark.requirement("DAT-07")
@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("{0.year}-{0.month:02}-{0.day:02}", "{0.day:02}/{0.month:02}/{0.year}",
         "holds dates written %d/%m/%Y, where training has dates in ISO 8601"),
        ("{0.day}.{0.month}", "{0.day},{0.month}",
         "holds numbers with a decimal comma, where training has numbers"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("n_different", [20, 300])
def test_another_way_of_writing_is_named(before: str, now: str, words: str, n_different: int) -> None:
    random = np.random.default_rng(n_different)
    days = [date(2024, 1, 1) + timedelta(days=int(n)) for n in random.integers(0, n_different, 3000)]
    spec = [Column(name="day", role="categorical")]
    was, present = (np.array([form.format(day) for day in days], dtype=object) for form in (before, now))
    (found,) = shifts(Profile.fit({"day": was}, spec), {"day": present})
    assert cause_of(found) == ("reformatted", words)
    half = np.where(np.arange(3000) % 2 == 0, was, present)
    (found,) = shifts(Profile.fit({"day": was}, spec), {"day": half})
    if n_different == 20:
        assert cause_of(found).name == "reformatted"
