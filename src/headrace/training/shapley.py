"""Shapley values of one row against a background: how much each raw column moved the answer away from the
background's mean.

The game: a set of columns takes the row's values, the others those of a background row; the worth of the set
is the mean answer over the background (the interventional form of Lundberg et al., "From local explanations
to global understanding with explainable AI for trees", 2020). Its players are raw columns, so all numbers
that are made of one column move together, and no half-encoded category is ever asked.

Trees and linear models are solved exactly; of anything else all sets are asked where they are few, and
permutations are sampled where they are many (Štrumbelj and Kononenko, 2014), forwards and backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.training.graphs import Linear
from headrace.training.trees import Trees

Floats = NDArray[np.float64]
Worth = Callable[[NDArray[np.bool_], NDArray[np.int64]], Floats]
"""Answers ``(n,)`` of mixed rows: which columns are the row's, ``(n, n_columns)``, and from which background
row the others are, ``(n,)``."""
_MOST_CELLS = 4_000_000


class Shares(NamedTuple):
    """What moved one row.

    ``base`` is the mean over the background, ``(n_outputs,)``; ``shares`` one number per raw column,
    ``(n_columns, n_outputs)``; ``errors`` their standard errors, none where they are exact.
    """

    base: Floats
    shares: Floats
    errors: Floats | None = None


class TreeShares:
    """Exact values for sums of trees, before the link.

    Args:
        trees: the ensemble, as it is packaged.
        column_of: the raw column that each number of a prepared row is made of, ``(width,)``.
    """

    def __init__(self, trees: Trees, column_of: NDArray[np.int64]) -> None:
        self._trees = trees
        self._column_of = column_of
        self._n_columns = int(column_of.max(initial=-1)) + 1
        self._feature = np.array(trees.feature, dtype=np.int64)
        self._split = np.array(trees.split)
        self._missing_yes = np.array(trees.missing_yes, dtype=bool)
        members = iter(trees.members)
        self._members = {node: next(members) for node, mode in enumerate(trees.mode) if mode}
        self._scale = trees.steep / trees.divide
        # A tree of one leaf is a node whose two ends are that leaf.
        self._idle = (
            (np.array(trees.yes) == trees.no) & np.array(trees.yes_leaf, bool) & np.array(trees.no_leaf, bool)
        )
        leaf, node, yes = _paths(trees)
        order = np.lexsort((column_of[self._feature[node]], leaf))
        self._leaf, self._node, self._yes = leaf[order], node[order], yes[order]
        self._ends = np.searchsorted(self._leaf, np.arange(len(trees.weight) + 1))
        deepest = int(np.diff(self._ends).max(initial=0)) + 1
        self._plus, self._minus = _weights(deepest)

    @property
    def n_cells(self) -> int:
        """How many conditions all paths have together: the work for one row of the background."""
        return len(self._node)

    def of_row(self, row: Floats, background: Floats) -> Shares:
        """Explain a prepared ``row`` ``(width,)`` against prepared rows ``(n, width)``."""
        trees = self._trees
        mine, theirs = self._decide(row[None, :])[0], self._decide(background)
        base = np.zeros(trees.n_outputs)
        shares = np.zeros((self._n_columns, trees.n_outputs))
        step = max(1, _MOST_CELLS // max(1, len(background)))
        first, n_leaves = 0, len(trees.weight)
        while first < n_leaves:
            last = int(np.searchsorted(self._ends, self._ends[first] + step, side="right")) - 1
            last = min(max(last, first + 1), n_leaves)
            self._add(first, last, mine, theirs, base, shares)
            first = last
        offset = np.array(trees.base) if trees.base else np.zeros(trees.n_outputs)
        return Shares(base * self._scale + offset * self._scale, shares * self._scale)

    def visited(self, row: Floats) -> NDArray[np.int64]:
        """The nodes at which a prepared row ``(width,)`` takes a turn, ``(n,)``, in order."""
        fits = self._decide(row[None, :])[0][self._node] == self._yes
        reached = np.logical_and.reduceat(fits, self._ends[:-1])
        passed = np.unique(self._node[np.repeat(reached, np.diff(self._ends))])
        nodes: NDArray[np.int64] = passed[~self._idle[passed]]
        return nodes

    def turns(self, rows: Floats, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of ``nodes`` ``(n,)`` send which prepared row ``(n_rows, width)`` to ``yes``,
        ``(n_rows, n)``."""
        return self._decide(rows)[:, nodes]

    def _add(
        self,
        first: int,
        last: int,
        mine: NDArray[np.bool_],
        theirs: NDArray[np.bool_],
        base: Floats,
        shares: Floats,
    ) -> None:
        """What leaves ``first`` up to ``last`` add; each column on the way to one is one condition."""
        part = slice(self._ends[first], self._ends[last])
        node, yes = self._node[part], self._yes[part]
        leaf, column = self._leaf[part] - first, self._column_of[self._feature[node]]
        begins = np.flatnonzero(np.r_[True, (np.diff(leaf) != 0) | (np.diff(column) != 0)])
        fits_mine = np.logical_and.reduceat(mine[node] == yes, begins)
        fits_theirs = np.logical_and.reduceat(theirs[:, node] == yes, begins, axis=1)
        leaf, column = leaf[begins], column[begins]
        leaves = np.flatnonzero(np.r_[True, np.diff(leaf) != 0])
        alive = np.logical_and.reduceat(fits_mine | fits_theirs, leaves, axis=1)
        needs_mine = np.add.reduceat((fits_mine & ~fits_theirs).astype(np.int64), leaves, axis=1)
        needs_theirs = np.add.reduceat((~fits_mine & fits_theirs).astype(np.int64), leaves, axis=1)
        weight = np.array(self._trees.weight[first:last])
        target = np.array(self._trees.target[first:last])
        np.add.at(base, target, weight * (alive & (needs_mine == 0)).mean(axis=0))
        plus = np.where(alive, self._plus[needs_mine, needs_theirs], 0.0)[:, leaf]
        minus = np.where(alive, self._minus[needs_mine, needs_theirs], 0.0)[:, leaf]
        moved = np.where(fits_mine & ~fits_theirs, plus, 0.0) - np.where(~fits_mine & fits_theirs, minus, 0.0)
        np.add.at(shares, (column, target[leaf]), weight[leaf] * moved.mean(axis=0))

    def _decide(self, rows: Floats) -> NDArray[np.bool_]:
        """Which nodes send which row to ``yes``, ``(n_rows, n_nodes)``."""
        if self._trees.float32:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32).astype(np.float64)
        values = rows[:, self._feature]
        missing = np.isnan(values)
        decided: NDArray[np.bool_] = np.where(missing, self._missing_yes, values <= self._split)
        for node, members in self._members.items():
            chosen = np.isin(values[:, node], members)
            decided[:, node] = np.where(missing[:, node], self._missing_yes[node], chosen)
        # Both ends were noted last as the way of "no".
        decided[:, self._idle] = False
        return decided


