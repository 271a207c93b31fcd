from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from headrace.checks.distances import (
    chi_square,
    hellinger,
    ks_statistic,
    ks_test,
    total_variation,
    wasserstein,
)
from headrace.checks.distributions import Numbers

VALUES = hnp.arrays(np.float32, st.integers(1, 15), elements=st.integers(-5, 5).map(float))


def numbers(values: Any) -> Numbers:
    return Numbers.of(np.asarray(values, dtype=np.float64))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of SciPy, about a single value
@given(VALUES, VALUES)
def test_few_values_with_ties_are_compared_as_scipy_does(first: Any, second: Any) -> None:
    one, two = numbers(first), numbers(second)
    assert ks_statistic(one, two) == pytest.approx(stats.ks_2samp(first, second, method="asymp").statistic)
    assert wasserstein(one, two) == pytest.approx(stats.wasserstein_distance(first, second), abs=1e-9)


@pytest.mark.requirement("MON-14")
@pytest.mark.parametrize("shift", [0.0, 0.003, 0.1])
@pytest.mark.parametrize("decimals", [1, 7])
def test_many_values_are_compared_as_scipy_does(shift: float, decimals: int) -> None:
    """More than the 4,096 steps of the first look, with ties and without, of different lengths."""
    random = np.random.default_rng(8)
    first = random.normal(size=60_000).round(decimals).astype(np.float32)
    second = (random.normal(size=25_001) + shift).round(decimals).astype(np.float32)
    tested = ks_test(numbers(first), numbers(second))
    wanted = stats.ks_2samp(first, second, method="asymp")
    assert tested.statistic == pytest.approx(wanted.statistic, abs=1e-12)
    assert tested.p_value == pytest.approx(wanted.pvalue)
    moved = wasserstein(numbers(first), numbers(second))
    assert moved == pytest.approx(stats.wasserstein_distance(first, second), abs=1e-3)


def test_shares_are_compared() -> None:
    first, second = np.array([0.5, 0.5, 0.0]), np.array([0.4, 0.4, 0.2])
    assert total_variation(first, second) == pytest.approx(0.2)
    assert hellinger(first, second) == pytest.approx(np.sqrt(1 - np.sqrt(first * second).sum()))
    assert hellinger(np.array([1.0, 0]), np.array([0, 1.0])) == 1


def test_a_test_takes_the_smallest_deviation_that_counts_may_have() -> None:
    before, now = np.array([5000, 5000]), np.array([500, 570])
    sure, unsure, plain = (
        chi_square(before, now),
        chi_square(before, now, errors=(0.0, 100.0)),
        stats.chi2_contingency([before, now], correction=False),
    )
    assert sure is not None
    assert unsure is not None
    assert sure.p_value == pytest.approx(plain.pvalue)
    assert unsure.p_value == 1.0
    assert chi_square(before, np.zeros(2, dtype=np.int64)) is None
