"""The level and the power of a share that has fallen, where windows differ by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from headrace.checks.coverage import VARIES, fallen_p_value

LEVEL = 0.01
N_SIMULATED = 2_000


def shares_found(share: float, sd: float, n_windows: int, n_rows: int, *, fallen: float = 0.0) -> float:
    """How often the newest of windows is found at ``LEVEL``; their own shares vary by ``sd``."""
    random = np.random.default_rng(0)
    own = np.clip(random.normal(share, sd, (N_SIMULATED, n_windows + 1)), 0.0, 1.0)
    own[:, -1] *= 1 - fallen
    known, n = random.binomial(n_rows, own), np.full(n_windows, n_rows)
    return float(np.mean([fallen_p_value(int(row[-1]), n_rows, row[:-1], n) <= LEVEL for row in known]))


@pytest.mark.parametrize("n_windows", [2, 4, 8])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
@pytest.mark.parametrize("n_rows", [50, 2_000])
def test_windows_that_vary_as_is_assumed_are_found_at_most_at_the_level(
    n_windows: int, share: float, n_rows: int
) -> None:
    margin = 3 * np.sqrt(LEVEL * (1 - LEVEL) / N_SIMULATED)
    assert shares_found(share, VARIES * share, n_windows, n_rows) <= LEVEL + margin


def test_windows_that_vary_more_are_known_to_once_there_are_some() -> None:
    assert shares_found(0.5, 0.12, 8, 1_000) <= 3 * LEVEL


@pytest.mark.parametrize(("n_rows", "least"), [(100, 0.75), (2_000, 0.95)])
def test_a_fall_by_half_is_found(n_rows: int, least: float) -> None:
    assert shares_found(0.8, 0.04, 4, n_rows, fallen=0.5) >= least


def test_without_variance_between_windows_but_the_assumed_it_is_the_normal_test() -> None:
    before, now, n = np.array([80, 80]), 60, 100
    pooled = (60 + 160) / 300
    sd = np.sqrt(pooled * (1 - pooled) * (1 / 100 + 1 / 200) + (VARIES * 0.8) ** 2 * 1.5)
    assert fallen_p_value(now, n, before, np.array([100, 100])) == pytest.approx(norm.cdf(-0.2 / sd))


@pytest.mark.parametrize(
    ("known", "n", "before", "n_before"),
    [(0, 0, [5, 5], [10, 10]), (0, 10, [5], [10]), (0, 10, [0, 0], [0, 0]), (0, 10, [0, 0], [9, 9])],
)
def test_where_nothing_can_be_said_nothing_is(
    known: int, n: int, before: list[int], n_before: list[int]
) -> None:
    assert fallen_p_value(known, n, np.array(before), np.array(n_before)) >= 0.5
