from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.comparison import (
    excess_p_value,
    judge,
    paired_interval,
    segment_differences,
    smallest_seen,
)
from headrace.checks.metrics import Interval
from headrace.core.errors import InvalidInput


def interval(low: float, high: float, n: int = 100) -> Interval:
    return Interval(estimate=(low + high) / 2, low=low, high=high, confidence=0.95, n=n)


@pytest.mark.requirement("GAT-02")
@pytest.mark.parametrize(
    ("low", "high", "margin", "outcome"),
    [
        (-2, -1, 0.0, "passed"),
        (-2, 0, 0.0, "passed"),
        (-1, 1, 0.0, "inconclusive"),
        (0.1, 1, 0.0, "failed"),
        (0.1, 1, 1.0, "passed"),
        (0.1, 1, 0.5, "inconclusive"),
        (0.6, 1, 0.5, "failed"),
    ],
)
def test_the_interval_decides(low: float, high: float, margin: float, outcome: str) -> None:
    found = judge(interval(low, high), margin)
    assert found.outcome == outcome
    assert "95%" in found.reason


@pytest.mark.requirement("GAT-02")
def test_what_was_not_measured_is_neither_good_nor_bad() -> None:
    assert judge(interval(-2, -1, n=19), 0).outcome == "inconclusive"
    assert judge(interval(math.nan, math.nan), 0).outcome == "error"
    assert judge(paired_interval(np.array([1.0, np.nan]), np.array([1.0, 1.0]), 0.95), 0).outcome == "error"
    assert judge(paired_interval(np.array([1.0]), np.array([1.0]), 0.95), 0).outcome == "inconclusive"


def test_equal_models_pass() -> None:
    losses = np.random.default_rng(0).exponential(size=50)
    assert judge(paired_interval(losses, losses, 0.95), 0).outcome == "passed"


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(-10, 10), st.integers(20, 1000))
def test_a_wider_margin_never_judges_harder(low: float, width: float, margin: float, n: int) -> None:
    order = {"failed": 0, "inconclusive": 1, "passed": 2}
    found = interval(low, low + width, n)
    assert order[judge(found, margin).outcome] <= order[judge(found, margin + 1).outcome]


def test_pairing_removes_what_is_hard_about_a_row() -> None:
    random = np.random.default_rng(0)
    hardness = random.exponential(10, size=200)
    candidate, champion = hardness + random.normal(0, 0.1, 200), hardness + random.normal(0.1, 0.1, 200)
    assert judge(paired_interval(candidate, champion, 0.95), 0).outcome == "passed"
    shuffled = random.permutation(champion)
    assert judge(paired_interval(candidate, shuffled, 0.95), 0).outcome == "inconclusive"


def test_different_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"shapes \(2,\) and \(3,\)"):
        paired_interval(np.zeros(2), np.zeros(3), 0.95)


@pytest.mark.parametrize("n", [30, 200])
def test_a_rise_that_is_the_same_elsewhere_is_found_no_more_often_than_declared(n: int) -> None:
    """Losses are skewed; the other rows are harder, and everything gets worse alike."""
    random, level, n_trials = np.random.default_rng(2), 0.01, 4000
    found = sum(
        excess_p_value(
            2 + random.exponential(1, n),
            1 + random.exponential(1, 3 * n),
            4 + random.exponential(3, 2 * n),
            3 + random.exponential(3, 6 * n),
        )
        <= level
        for _ in range(n_trials)
    )
    assert found <= level * n_trials + 3 * np.sqrt(level * n_trials)


def test_a_rise_that_is_larger_than_elsewhere_is_found() -> None:
    random = np.random.default_rng(2)
    calm = [random.exponential(1, 300) for _ in range(3)]
    assert excess_p_value(random.exponential(2, 300), *calm) < 1e-6
    assert excess_p_value(calm[0], random.exponential(2, 300), calm[1], calm[2]) > 0.999, "one-sided"
    assert excess_p_value(np.ones(1), *calm) == 1.0
    assert excess_p_value(np.ones(9), np.zeros(9), np.ones(9), np.ones(9)) == 0.0


def test_the_smallest_difference_seen_is_seen_in_four_of_five_cases() -> None:
    """1,000 comparisons have a standard error of 1.3 points; the estimated variance may cost 4 more."""
    random = np.random.default_rng(0)
    planned = smallest_seen(paired_interval(random.normal(size=300), np.zeros(300), 0.95))
    told = 0
    for _ in range(1000):
        found = paired_interval(random.normal(-planned, 1, 300), np.zeros(300), 0.95)
        told += judge(found, 0.0).outcome == "passed"
    assert 0.74 <= told / 1000 <= 0.86


def test_rows_of_one_customer_count_as_one() -> None:
    """A hundred rows of each of five customers leave a doubt that 500 customers would not."""
    random = np.random.default_rng(0)
    customers = np.repeat(np.arange(5), 100)
    losses = random.normal(-0.3, 1, 5)[customers] + random.normal(0, 0.1, 500)
    assert judge(paired_interval(losses, np.zeros(500), 0.95), 0.0).outcome == "passed"
    assert judge(paired_interval(losses, np.zeros(500), 0.95, customers), 0.0).outcome == "inconclusive"


@pytest.mark.parametrize("apart", [0.05, 0.15])
def test_a_model_without_a_change_fails_in_some_segment_no_more_often_than_declared(apart: float) -> None:
    """Right or wrong answers of two models that are as good, by region (20 to 400 rows) and by age."""
    random = np.random.default_rng(11)
    regions = np.repeat(list("abcdefgh"), [400, 200, 100, 60, 40, 30, 20, 12]).astype(object)
    whole = by_segment = 0
    for _ in range(1500):
        ages = random.choice(["young", "old"], regions.size).astype(object)
        chance = random.random(regions.size)
        one, other = (chance < apart).astype(float), (chance > 1 - apart).astype(float)
        found = segment_differences(one, other, {"region": regions, "age": ages}, 0.95)
        whole += judge(paired_interval(one, other, 0.95), 0.0).outcome == "failed"
        by_segment += any(at.difference is not None and at.difference.low > 0 for at in found)
    allowed = 0.025 + 3 * math.sqrt(0.025 * 0.975 / 1500)
    assert by_segment / 1500 <= allowed
    assert (whole + by_segment) / 1500 <= 2 * allowed


def test_what_is_worse_in_one_segment_is_seen_where_the_whole_hides_it() -> None:
    random = np.random.default_rng(5)
    where = np.repeat(["here", "elsewhere", "rare"], [100, 900, 19]).astype(object)
    where[:3] = None
    candidate = random.normal(0, 1, where.size) + 0.8 * (where == "here") - 0.2 * (where == "elsewhere")
    assert judge(paired_interval(candidate, np.zeros(where.size), 0.95), 0.0).outcome == "passed"
    found = {one.name: one for one in segment_differences(candidate, 0 * candidate, {"where": where}, 0.95)}
    assert found["here"].difference is not None
    assert found["here"].difference.low > 0
    assert found["here"].difference.confidence == pytest.approx(0.975), "shared by the two with rows enough"
    assert (found["here"].n_rows, found["rare"].n_rows, found["rare"].difference) == (97, 19, None)
