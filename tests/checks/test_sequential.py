from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.metrics import mean_interval
from headrace.checks.sequential import FEWEST_DIFFERENT, FEWEST_ROWS, AlwaysValid
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
