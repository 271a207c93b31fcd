"""Two counts of one mean, and two of different ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom
from statsmodels.stats.rates import test_poisson_2indep as poisson_2indep

from headrace.checks.counts import count_p_value, dispersion_of

counts = st.integers(0, 3000)


@given(counts, counts, st.floats(1e-6, 5))
def test_the_p_value_is_that_of_the_beta_binomial(observed: int, reference: int, dispersion: float) -> None:
    total, shape = observed + reference, 1 / dispersion
    expected = min(2 * betabinom.cdf(min(observed, reference), total, shape, shape), 1.0)
    found = count_p_value(observed, reference, dispersion)
    assert found == pytest.approx(expected if total else 1.0, rel=1e-4, abs=1e-12)
    assert found == count_p_value(reference, observed, dispersion)


@pytest.mark.parametrize(("observed", "reference"), [(0, 9), (3, 12), (60, 100), (480, 520), (0, 0)])
def test_without_dispersion_it_is_the_conditional_test_of_poisson_counts(
    observed: int, reference: int
) -> None:
    expected = 1.0
    if observed + reference:
        expected = poisson_2indep(observed, 1, reference, 1, method="exact-cond").pvalue
    assert count_p_value(observed, reference, 0.0) == pytest.approx(expected)


@pytest.mark.parametrize("dispersion", [0.0005, 0.04, 0.3])
def test_large_counts_have_the_p_value_of_the_exact_sum(dispersion: float) -> None:
    shape = 1 / dispersion
    for low in (9_000, 12_000, 14_000):
        expected = 2 * betabinom.cdf(low, 30_000, shape, shape)
        assert count_p_value(low, 30_000 - low, dispersion) == pytest.approx(expected, rel=0.02)


def test_counts_that_say_nothing_are_no_evidence() -> None:
    assert count_p_value(0, 5_000, float("inf")) == 1.0
    first, second = np.tile([0.0, 50.0], 100), np.tile([50.0, 0.0], 100)
    assert dispersion_of(first, second) == float("inf")
    assert dispersion_of(first[:48], second[:48]) is None
    assert dispersion_of(np.zeros(0), np.zeros(0)) is None
    assert dispersion_of(np.zeros(96), np.zeros(96)) == 0.0


def test_unknown_counts_change_nothing() -> None:
    random = np.random.default_rng(4)
    first, second = random.poisson(40, (2, 240)).astype(float)
    spoilt = np.concatenate([first, [np.nan] * 24]), np.concatenate([second, [1e6] * 24])
    assert dispersion_of(*spoilt) == pytest.approx(dispersion_of(first, second))


@pytest.mark.parametrize("dispersion", [0.0, 0.04, 0.2])
@pytest.mark.parametrize("by_day", [False, True], ids=["hours", "days"])
def test_the_estimated_dispersion_keeps_the_level(dispersion: float, by_day: bool) -> None:
    """Rates that vary by the hour, or by the hour and by the day as a whole; three weeks to learn from."""
    random, level, n_trials = np.random.default_rng(7), 0.01, 3000
    mean = 60 * (1 + 0.8 * np.sin(np.arange(22 * 24) / 24 * 2 * np.pi)) + 1
    false = 0
    for _ in range(n_trials):
        rates = np.ones(mean.size)
        if dispersion:
            shape = (2 if by_day else 1) / dispersion
            rates = random.gamma(shape, 1 / shape, mean.size)
            rates *= np.repeat(random.gamma(shape, 1 / shape, 22), 24) if by_day else 1.0
        calls = random.poisson(mean * rates).astype(float)
        estimated = dispersion_of(calls[168:-1], calls[:-169])
        assert estimated is not None
        false += count_p_value(int(calls[-1]), int(calls[-169]), estimated) <= level
    assert false <= level * n_trials + 3 * np.sqrt(level * n_trials)


def test_what_is_no_chance_is_found() -> None:
    random = np.random.default_rng(9)
    usual = random.poisson(100 * random.gamma(25, 1 / 25, (2, 504))).astype(float)
    dispersion = dispersion_of(usual[0], usual[1])
    assert dispersion is not None
    assert count_p_value(0, 100, dispersion) < 1e-9
    assert count_p_value(900, 100, dispersion) < 1e-9
    assert count_p_value(70, 100, dispersion) > 0.05
