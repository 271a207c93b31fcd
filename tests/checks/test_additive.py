"""Hats share out one, whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.checks.additive import Hats


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.lists(st.floats(), max_size=20))
@example([0.0] * 15 + [-1.0] * 4 + [-1.1125369292536007e-308], [-2.225073858507e-311])
def test_hats_share_out_one(learnt: list[float], asked: list[float]) -> None:
    hats = Hats.fit("x", np.array(learnt), "numeric")
    made = hats.of(np.array(asked), len(asked))
    assert made.shape == (len(asked), hats.width)
    assert made.sum(axis=1) == pytest.approx(np.ones(len(asked)))
    assert (made >= 0).all()
