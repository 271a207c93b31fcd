"""Rows of one customer are no new customers: the interval covers what it says for groups of any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.clustered import clustered_interval
from headrace.checks.metrics import mean_interval
from headrace.core.errors import InvalidInput


def test_the_deviation_is_that_of_statsmodels() -> None:
    """The oracle: an ordinary regression on a constant with clustered errors, but for its own correction."""
    import statsmodels.api as sm
    from scipy.special import stdtrit

    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 8)
    values = random.normal(size=50)[groups] + random.normal(size=400)
    fitted = sm.OLS(values, np.ones(400)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    found = clustered_interval(values, groups, 0.95)
    narrowest = min(found.high - found.estimate, found.estimate - found.low)
    expected = fitted.bse[0] * math.sqrt(50 / 49)
    assert narrowest == pytest.approx(stdtrit(49, 0.975) * expected, rel=1e-9)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=60))
def test_groups_of_one_change_nothing(values: list[float]) -> None:
    groups = [f"g{i}" for i in range(len(values))]
    assert clustered_interval(np.array(values), groups, 0.9) == mean_interval(np.array(values), 0.9)
    assert clustered_interval(np.array(values), [None] * len(values), 0.9) == mean_interval(
        np.array(values), 0.9
    )


@given(st.lists(st.integers(1, 30), min_size=2, max_size=12), st.integers(0, 99))
def test_the_deviation_is_that_of_leaving_each_group_out(sizes: list[int], seed: int) -> None:
    """The oracle: the jackknife, done."""
    from scipy.special import stdtrit

    groups = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(seed).normal(size=groups.size)
    found = clustered_interval(values, groups, 0.95)
    if groups.size == len(sizes):
        return
    left = np.array([values[groups != group].mean() for group in range(len(sizes))])
    jackknife = math.sqrt((len(sizes) - 1) / len(sizes) * ((left - values.mean()) ** 2).sum())
    narrowest = min(found.high - found.estimate, found.estimate - found.low)
    degrees = max(groups.size**2 / (np.array(sizes) ** 2).sum() - 1, 1)
    assert narrowest == pytest.approx(stdtrit(degrees, 0.975) * jackknife, rel=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_rows_that_cancel_within_every_group_are_no_certainty(values: list[float]) -> None:
    """As where a candidate wins one row of a customer and loses another."""
    pairs = np.array([part for value in values for part in (value, -value)])
    found = clustered_interval(pairs, np.repeat(np.arange(len(values)), 2), 0.95)
    plain = mean_interval(pairs, 0.95)
    assert (found.low, found.high) == (plain.low, plain.high)


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("n_groups", [15, 60])
def test_it_covers_what_it_says(n_groups: int, uneven: bool) -> None:
    """600 intervals at 95 % have a standard error of 0.9 points; a plain one covers under 75 %."""
    random = np.random.default_rng(3)
    covered = plain = 0
    for _ in range(600):
        sizes = random.geometric(0.05, n_groups) if uneven else np.full(n_groups, 20)
        groups = np.repeat(np.arange(n_groups), sizes)
        values = random.normal(0, 1, n_groups)[groups] + random.normal(0, 1.5, groups.size)
        found, naive = clustered_interval(values, groups, 0.95), mean_interval(values, 0.95)
        covered += found.low <= 0 <= found.high
        plain += naive.low <= 0 <= naive.high
    assert 0.93 <= covered / 600 <= 0.98
    assert plain / 600 < 0.8


def test_whose_group_is_not_known_is_alone_in_it() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0])
    alone = clustered_interval(values, ["a", "b", "c", "a"], 0.95)
    assert clustered_interval(values, ["a", math.nan, None, "a"], 0.95) == alone
    assert clustered_interval(values, np.array(["a", None, None, "a"], dtype=object), 0.95) == alone


def test_bad_input() -> None:
    with pytest.raises(InvalidInput, match="1 groups for 2 values"):
        clustered_interval(np.array([1.0, 2.0]), ["a"], 0.95)
    values = np.array([1.0, 2.0, 4.0])
    one = clustered_interval(values, ["a", "a", "a"], 0.95)
    assert one == mean_interval(values, 0.95), "there is nobody else to speak of"
    assert math.isnan(clustered_interval(np.array([1.0, np.nan, 2.0]), ["a", "a", "b"], 0.95).low)
