"""Kappa is what others compute, and its interval covers what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.agreement import cohens_kappa
from headrace.core.errors import InvalidInput

WORDS = st.sampled_from(["good", "bad", "unsure"])


@given(pairs=st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=60))
def test_it_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    one, other = ([pair[side] for pair in pairs] for side in (0, 1))
    found = cohens_kappa(one, other)
    assert found is not None
    if found.kappa is None:
        assert len(set(one) | set(other)) == 1
        return
    assert found.kappa == pytest.approx(cohen_kappa_score(one, other))
    assert found.interval is not None
    low, high = found.interval
    assert low - 1e-9 <= found.kappa <= high + 1e-9 <= 1.0 + 2e-9


def test_few_that_agree_prove_little() -> None:
    few, many = (cohens_kappa(["good", "bad"] * n, ["good", "bad"] * n) for n in (2, 200))
    assert few is not None
    assert many is not None
    assert (few.kappa, many.kappa) == (1.0, 1.0)
    assert few.interval is not None
    assert many.interval is not None
    assert few.interval[0] < 0.1
    assert many.interval[0] > 0.95


@pytest.mark.parametrize(("n", "true"), [(40, 0.4), (40, 0.8), (150, 0.6)])
def test_the_interval_covers_the_true_kappa_as_often_as_it_says(n: int, true: float) -> None:
    rng = np.random.default_rng(5)
    covered, rounds = 0, 2_000
    for _ in range(rounds):
        one = rng.random(n) < 0.4
        agrees = rng.random(n) < true  # else by chance, with the same share: kappa is that probability
        other = np.where(agrees, one, rng.random(n) < 0.4)
        found = cohens_kappa(one.tolist(), other.tolist())
        assert found is not None
        covered += found.interval is not None and found.interval[0] <= true <= found.interval[1]
    assert 0.93 <= covered / rounds <= 0.98


def test_nothing_and_unequal_numbers() -> None:
    assert cohens_kappa([], []) is None
    same = cohens_kappa(["good"], ["good"])
    assert same is not None
    assert (same.kappa, same.interval, same.observed) == (None, None, 1.0)
    with pytest.raises(InvalidInput, match="One has judged 1, the other 2"):
        cohens_kappa(["good"], ["good", "bad"])
