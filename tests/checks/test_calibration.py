"""Reliability tables and the parts of the Brier score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from headrace.checks.calibration import decompose_brier, expected_calibration_error, reliability_table
from headrace.core.errors import InvalidInput

ROWS = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60)


def test_the_table_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    said = random.random(2000)
    truth = random.random(2000) < said**2
    table = reliability_table(truth, said)
    came_true, mean = calibration_curve(truth, said, n_bins=10)
    assert [b.came_true for b in table] == pytest.approx(came_true.tolist())
    assert [b.said for b in table] == pytest.approx(mean.tolist())
    assert expected_calibration_error(truth, said) == pytest.approx(
        sum(b.n_rows * abs(b.said - b.came_true) for b in table) / 2000
    )


def test_probabilities_that_hold_are_calibrated_and_certainty_that_fails_is_not() -> None:
    random = np.random.default_rng(1)
    said = random.random(50_000)
    assert expected_calibration_error(random.random(50_000) < said, said) < 0.01
    assert expected_calibration_error(np.zeros(10), np.ones(10)) == 1.0


@given(ROWS)
def test_the_parts_of_the_brier_score_add_up(rows: list[tuple[bool, float]]) -> None:
    truth, said = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    parts = decompose_brier(truth, said)
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert whole == pytest.approx(((said - truth) ** 2).mean(), abs=1e-9)
    if 0 < truth.sum() < truth.size:
        assert whole == pytest.approx(brier_score_loss(truth, said), abs=1e-9)


@pytest.mark.parametrize(("truth", "said"), [([], []), ([1.0], [1.5]), ([2.0], [0.5]), ([1.0], [0.5, 0.5])])
def test_what_is_no_probability_is_refused(truth: list[float], said: list[float]) -> None:
    with pytest.raises(InvalidInput, match="Expected"):
        reliability_table(truth, said)
