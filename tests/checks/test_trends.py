"""Lines through the values of windows."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from headrace.checks.trends import FEWEST_WINDOWS, trend_of
from headrace.core.errors import InvalidInput


def test_it_is_the_line_of_least_squares() -> None:
    values = 3.0 + 0.2 * np.arange(12) + np.random.default_rng(0).normal(0, 2, 12)
    fitted = sm.OLS(values, sm.add_constant(np.arange(12.0))).fit()
    found = trend_of(values, np.zeros(12), 0.9)
    assert found is not None
    assert found.slope == pytest.approx(fitted.params[1])
    assert (found.low, found.high) == pytest.approx(tuple(fitted.conf_int(0.1)[1]))
    assert 2 * min(found.p_rise, found.p_fall) == pytest.approx(fitted.pvalues[1])


def test_values_that_happen_to_lie_on_a_line_are_no_better_known_than_they_are() -> None:
    lucky = trend_of(np.arange(6.0), np.full(6, 5.0), 0.9)
    assert lucky is not None
    assert lucky.low < 0 < lucky.high


@pytest.mark.parametrize("extra", [0.0, 2.0], ids=["as-declared", "weeks-differ"])
@pytest.mark.parametrize("known", [True, False], ids=["errors", "no-errors"])
def test_values_without_a_trend_rise_no_more_often_than_declared(extra: float, known: bool) -> None:
    random, level, n_trials = np.random.default_rng(1), 0.02, 4000
    false = 0
    for _ in range(n_trials):
        errors = random.uniform(0.5, 2.0, 8) if known else np.ones(8)
        values = 5 + random.normal(0, errors) + random.normal(0, extra, 8)
        trend = trend_of(values, errors if known else np.zeros(8), 0.9)
        false += trend is not None and trend.p_rise <= level
    assert false <= level * n_trials + 3 * np.sqrt(level * n_trials)


def test_a_slow_rise_is_found() -> None:
    values = 1 + 0.02 * np.arange(12) + np.random.default_rng(2).normal(0, 0.01, 12)
    trend = trend_of(values, np.full(12, 0.01), 0.9)
    assert trend is not None
    assert trend.p_rise < 1e-5
    assert trend.p_fall > 0.999
    assert trend.low < 0.02 < trend.high


def test_few_values_say_nothing_and_wrong_errors_are_refused() -> None:
    n = FEWEST_WINDOWS - 1
    assert trend_of(np.arange(float(n)), np.ones(n), 0.9) is None
    level = trend_of(np.ones(6), np.zeros(6), 0.9)
    assert level is not None
    assert (level.slope, level.p_rise) == (0.0, 1.0)
    with pytest.raises(InvalidInput, match="one standard error"):
        trend_of(np.ones(6), np.full(6, -1.0), 0.9)
