"""Measures without truth: against closed forms, scikit-learn and simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, silhouette_samples

from headrace.checks.comparison import paired_interval
from headrace.checks.unlabelled import (
    MOST_ROWS,
    average_precision,
    common_scale,
    losses_without_truth,
    overlap,
)
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns


class Ranked:
    """A model that calls a row the more unusual, the further it is from ``middle``."""

    def __init__(self, middle: float = 0.0, noise: float = 0.0, seed: int = 0) -> None:
        self.middle, self.noise, self.random = middle, noise, np.random.default_rng(seed)

    def __call__(self, columns: Columns) -> Mapping[str, Any]:
        x = np.asarray(columns["x"], dtype=np.float64)
        score = np.abs(np.nan_to_num(x) - self.middle) + self.noise * self.random.normal(size=len(x))
        score = np.minimum(score / 20, 1.0)
        return {"predict": score > 0.5, "probability": np.column_stack([1 - score, score])}


def test_the_mean_loss_is_the_area_under_the_mass_volume_curve() -> None:
    """Rows fill half of the box: what is called more normal than a row is, on average, a quarter of it."""
    x = np.concatenate([np.random.default_rng(0).uniform(-5, 5, 4_998), [-10.0, 10.0]])
    losses = losses_without_truth("mass_volume", Ranked(), {"x": x})
    assert losses.mean() == pytest.approx(0.25, abs=0.01)
    assert ((losses >= 0) & (losses <= 1)).all()


def test_chance_has_one_half_and_a_better_model_a_smaller_loss() -> None:
    x = np.append(np.random.default_rng(1).normal(size=2_000), [10.0, -10.0])
    chance, right, wrong = (
        losses_without_truth("mass_volume", model, {"x": x}).mean()
        for model in (Ranked(noise=1e6), Ranked(), Ranked(middle=3.0))
    )
    assert chance == pytest.approx(0.5, abs=0.02)
    assert right < wrong < chance


def test_two_models_that_are_equally_good_are_told_apart_as_rarely_as_is_said() -> None:
    """Mirror images on symmetric rows: the paired interval of 95 % misses no difference in 5 % of tables."""
    random, missed, n_tables = np.random.default_rng(2), 0, 300
    for table in range(n_tables):
        x = np.append(random.normal(size=200), [6.0, -6.0])
        one, other = (
            losses_without_truth("mass_volume", Ranked(middle), {"x": x}, seed=table)
            for middle in (-0.7, 0.7)
        )
        interval = paired_interval(one, other, 0.95)
        missed += not interval.low <= 0 <= interval.high
    # Binomial(300, 0.05) is at most 26 with probability 0.998.
    assert missed <= 26


def test_missing_values_and_words_are_drawn_as_often_as_they_are_there() -> None:
    seen: list[Columns] = []

    def ask(columns: Columns) -> Mapping[str, Any]:
        seen.append(columns)
        return {"probability": np.zeros((len(columns["n"]), 2))}

    n: NDArray[np.float64] = np.where(np.arange(100) < 30, np.nan, np.arange(100.0))
    words = np.array([None] * 20 + ["a"] * 79 + ["b"], dtype=object)
    losses = losses_without_truth("mass_volume", ask, {"n": n, "w": words, "i": np.arange(100)})
    assert losses.tolist() == [0.5] * 100  # all alike: ties count half
    for drawn in seen[1:]:
        assert np.isnan(drawn["n"]).sum() == 30
        assert [value is None for value in drawn["w"]].count(True) == 20
        assert np.nanmin(drawn["n"]) >= 30
    assert sum((drawn["w"] == "b").sum() for drawn in seen[1:]) > 200  # half of 800, not a hundredth


def test_clusters_lose_what_their_silhouette_lacks() -> None:
    x = np.concatenate([np.random.default_rng(3).normal(size=50), np.random.default_rng(4).normal(9, 1, 50)])
    clusters = np.repeat([0, 1], 50)
    losses = losses_without_truth("silhouette_loss", lambda _: {"predict": clusters}, {"x": x})
    scaled = common_scale({"x": x})
    assert losses == pytest.approx(1 - silhouette_samples(scaled, clusters))


def test_one_cluster_is_no_better_than_none() -> None:
    losses = losses_without_truth(
        "silhouette_loss", lambda rows: {"predict": np.zeros(len(rows["x"]))}, {"x": np.arange(9.0)}
    )
    assert losses.tolist() == [1.0] * 9


def test_a_long_table_is_measured_on_evenly_spaced_rows() -> None:
    asked: list[int] = []

    def ask(columns: Columns) -> Mapping[str, Any]:
        asked.append(len(columns["x"]))
        return {"predict": (np.asarray(columns["x"]) > 10_000).astype(int)}

    losses = losses_without_truth("silhouette_loss", ask, {"x": np.arange(20_000.0)})
    assert asked == [MOST_ROWS]
    assert len(losses) == MOST_ROWS


def test_what_needs_truth_or_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs truth"):
        losses_without_truth("mae", Ranked(), {"x": np.arange(3.0)})
    with pytest.raises(InvalidInput, match="no rows"):
        losses_without_truth("mass_volume", Ranked(), {"x": np.zeros(0)})


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_average_precision_is_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    is_one, score = [one for one, _ in rows], [float(value) for _, value in rows]
    found = average_precision(is_one, score)
    assert (
        np.isnan(found) if not any(is_one) else found == pytest.approx(average_precision_score(is_one, score))
    )


def test_rankings_overlap_wholly_or_not_at_all() -> None:
    score = np.linspace(0, 1, 100)
    assert overlap(score, score**3, 0.1) == 1.0
    assert overlap(score, -score, 0.1) == 0.0
    assert overlap(score, score, 1e-6) == 1.0
