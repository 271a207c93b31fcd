"""Ordered lists, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, ndcg_score

from headrace.checks.rankings import average_precision, ndcg, reciprocal_rank
from headrace.core.errors import InvalidInput


@pytest.mark.requirement("EVA-16")
@pytest.mark.parametrize("tied", [False, True])
def test_each_list_agrees_with_scikit_learn(tied: bool) -> None:
    random = np.random.default_rng(5)
    relevance = random.integers(0, 3, (20, 9)).astype(float)
    relevance[:, 0] = 1  # something relevant in each
    score = random.normal(size=(20, 9)).round(0 if tied else 9)
    # Lists need not lie together.
    order = random.permutation(180)
    lists = np.repeat(np.arange(20), 9)[order]
    mine = (relevance.ravel()[order], score.ravel()[order], lists)
    first = list(dict.fromkeys(lists.tolist()))
    rows = list(zip(relevance[first], score[first], strict=True))
    assert ndcg(*mine).tolist() == pytest.approx([ndcg_score([r], [s]) for r, s in rows])
    expected = [average_precision_score(r > 0, s) for r, s in rows]
    assert average_precision(*mine).tolist() == pytest.approx(expected)


def test_the_reciprocal_rank_is_the_precision_of_the_only_relevant_item() -> None:
    random = np.random.default_rng(6)
    relevance, score = np.eye(7)[random.integers(0, 7, 15)], random.normal(size=(15, 7))
    found = reciprocal_rank(relevance.ravel(), score.ravel(), np.repeat(np.arange(15), 7))
    assert found.mean() == pytest.approx(label_ranking_average_precision_score(relevance, score))
    assert reciprocal_rank([0, 1], [0.5, 0.5], ["a", "a"]).tolist() == [0.5]


def test_a_list_without_anything_relevant_is_worth_nothing() -> None:
    for measure in (ndcg, average_precision, reciprocal_rank):
        assert measure([0, 0, 1], [1, 2, 3], ["a", "a", "b"]).tolist() == [0.0, 1.0]
        with pytest.raises(InvalidInput, match="Expected 0 or more"):
            measure([-1], [1], ["a"])
        with pytest.raises(InvalidInput, match="one of each per item"):
            measure([1, 2], [1], ["a"])
