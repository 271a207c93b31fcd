"""Expected ranges of the statistics of a window."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import nhypergeom

from headrace.checks.profiles import NumericProfile
from headrace.checks.ranges import (
    FEWEST_WINDOWS,
    Reference,
    Seen,
    beyond_p_value,
    expected_range,
    references,
)

Floats = NDArray[np.float64]
STATISTICS: dict[str, Callable[[Floats], float]] = {
    "mean": lambda v: float(v.mean()),
    "median": lambda v: float(np.median(v)),
    "deviation": lambda v: float(v.std()),
}


def test_nothing_is_expected_after_few_windows() -> None:
    reference, seen = Reference(5.0, 1.0, 100), Seen(5.0, 50)
    assert expected_range(reference, [seen] * (FEWEST_WINDOWS - 1), 50, 0.05) is None
    assert expected_range(reference, [seen] * FEWEST_WINDOWS, 0, 0.05) is None
    assert expected_range(reference, [seen] * FEWEST_WINDOWS, 50, 0.05) is not None


@pytest.mark.parametrize("between", [0.0, 0.3], ids=["alike", "days-differ"])
@pytest.mark.parametrize("skewed", [False, True], ids=["normal", "skewed"])
@pytest.mark.parametrize("n_earlier", [7, 20])
def test_calm_windows_are_inside_but_for_the_level(between: float, skewed: bool, n_earlier: int) -> None:
    """The level may be kept with room to spare; of skewed answers, the deviation is the hardest."""
    random, level, n_trials = np.random.default_rng(11), 0.02, 500
    false = dict.fromkeys(STATISTICS, 0)

    def window(n: int, moved: float) -> Floats:
        drawn = random.gamma(4, 0.5, n) if skewed else random.normal(2, 1, n)
        return np.asarray(drawn + moved)

    for _ in range(n_trials):
        trained = window(1000, 0.0)
        profile = NumericProfile.fit(trained)
        known = references(
            profile.quantiles, profile.n, profile.summary["mean"], profile.summary["deviation"]
        )
        windows = [window(100, random.normal(0, between)) for _ in range(n_earlier + 1)]
        for name, statistic in STATISTICS.items():
            seen = [Seen(statistic(one), one.size) for one in windows[:-1]]
            limits = expected_range(known[name], seen, 100, level)
            assert limits is not None
            false[name] += not limits[0] <= statistic(windows[-1]) <= limits[1]
    allowed = level * n_trials + 3 * np.sqrt(level * n_trials)
    assert {name: n for name, n in false.items() if n > allowed} == {}


def test_what_moves_by_a_deviation_is_outside() -> None:
    random = np.random.default_rng(3)
    profile = NumericProfile.fit(random.normal(50, 5, 2000))
    known = references(profile.quantiles, profile.n, profile.summary["mean"], profile.summary["deviation"])
    days = [random.normal(50 + random.normal(0, 0.5), 5, 200) for _ in range(14)]
    low, high = expected_range(known["mean"], [Seen(float(d.mean()), 200) for d in days], 200, 1e-5) or (0, 0)
    assert 45 < low < 48
    assert 52 < high < 55
    assert known["median"].spread == pytest.approx(5 * np.sqrt(np.pi / 2), rel=0.15)
    assert known["deviation"].spread == pytest.approx(5 / np.sqrt(2), rel=0.1)


@given(st.integers(1, 60), st.integers(1, 400), st.data())
def test_values_beyond_a_reference_are_counted_exactly(n: int, n_reference: int, data: st.DataObject) -> None:
    """Going down from the largest of all, so many come before the first of the reference."""
    n_beyond = data.draw(st.integers(0, n))
    expected = prod((Fraction(n - i, n + n_reference - i) for i in range(n_beyond)), start=Fraction(1))
    # SciPy's survival function is off in the sixth digit where it is small.
    oracle = nhypergeom.sf(n_beyond - 1, n + n_reference, n, 1) if n_beyond else 1.0
    assert float(expected) == pytest.approx(oracle, rel=1e-5, abs=1e-12)
    assert beyond_p_value(n_beyond, n, n_reference) == pytest.approx(float(expected), rel=1e-9, abs=1e-15)
