from __future__ import annotations

from math import inf

import numpy as np
import pytest
from scipy.stats import binom

from headrace.checks.outliers import FALSE_FLAGS, usual_limits


@pytest.mark.requirement("DAT-08")
@pytest.mark.parametrize(("n", "runs"), [(20, 1000), (100, 1000), (1_000, 1000), (20_000, 200)])
def test_columns_of_normal_values_are_flagged_no_more_often_than_stated(n: int, runs: int) -> None:
    random = np.random.default_rng(n)
    flagged = 0
    for _ in range(runs):
        values = random.normal(50, 7, n)
        low, high = usual_limits(values)
        flagged += bool(((values < low) | (values > high)).any())
    assert flagged <= binom.ppf(0.999, runs, 1.2 * FALSE_FLAGS)


@pytest.mark.parametrize("n", [30, 1_000, 50_000])
def test_a_fifth_of_the_values_may_be_wrong_and_are_all_found(n: int) -> None:
    values = np.random.default_rng(0).normal(0, 1, n)
    values[: n // 5] = 1_000.0
    low, high = usual_limits(values)
    assert -30 < low < values[n // 5 :].min()
    assert values[n // 5 :].max() < high < 1_000


def test_amounts_may_be_skewed() -> None:
    values = np.random.default_rng(1).lognormal(3, 1, 20_000)
    low, high = usual_limits(values)
    assert low < values.min()
    assert values.max() < high < 100_000


def test_too_few_values_and_a_constant_have_no_limits() -> None:
    assert usual_limits(np.array([1.0] * 18 + [np.nan, 1e9])) == (-inf, inf)
    assert usual_limits(np.array([1.0] * 99 + [1e9])) == (-inf, inf)
    assert usual_limits(np.array([])) == (-inf, inf)
