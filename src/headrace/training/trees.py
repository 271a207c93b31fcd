"""Fitted trees as one table, read from what scikit-learn and LightGBM show of themselves.

Thresholds, leaves and sums stay in double precision, as both libraries compute them, so that no row can
take another branch. scikit-learn sees inputs as float32; that is said, and done when the graph is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Link = Literal["identity", "exp", "sigmoid", "softmax"]
_AT_MOST, _MEMBER = 0, 6
_ZERO = float(np.float32(1e-35))
"""LightGBM reads inputs within this of zero as zero."""


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


def read_trees(estimator: Any) -> Trees | None:
    """The trees of a fitted estimator; None where it is none of those that are known to the last bit."""
    package = type(estimator).__module__.partition(".")[0]
    if package == "lightgbm":
        return _lightgbm(getattr(estimator, "booster_", estimator))
    if package != "sklearn" or getattr(estimator, "n_outputs_", 1) != 1:
        return None
    kind = type(estimator).__name__.removesuffix("Classifier").removesuffix("Regressor")
    if kind in ("DecisionTree", "ExtraTree"):
        return _averaged([estimator], estimator)
    if kind in ("RandomForest", "ExtraTrees"):
        return _averaged(estimator.estimators_, estimator)
    return _boosted(estimator) if kind == "GradientBoosting" else None


def _averaged(members: list[Any], estimator: Any) -> Trees:
    n_classes = len(getattr(estimator, "classes_", ())) or 1
    trees = Trees(n_outputs=n_classes, divide=float(len(members)), float32=True)
    for member in members:
        values = member.tree_.value[:, 0, :]
        for output in range(n_classes):
            _add_sklearn(trees, member.tree_, values[:, output], output)
    return trees


def _boosted(estimator: Any) -> Trees | None:
    classifies = hasattr(estimator, "classes_")
    if (estimator.loss if classifies else "") == "exponential" or _is_other(estimator.init_):
        return None
    members = estimator.estimators_
    n_outputs = members.shape[1]
    # What it starts from has no public name: it is what the sum lacks.
    zeros = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    raw = estimator.decision_function(zeros) if classifies else estimator.predict(zeros)
    start = np.asarray(raw, dtype=np.float64).reshape(n_outputs)
    for output in range(n_outputs):
        for stage in members[:, output]:
            start[output] -= estimator.learning_rate * float(stage.predict(zeros)[0])
    link: Link = "identity" if not classifies else "sigmoid" if n_outputs == 1 else "softmax"
    trees = Trees(n_outputs=n_outputs, link=link, base=tuple(start.tolist()), float32=True)
    for stages in members:
        for output, member in enumerate(stages):
            weights = member.tree_.value[:, 0, 0] * estimator.learning_rate
            _add_sklearn(trees, member.tree_, weights, output)
    return trees


def _is_other(init: Any) -> bool:
    """Whether boosting starts from a model instead of a constant."""
    return not isinstance(init, str) and not type(init).__name__.startswith("Dummy")


def _add_sklearn(trees: Trees, tree: Any, weights: NDArray[np.float64], target: int) -> None:
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    if left[0] < 0:
        trees.stump(target, weights[0])
        return
    nodes = {
        index: trees.node(
            tree.feature[index], tree.threshold[index], missing_yes=bool(tree.missing_go_to_left[index])
        )
        for index, child in enumerate(left)
        if child >= 0
    }
    trees.roots.append(nodes[0])

    def end(child: int) -> tuple[int, bool]:
        return (nodes[child], False) if child in nodes else (trees.leaf(target, weights[child]), True)

    for index, node in nodes.items():
        trees.join(node, yes=end(left[index]), no=end(right[index]))


def _lightgbm(booster: Any) -> Trees | None:
    text: str = booster.model_to_string()
    head, *blocks = text.split("\n\nTree=")
    described = dict(line.partition("=")[::2] for line in head.splitlines())
    objective, *options = described.get("objective", "").split()
    link = _LINKS.get(objective)
    if link is None or "is_linear=1" in text or "[zero_as_missing: 1]" in text or "sqrt" in options:
        return None
    steep = next((float(one.partition(":")[2]) for one in options if one.startswith("sigmoid:")), 1.0)
    n_outputs = int(described["num_tree_per_iteration"])
    rounds = len(blocks) // n_outputs
    trees = Trees(n_outputs=n_outputs, link=link, steep=steep)
    if "average_output" in head.splitlines():
        trees.divide = float(rounds)
    best = getattr(booster, "best_iteration", 0)
    used = blocks[: best * n_outputs] if best and best > 0 else blocks
    for position, block in enumerate(used):
        body = block.partition("\n\n")[0].partition("end of trees")[0]
        _add_lightgbm(
            trees, dict(line.partition("=")[::2] for line in body.splitlines()), position % n_outputs
        )
    return trees


_LINKS: Mapping[str, Link] = {
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank"), "identity"
    ),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    **dict.fromkeys(("binary", "cross_entropy"), "sigmoid"),
    "multiclass": "softmax",
}


def _add_lightgbm(trees: Trees, tree: Mapping[str, str], target: int) -> None:
    values = _floats(tree["leaf_value"])
    if int(tree["num_leaves"]) <= 1:
        trees.stump(target, values[0])
        return
    features, kinds = _ints(tree["split_feature"]), _ints(tree["decision_type"])
    thresholds = _floats(tree["threshold"])
    left, right = _ints(tree["left_child"]), _ints(tree["right_child"])
    nodes = [
        trees.choice(feature, tuple(_members(tree, int(threshold))))
        if kind & 1
        else _number_node(trees, feature, threshold, kind)
        for feature, kind, threshold in zip(features, kinds, thresholds, strict=True)
    ]
    trees.roots.append(nodes[0])

    def end(child: int) -> tuple[int, bool]:
        return (nodes[child], False) if child >= 0 else (trees.leaf(target, values[~child]), True)

    for node, lower, upper in zip(nodes, left, right, strict=True):
        trees.join(node, yes=end(lower), no=end(upper))


def _number_node(trees: Trees, feature: int, threshold: float, kind: int) -> int:
    if abs(threshold) <= _ZERO:
        threshold = float(np.nextafter(-_ZERO, -np.inf)) if threshold < 0 else _ZERO
    # Bits 2 and 3 say what is missing: nothing (NaN is then read as zero), zero, or NaN.
    to_left = bool(kind & 2) if (kind >> 2) & 3 == 2 else threshold >= 0
    return trees.node(feature, threshold, missing_yes=to_left)


def _members(tree: Mapping[str, str], index: int) -> Iterator[float]:
    """The categories of one split: bits of 32-bit words."""
    bounds, words = _ints(tree["cat_boundaries"]), _ints(tree["cat_threshold"])
    for position, word in enumerate(words[bounds[index] : bounds[index + 1]]):
        for bit in range(32):
            if word >> bit & 1:
                yield float(position * 32 + bit)


def _ints(text: str) -> list[int]:
    return [int(one) for one in text.split()]


def _floats(text: str) -> list[float]:
    return [float(one) for one in text.split()]
