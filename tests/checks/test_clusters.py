"""Clusters, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_samples,
)

from headrace.checks.clusters import adjusted_rand, calinski_harabasz, davies_bouldin, silhouette
from headrace.core.errors import InvalidInput


@pytest.mark.requirement("EVA-16")
@pytest.mark.parametrize(("n_rows", "offset"), [(30, 0.0), (1200, 100.0)])
def test_each_measure_agrees_with_scikit_learn(n_rows: int, offset: float) -> None:
    random = np.random.default_rng(n_rows)
    clusters = random.integers(0, 4, n_rows)
    rows = random.normal(size=(n_rows, 3)) + clusters[:, None] + offset
    names = np.array(["a", "b", "c", "d"])[clusters]
    assert silhouette(rows, names) == pytest.approx(silhouette_samples(rows, names), abs=1e-6)
    assert davies_bouldin(rows, names) == pytest.approx(davies_bouldin_score(rows, names))
    assert calinski_harabasz(rows, names) == pytest.approx(calinski_harabasz_score(rows, names))


def test_a_row_alone_in_its_cluster_has_no_silhouette() -> None:
    assert silhouette([[0.0], [1.0], [9.0]], ["a", "a", "b"])[2] == 0.0


@pytest.mark.parametrize(
    ("rows", "clusters"),
    [
        ([[0.0], [1.0]], [0, 0]),
        ([[0.0], [1.0]], [0, 1]),
        ([[np.nan], [1.0], [2.0]], [0, 1, 1]),
        ([[0.0]], [0, 1]),
    ],
)
def test_what_cannot_be_measured_is_refused(rows: list[list[float]], clusters: list[int]) -> None:
    for measure in (silhouette, davies_bouldin, calinski_harabasz):
        with pytest.raises(InvalidInput):
            measure(rows, clusters)


@pytest.mark.parametrize("n_clusters", [1, 2, 7])
def test_agreement_of_two_ways_to_group_is_scikit_learns(n_clusters: int) -> None:
    random = np.random.default_rng(n_clusters)
    one = random.integers(0, n_clusters, 200)
    other = np.where(random.random(200) < 0.7, one, random.integers(0, 3, 200))
    names = np.array(["a", "b", "c", "d", "e", "f", "g"])[other]
    assert adjusted_rand(one, names) == pytest.approx(adjusted_rand_score(one, names))
    assert adjusted_rand(one, one) == 1.0


def test_other_numbers_of_rows_do_not_compare() -> None:
    with pytest.raises(InvalidInput, match="2 rows are compared with 3"):
        adjusted_rand([0, 1], [0, 1, 2])
