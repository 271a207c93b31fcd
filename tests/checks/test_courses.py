"""Planted steps, lines, weekdays, seasons and holidays are told apart, and how often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from headrace.checks.courses import Course, Cycle, course_of
from headrace.checks.localising import codes_of
from headrace.checks.profiles import CategoricalProfile, NumericProfile

DAYS = np.arange(84)
NOTHING = np.zeros(84)
WEEK = {"week": Cycle(7, 0)}
PROFILE = NumericProfile.fit(np.random.default_rng(0).normal(size=20_000))
SHAPES = {
    "step": (DAYS >= 70).astype(float),
    "pulse": ((DAYS >= 78) & (DAYS < 82)).astype(float),
    "line": np.clip((DAYS - 28) / 56, 0.0, 1.0),
    "weekday": (DAYS % 7 == 3).astype(float),
    "weekend": (DAYS % 7 >= 5).astype(float),
}
TRUTH = {
    "step": "abrupt",
    "pulse": "abrupt",
    "line": "gradual",
    "weekday": "recurring",
    "weekend": "recurring",
}


def days_of(random: np.random.Generator, by: Any, n_rows: int, wobble: float = 0.0) -> Any:
    """Rows of a normal number by day and bin, its mean moved ``by`` deviations, one for each day."""
    means = np.asarray(by) + random.normal(0, wobble, len(by))
    values = random.normal(size=(len(by), n_rows)) + means[:, None]
    codes, reference = codes_of(PROFILE, values.ravel())
    counts = np.zeros((len(by), reference.size))
    np.add.at(counts, (np.repeat(np.arange(len(by)), n_rows), codes), 1.0)
    return counts, reference


def planted(
    random: np.random.Generator, by: Any, n_rows: int, before: Any = None, **occasions: Any
) -> Course:
    counts, reference = days_of(random, by, n_rows)
    year = None if before is None else days_of(random, before, n_rows)[0]
    return course_of(counts, reference, 7, WEEK, occasions, year)


def simulated(name: str, size: float, n_rows: int, times: int = 60, wobble: float = 0.0) -> dict[str, int]:
    random = np.random.default_rng([n_rows, int(100 * size)])
    found: Counter[str] = Counter()
    for _ in range(times):
        counts, reference = days_of(random, size * SHAPES[name], n_rows, wobble)
        said = course_of(counts, reference, 7, WEEK, {}).name
        found["right" if said == TRUTH[name] else "undecided" if said == "undecided" else "wrong"] += 1
    return {one: found[one] for one in ("right", "undecided", "wrong")}


@pytest.mark.requirement("MON-16")
@pytest.mark.parametrize(
    ("name", "size", "n_rows", "least"),
    [
        ("step", 0.5, 40, 28),
        ("step", 1.0, 40, 56),
        ("step", 0.25, 250, 40),
        ("pulse", 1.0, 40, 57),
        ("line", 1.0, 40, 57),
        ("line", 0.25, 250, 40),
        ("line", 0.5, 250, 57),
        ("weekday", 1.0, 40, 48),
        ("weekday", 0.5, 250, 51),
        ("weekend", 0.5, 40, 32),
        ("weekend", 0.25, 250, 48),
    ],
)
def test_a_planted_course_is_named(name: str, size: float, n_rows: int, least: int) -> None:
    """In ``least`` of 60 simulations: what was measured, less chance."""
    found = simulated(name, size, n_rows)
    assert found["right"] >= least, found
    assert found["wrong"] <= 3, found


@pytest.mark.requirement("MON-16")
@pytest.mark.parametrize("name", list(SHAPES))
def test_what_evidence_does_not_separate_is_undecided_and_hardly_ever_wrong(name: str) -> None:
    for size in (0.1, 0.25, 0.5):
        assert simulated(name, size, 40, 50)["wrong"] <= 4, size


def test_days_that_differ_by_themselves_are_no_course() -> None:
    for name in SHAPES:
        assert simulated(name, 0.25, 250, 40, wobble=0.25)["wrong"] <= 4, name
    random = np.random.default_rng(3)
    said: Counter[str] = Counter()
    for _ in range(60):
        counts, reference = days_of(random, NOTHING, 250, 0.25)
        said[course_of(counts, reference, 7, WEEK, {}).name] += 1
    assert said["undecided"] >= 54, said


@pytest.mark.requirement("MON-16")
def test_a_season_is_what_came_a_year_before_too() -> None:
    random = np.random.default_rng(4)
    for name in ("step", "line"):
        shape = SHAPES[name]
        again = [planted(random, shape, 40, shape) for _ in range(20)]
        assert {(one.name, one.cycle) for one in again} <= {("recurring", "year"), ("undecided", None)}
        assert [one.name for one in again].count("recurring") >= 18
        new = [planted(random, shape, 40, NOTHING).name for _ in range(20)]
        assert set(new) <= {TRUTH[name], "undecided"}
        assert sum(one == TRUTH[name] for one in new) >= 18


@pytest.mark.requirement("MON-16")
def test_a_holiday_or_a_known_event_is_what_came_on_the_one_before_and_went() -> None:
    random = np.random.default_rng(5)
    sale = (DAYS >= 80) & (DAYS < 83) | (DAYS >= 40) & (DAYS < 43)
    again = [planted(random, sale * 1.0, 40, sale=sale) for _ in range(20)]
    assert [(one.name, one.cycle) for one in again].count(("recurring", "sale")) >= 18
    first = [planted(random, (sale & (DAYS > 70)) * 1.0, 40, sale=sale).name for _ in range(20)]
    assert first.count("abrupt") >= 16
    assert "recurring" not in first, "it did not come on the one before"
    once = [planted(random, sale * (DAYS > 70) * 1.0, 40, sale=sale & (DAYS > 70)).name for _ in range(20)]
    assert "recurring" not in once, "there was none before"


def test_a_weekday_is_named_and_so_is_the_beginning() -> None:
    random = np.random.default_rng(6)
    found = planted(random, SHAPES["weekday"] * 2, 100)
    assert (found.cycle, found.phases) == ("week", (3, 4))
    found = planted(random, SHAPES["weekend"] * 2, 100)
    assert (found.cycle, found.phases) == ("week", (5, 0))
    assert planted(random, SHAPES["step"] * 2, 100)[2:4] == (70, None)
    assert planted(random, SHAPES["pulse"] * 2, 100)[2:4] == (78, 82)
    line = planted(random, SHAPES["line"] * 2, 100)
    assert line.first is not None
    assert abs(line.first - 28) <= 4
    assert line.last is None or line.last >= 78


def test_hours_of_the_day_come_again_too() -> None:
    hours = np.arange(112)  # of six hours each
    night = (hours % 4 == 0).astype(float)
    counts, reference = days_of(np.random.default_rng(7), night, 40)
    found = course_of(counts, reference, 4, {"day": Cycle(4, 0), "week": Cycle(28, 0, 4)}, {})
    assert (found.name, found.cycle, found.phases) == ("recurring", "day", (0, 1))


def test_categories_and_nulls_have_a_course_too() -> None:
    random = np.random.default_rng(8)
    fuels = random.choice(np.array(["gas", "diesel", None], dtype=object), 5000, p=[0.5, 0.4, 0.1])
    profile = CategoricalProfile.fit(fuels)
    for instead in ("hybrid", None):
        changed = fuels[: 84 * 20].copy()
        changed[70 * 20 :: 2] = instead
        codes, reference = codes_of(profile, changed)
        counts = np.zeros((84, reference.size))
        np.add.at(counts, (np.repeat(DAYS, 20), codes), 1.0)
        found = course_of(counts, reference, 7, WEEK, {})
        assert (found.name, found.first) == ("abrupt", 70)


def test_what_the_first_rows_have_or_few_days_show_is_undecided() -> None:
    random = np.random.default_rng(9)
    everywhere = planted(random, NOTHING + 1.0, 100)
    assert everywhere.name == "undecided"
    assert everywhere.why.endswith("it was there from the first")
    counts, reference = days_of(random, SHAPES["step"], 40)
    counts[:-7] = 0
    assert course_of(counts, reference, 7, WEEK, {})[:2] == (
        "undecided",
        "fewer than 8 parts of time have rows",
    )
    counts[:] = 0
    assert course_of(counts, reference, 7, WEEK, {}).name == "undecided"
