from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.metrics import mean_interval
from headrace.checks.sequential import (
    FEWEST_DIFFERENT,
    FEWEST_ROWS,
    AlwaysValid,
    exceeds_share,
    rows_to_notice,
    smallest_noticed,
)
from headrace.core.errors import InvalidInput
from tests.checks.simulated import DIFFERENCES, RARE

ALL = {**DIFFERENCES, **RARE}


@given(st.lists(st.floats(-1e3, 1e3), min_size=60, max_size=120), st.lists(st.integers(1, 119), max_size=5))
def test_batches_do_not_matter(values: list[float], cuts: list[int]) -> None:
    whole, parts = AlwaysValid(alpha=0.05), AlwaysValid(alpha=0.05)
    whole.update(np.array(values))
    for part in np.split(np.array(values), sorted(cuts)):
        parts.update(part)
    first, second = whole.interval(), parts.interval()
    if first is None or second is None:
        assert first is second
    else:
        assert [second.low, second.high] == pytest.approx([first.low, first.high], abs=1e-6)
        assert second.n == len(values)


def test_it_is_wider_than_an_interval_for_one_look_and_shrinks() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    sequence = AlwaysValid(alpha=0.05)
    widths = []
    for part in np.split(values, 10):
        sequence.update(part)
        found = sequence.interval()
        assert found is not None
        widths.append(found.high - found.low)
    once = mean_interval(values, 0.95)
    assert once.high - once.low < widths[-1] < 2.5 * (once.high - once.low)
    assert widths == sorted(widths, reverse=True)


def test_nothing_is_said_too_early() -> None:
    sequence = AlwaysValid(alpha=0.05)
    sequence.update(np.random.default_rng(0).normal(size=FEWEST_ROWS - 1))
    assert sequence.interval() is None
    sequence.update(np.array([0.5]))
    assert sequence.interval() is not None
    alike = AlwaysValid(alpha=0.05)
    alike.update(np.zeros(10_000))
    alike.update(np.ones(FEWEST_DIFFERENT - 1))
    assert alike.interval() is None
    alike.update(np.ones(1))
    assert alike.interval() is not None


def test_bad_input() -> None:
    sequence = AlwaysValid(alpha=0.05)
    with pytest.raises(InvalidInput, match="not finite"):
        sequence.update(np.array([1.0, np.nan]))
    assert sequence.n == 0
    with pytest.raises(InvalidInput, match="alpha is 5"):
        AlwaysValid(alpha=5)


def test_a_real_difference_is_found() -> None:
    sequence = AlwaysValid(alpha=0.05)
    sequence.update(np.random.default_rng(0).normal(0.3, 1, size=500))
    found = sequence.interval()
    assert found is not None
    assert found.low > 0


@given(st.integers(1, 400), st.integers(0, 4000), st.sampled_from([0.001, 0.02, 0.3]))
def test_evidence_for_a_larger_share_is_what_an_integral_says(hits: int, more: int, limit: float) -> None:
    """The oracle: SciPy's quadrature of the likelihood ratio over all larger shares."""
    from scipy.integrate import quad

    n = hits + more

    def ratio(share: float) -> float:
        log = hits * np.log(share / limit) + more * np.log1p(-share) - more * np.log1p(-limit)
        return float(np.exp(min(log, 700.0)))

    peak = min(max(hits / n, limit + 1e-9), 1 - 1e-9)
    expected, _ = quad(ratio, limit, 1, points=[peak], limit=500)
    evidence = expected / (1 - limit)
    for alpha in (0.2, 0.01):
        if abs(np.log(evidence * alpha)) > 1e-3:
            assert exceeds_share(hits, n, limit, alpha) == (evidence >= 1 / alpha)


def test_a_share_at_its_ends() -> None:
    assert not exceeds_share(0, 0, 0.02, 0.01)
    assert not exceeds_share(5, 5, 1.0, 0.01)
    assert exceeds_share(1, 1_000, 0.0, 0.01), "never means never"


@given(st.floats(0.02, 2.0), st.sampled_from([0.01, 0.08, 0.4]), st.sampled_from([100, 1000]))
def test_rows_and_effects_are_each_others_answer(effect: float, alpha: float, tuned_for: int) -> None:
    n = rows_to_notice(effect, alpha=alpha, tuned_for=tuned_for)
    assert smallest_noticed(n, alpha=alpha, tuned_for=tuned_for) <= effect
    assert n == FEWEST_ROWS or smallest_noticed(n - 1, alpha=alpha, tuned_for=tuned_for) > effect


def test_what_is_planned_is_noticed() -> None:
    """95 of 100 at least: the rows are counted for the last look alone, and earlier ones find most."""
    random = np.random.default_rng(0)
    n = rows_to_notice(0.15, alpha=0.08, tuned_for=1000)
    noticed = 0
    for _ in range(300):
        sequence = AlwaysValid(alpha=0.08, tuned_for=1000)
        sequence.update(random.normal(0.15, 1, n))
        found = sequence.interval()
        noticed += found is not None and found.low > 0
    assert noticed >= 0.95 * 300 - 3 * np.sqrt(300 * 0.95 * 0.05)


@pytest.mark.parametrize("effect", [0.0, -1.0, float("nan"), float("inf")])
def test_no_effect_is_never_noticed(effect: float) -> None:
    with pytest.raises(InvalidInput, match="standard deviations above 0"):
        rows_to_notice(effect, alpha=0.08)


@pytest.mark.parametrize("name", ALL)
def test_looking_all_the_time_is_not_fooled(name: str) -> None:
    """5 % are allowed over all 80 looks; 250 repetitions have a standard error of 1.4 points.

    benchmarks/check_statistics.py looks after every row, 2,000 times.
    """
    losses = ALL[name]
    values = losses.draw(np.random.default_rng(7), (250, 2000))
    fooled = 0
    for row in values:
        sequence = AlwaysValid(alpha=0.05)
        for part in row.reshape(-1, 25):
            sequence.update(part)
            found = sequence.interval()
            if found is not None and not found.low <= losses.mean <= found.high:
                fooled += 1
                break
    assert fooled / len(values) <= 0.085


def test_an_interval_for_one_look_would_be_fooled() -> None:
    """The reason for all this: the same data, looked at in the same way."""
    values = np.random.default_rng(7).normal(size=(200, 2000))
    looks = range(50, 2001, 50)
    fooled = [
        any(not (i := mean_interval(row[:n], 0.95)).low <= 0 <= i.high for n in looks) for row in values
    ]
    assert np.mean(fooled) > 0.2