def _paths(trees: Trees) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Leaf, node and direction of each condition on the way to each leaf."""
    n_nodes = len(trees.feature)
    above = np.full(n_nodes, -1, dtype=np.int64)
    side = np.zeros(n_nodes, dtype=bool)
    leaf_above = np.zeros(len(trees.weight), dtype=np.int64)
    leaf_side = np.zeros(len(trees.weight), dtype=bool)
    for is_yes, ends, is_leaf in ((True, trees.yes, trees.yes_leaf), (False, trees.no, trees.no_leaf)):
        to, leaf = np.array(ends, dtype=np.int64), np.array(is_leaf, dtype=bool)
        nodes = np.arange(n_nodes)
        above[to[~leaf]], side[to[~leaf]] = nodes[~leaf], is_yes
        leaf_above[to[leaf]], leaf_side[to[leaf]] = nodes[leaf], is_yes
    found = []
    leaf, node, way = np.arange(len(trees.weight)), leaf_above, leaf_side
    while len(leaf):
        found.append((leaf, node, way))
        up = above[node] >= 0
        leaf, node, way = leaf[up], above[node[up]], side[node[up]]
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore[return-value]


def _weights(most: int) -> tuple[Floats, Floats]:
    """What a leaf's value counts for a column that it needs from the row, and from the background, by how
    many columns it needs from each."""
    plus, minus = np.zeros((most, most)), np.zeros((most, most))
    for mine in range(most):
        for theirs in range(most - mine):
            if mine:
                plus[mine, theirs] = factorial(mine - 1) * factorial(theirs) / factorial(mine + theirs)
            if theirs:
                minus[mine, theirs] = factorial(mine) * factorial(theirs - 1) / factorial(mine + theirs)
    return plus, minus


def linear_shares(linear: Linear, column_of: NDArray[np.int64], row: Floats, background: Floats) -> Shares:
    """Exact values for a linear model, before the link; arguments as for :class:`TreeShares`."""
    moved = (row - background.mean(axis=0))[:, None] * linear.weights
    shares = np.zeros((int(column_of.max(initial=-1)) + 1, len(linear.base)))
    np.add.at(shares, column_of, moved)
    return Shares(background.mean(axis=0) @ linear.weights + linear.base, shares)


def all_subsets(worth: Worth, n_columns: int, n_background: int) -> Shares:
    """Exact values of anything, by asking for every set of columns with every background row."""
    sets = (np.arange(2**n_columns)[:, None] >> np.arange(n_columns) & 1).astype(bool)
    masks = np.repeat(sets, n_background, axis=0)
    answers = worth(masks, np.tile(np.arange(n_background), len(sets)))
    value = answers.reshape(len(sets), n_background).mean(axis=1)
    size = sets.sum(axis=1)
    shares = np.zeros((n_columns, 1))
    for column in range(n_columns):
        without = np.flatnonzero(~sets[:, column])
        weight = np.array(
            [
                factorial(int(s)) * factorial(n_columns - int(s) - 1) / factorial(n_columns)
                for s in size[without]
            ]
        )
        shares[column, 0] = weight @ (value[without + 2**column] - value[without])
    return Shares(value[:1], shares)


def sampled(
    worth: Worth, n_columns: int, n_background: int, *, passes: int, random: np.random.Generator
) -> Shares:
    """Unbiased values of anything, with standard errors, ``(n_columns, 1)``.

    In each pass every background row is walked to the row in one random order and in its reverse, so that
    base and shares always add up to the answer exactly.

    Args:
        passes: at least 2; the error is that of their mean.
    """
    moved = np.zeros((passes, n_columns))
    base = 0.0
    for number in range(passes):
        forward = random.permuted(np.tile(np.arange(n_columns), (n_background, 1)), axis=1)
        orders = np.concatenate([forward, forward[:, ::-1]])
        rank = np.argsort(orders, axis=1)
        steps = np.arange(n_columns + 1)
        masks = rank[:, None, :] < steps[None, :, None]
        rows = np.repeat(np.tile(np.arange(n_background), 2), n_columns + 1)
        answers = worth(masks.reshape(-1, n_columns), rows).reshape(len(orders), n_columns + 1)
        change = np.zeros((len(orders), n_columns))
        np.put_along_axis(change, orders, np.diff(answers, axis=1), axis=1)
        moved[number] = change.mean(axis=0)
        base = float(answers[:, 0].mean())
    errors = moved.std(axis=0, ddof=1) / np.sqrt(passes)
    return Shares(np.array([base]), moved.mean(axis=0)[:, None], errors[:, None])
