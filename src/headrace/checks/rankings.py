"""How well are lists ordered? One value per list: discounted gain, average precision, reciprocal rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput

Floats = NDArray[np.float64]


def ndcg(relevance: Any, score: Any, lists: Any) -> Floats:
    """Normalised discounted cumulative gain of each list, shape ``(n_lists,)``.

    Jarvelin and Kekalainen, ACM TOIS 20 (2002), with linear gains; tied scores share their places'
    discount. A list without anything relevant has the value 0.

    Args:
        relevance: of each item, 0 or more, shape ``(n_items,)``.
        score: by which the items are ordered, largest first, shape ``(n_items,)``.
        lists: to which list each item belongs, shape ``(n_items,)``.

    Raises:
        InvalidInput: shapes that do not match, no items, or a relevance that is negative or no number.

    >>> ndcg([3, 0], [0.9, 0.1], ["a", "a"]).tolist()
    [1.0]
    """
    return _each(_gain, relevance, score, lists)


def average_precision(relevance: Any, score: Any, lists: Any) -> Floats:
    """Average precision of each list, shape ``(n_lists,)``; its mean is MAP. Relevant is what is above 0.

    Of tied scores all are taken at once. A list without anything relevant has the value 0.
    """
    return _each(_precision, relevance, score, lists)


def reciprocal_rank(relevance: Any, score: Any, lists: Any) -> Floats:
    """One over the place of the first relevant item of each list, 0 without one; its mean is MRR.

    A tie counts against the model: the relevant item stands last among its equals.
    """
    return _each(_reciprocal, relevance, score, lists)


def _each(measure: Callable[[Floats, Floats], float], relevance: Any, score: Any, lists: Any) -> Floats:
    wanted, given = np.asarray(relevance, dtype=np.float64), np.asarray(score, dtype=np.float64)
    names = np.asarray(lists)
    if not (wanted.shape == given.shape == names.shape) or wanted.ndim != 1 or not wanted.size:
        raise InvalidInput(
            f"Relevance, score and list have shapes {wanted.shape}, {given.shape} and {names.shape}. "
            "Expected one of each per item, and at least one item."
        )
    if not (np.isfinite(wanted) & (wanted >= 0)).all() or not np.isfinite(given).all():
        raise InvalidInput("A relevance is negative, or one or a score is no number. Expected 0 or more.")
    return np.array([measure(wanted[mine], given[mine]) for mine in _members(names)])


def _members(names: NDArray[Any]) -> Iterator[NDArray[np.int64]]:
    """Positions of each list's items, the lists in the order of their first item."""
    positions: dict[object, list[int]] = {}
    for position, name in enumerate(names.tolist()):
        positions.setdefault(name, []).append(position)
    for mine in positions.values():
        yield np.array(mine, dtype=np.int64)


def _gain(relevance: Floats, score: Floats) -> float:
    discount = 1 / np.log2(np.arange(relevance.size) + 2)
    best = float((np.sort(relevance)[::-1] * discount).sum())
    if best == 0:
        return 0.0
    _, place, count = np.unique(-score, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    total = np.concatenate([[0.0], np.cumsum(discount)])
    shared = (total[ends] - total[ends - count]) / count
    return float((relevance * shared[place]).sum() / best)


def _precision(relevance: Floats, score: Floats) -> float:
    relevant = relevance > 0
    if not relevant.any():
        return 0.0
    _, place, count = np.unique(-score, return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=relevant, minlength=count.size)
    precision = np.cumsum(hits) / np.cumsum(count)
    return float((precision * hits).sum() / relevant.sum())


def _reciprocal(relevance: Floats, score: Floats) -> float:
    relevant = relevance > 0
    if not relevant.any():
        return 0.0
    best = score[relevant].max()
    n_relevant_tied = int((relevant & (score == best)).sum())
    return 1.0 / (int((score >= best).sum()) - n_relevant_tied + 1)
