"""The intervals of what answers brought cover as often as they say, also where it is rare and skewed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator

from headrace.checks.kpis import FEWEST, Brought, difference, mean_of, share_of

CONFIDENCE = 0.9
N_TRIALS = 1_500


def bought(random: Generator, n: int, rate: float) -> Brought:
    found = share_of(int(random.binomial(n, rate)), n, CONFIDENCE)
    assert found is not None
    return found


def revenue(random: Generator, n: int, rate: float) -> Brought:
    """What ``n`` answers earned of which a share of ``rate`` earned something: gamma with mean 100."""
    found = mean_of(random.gamma(2.0, 50.0, int(random.binomial(n, rate))), n, CONFIDENCE)
    assert found is not None
    return found


@pytest.mark.requirement("MON-20")
@pytest.mark.parametrize(
    ("draw", "n", "rates", "worth"),
    [
        (bought, 200, (0.01, 0.1), 1.0),
        (bought, 1000, (0.3, 0.5), 1.0),
        (revenue, 300, (0.1, 0.1), 100.0),
        (revenue, 1000, (0.02, 0.03), 100.0),
        (revenue, 200, (1.0, 1.0), 100.0),
    ],
)
def test_an_interval_covers_what_it_says(
    draw: Callable[[Generator, int, float], Brought], n: int, rates: tuple[float, float], worth: float
) -> None:
    """On the average over rates, as Wilson's does: at a single one it jumps with each hit."""
    random = np.random.default_rng(5)
    covers = []
    for rate in random.uniform(*rates, N_TRIALS):
        interval = draw(random, n, rate).interval
        covers += [] if interval is None else [interval[0] <= rate * worth <= interval[1]]
    assert len(covers) > 0.99 * N_TRIALS
    assert 0.88 <= np.mean(covers) <= 0.95


@pytest.mark.requirement("MON-20")
@pytest.mark.parametrize(
    ("draw", "n", "rates", "gap", "power"),
    [
        (bought, (150, 1500), (0.05, 0.05), 0.0, 0.0),
        (bought, (600, 600), (0.30, 0.22), 0.08, 0.85),
        (revenue, (300, 3000), (0.2, 0.2), 0.0, 0.0),
        (revenue, (800, 800), (0.30, 0.20), 10.0, 0.9),
    ],
)
def test_a_difference_covers_what_it_says_and_finds_what_is_there(
    draw: Callable[[Generator, int, float], Brought],
    n: tuple[int, int],
    rates: tuple[float, float],
    gap: float,
    power: float,
) -> None:
    random = np.random.default_rng(6)
    found = []
    for _ in range(N_TRIALS):
        apart = difference(draw(random, n[0], rates[0]), draw(random, n[1], rates[1]))
        assert apart is not None
        found.append(apart)
    covers = np.mean([low <= gap <= high for low, high in found])
    assert covers == pytest.approx(CONFIDENCE, abs=0.03)
    if gap:
        assert np.mean([low > 0 for low, _ in found]) >= power


def test_answers_of_which_nothing_was_told_count_nothing() -> None:
    found, whole = (
        mean_of(values, 20, CONFIDENCE)
        for values in (np.full(6, 10.0), np.concatenate([np.full(6, 10.0), np.zeros(14)]))
    )
    assert found is not None
    assert whole is not None
    assert (found.value, found.total, found.covered, found.n) == (3.0, 60.0, 6, 20)
    assert found.interval == whole.interval


def test_too_little_has_no_interval_and_of_nothing_there_is_nothing() -> None:
    few, enough = (mean_of(np.arange(1.0, n + 1), 50, CONFIDENCE) for n in (FEWEST - 1, FEWEST))
    assert few is not None
    assert enough is not None
    assert few.interval is None
    assert enough.interval is not None
    assert difference(few, enough) is difference(enough, few) is None
    assert mean_of(np.zeros(0), 0, CONFIDENCE) is share_of(0, 0, CONFIDENCE) is None
    nobody = share_of(0, 100, CONFIDENCE)
    assert nobody is not None
    assert nobody.interval is not None
    assert 0.02 < nobody.interval[1] < 0.05, "none of a hundred is not never"
