"""Fitted trees as one table, in double precision; :mod:`headrace.training.fitted_trees` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Link = Literal["identity", "exp", "sigmoid", "softmax"]
_AT_MOST, _MEMBER = 0, 6


@dataclass(kw_only=True)
class Trees:
    """All trees of one model, in the form of ONNX's ``TreeEnsemble``.

    A node sends a row to ``yes`` when the feature is at most ``split``, or one of the node's ``members``, and
    where it is missing when ``missing_yes`` says so. ``yes`` and ``no`` are positions of nodes, or of leaves
    where ``yes_leaf`` and ``no_leaf`` say so. A leaf adds ``weight`` to output ``target``.

    Attributes:
        n_outputs: how many sums there are.
        base: added to each sum.
        divide: each sum is divided by this.
        link: turns sums into the answer.
        steep: factor before the sigmoid.
        float32: whether the library rounds inputs to float32 first.
    """

    n_outputs: int
    link: Link = "identity"
    base: tuple[float, ...] = ()
    divide: float = 1.0
    steep: float = 1.0
    float32: bool = False
    roots: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    split: list[float] = field(default_factory=list)
    mode: list[int] = field(default_factory=list)
    missing_yes: list[int] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    yes_leaf: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    no_leaf: list[int] = field(default_factory=list)
    target: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    members: list[tuple[float, ...]] = field(default_factory=list)

    def node(self, feature: int, split: float, *, missing_yes: bool = False) -> int:
        """Add a node whose ends are set by :meth:`join`; returns its position."""
        self.feature.append(int(feature))
        self.split.append(float(split))
        self.mode.append(_AT_MOST)
        self.missing_yes.append(int(missing_yes))
        for ends in (self.yes, self.yes_leaf, self.no, self.no_leaf):
            ends.append(0)
        return len(self.feature) - 1

    def choice(self, feature: int, members: tuple[float, ...]) -> int:
        """Add a node that parts by category; returns its position."""
        node = self.node(feature, 0.0)
        self.mode[node] = _MEMBER
        self.members.append(members)
        return node

    def leaf(self, target: int, weight: float) -> int:
        """Add a leaf; returns its position."""
        self.target.append(int(target))
        self.weight.append(float(weight))
        return len(self.weight) - 1

    def join(self, node: int, *, yes: tuple[int, bool], no: tuple[int, bool]) -> None:
        """Where a node sends its rows: position, and whether that is a leaf's."""
        self.yes[node], self.yes_leaf[node] = yes[0], int(yes[1])
        self.no[node], self.no_leaf[node] = no[0], int(no[1])

    def stump(self, target: int, weight: float) -> None:
        """Add a tree that always answers the same."""
        node = self.node(0, 0.0)
        self.roots.append(node)
        leaf = self.leaf(target, weight)
        self.join(node, yes=(leaf, True), no=(leaf, True))

    def thresholds(self) -> dict[int, NDArray[np.float64]]:
        """By feature the values at which some tree parts, sorted."""
        found: dict[int, set[float]] = {}
        for feature, split, mode in zip(self.feature, self.split, self.mode, strict=True):
            if mode == _AT_MOST:
                found.setdefault(feature, set()).add(split)
        return {feature: np.array(sorted(splits)) for feature, splits in sorted(found.items())}
