from __future__ import annotations

import numpy as np
import pytest

from headrace.checks.cusum import Cusum
from tests.checks.simulated import DIFFERENCES


def test_a_lasting_rise_is_noticed_within_days(random: np.random.Generator) -> None:
    detector = Cusum.calibrate(random.exponential(size=300), false_alarms=0.01)
    sums = detector.run(random.exponential(size=10) + 4)
    assert int((sums > detector.limit).argmax()) < 5


def test_the_sum_forgets_what_was_better(random: np.random.Generator) -> None:
    detector = Cusum.calibrate(random.normal(size=300), false_alarms=0.05)
    assert detector.run(np.full(50, -3.0)).tolist() == [0.0] * 50


def test_it_is_the_same_every_time_and_stricter_for_fewer_alarms(random: np.random.Generator) -> None:
    reference = random.normal(size=200)
    assert Cusum.calibrate(reference, false_alarms=0.05) == Cusum.calibrate(reference, false_alarms=0.05)
    assert (
        Cusum.calibrate(reference, false_alarms=0.01).limit
        > Cusum.calibrate(reference, false_alarms=0.2).limit
    )


def test_constant_and_short_references() -> None:
    assert np.isfinite(Cusum.calibrate(np.full(30, 2.0), false_alarms=0.05).limit)
    assert np.isfinite(Cusum.calibrate(np.array([1.0, 2.0, 3.0]), false_alarms=0.05).limit)


@pytest.mark.parametrize("name", ["normal", "exponential", "log losses"])
def test_calm_series_rarely_alarm(name: str) -> None:
    """5 % are declared; after 1,000 values 7 % were measured (benchmarks/check_statistics.py)."""
    losses, random = DIFFERENCES[name], np.random.default_rng(1)
    alarms = 0
    for _ in range(150):
        values = losses.draw(random, (1090,))
        detector = Cusum.calibrate(values[:1000], false_alarms=0.05, n_paths=300)
        alarms += bool((detector.run(values[1000:]) > detector.limit).any())
    assert alarms / 150 <= 0.14
