"""Reads fitted trees from what scikit-learn and LightGBM show of themselves, and others from their JSON.

Thresholds and leaves stay in double precision, as the libraries compute them, so that no row can take
another branch. All but LightGBM see inputs as float32; that is said, and done when the graph is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.json_trees import catboost_trees, xgboost_trees
from headrace.training.trees import Link, Trees

_ZERO = float(np.float32(1e-35))
"""LightGBM reads inputs within this of zero as zero."""


def read_trees(estimator: Any) -> Trees | None:
    """The trees of a fitted estimator; None where it is none of those that are known to the last bit."""
    package = type(estimator).__module__.partition(".")[0]
    if package == "lightgbm":
        return _lightgbm(getattr(estimator, "booster_", estimator))
    if package == "xgboost":
        return xgboost_trees(estimator)
    if package == "catboost":
        return catboost_trees(estimator)
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


def isolation_trees(forest: Any) -> tuple[Trees, float]:
    """The trees of a fitted IsolationForest, whose sum is how deep a row ends in all of them, and how deep
    it ends in as many trees of random data (Liu, Ting and Zhou, ICDM 2008)."""
    trees = Trees(n_outputs=1, float32=True)
    for member, features in zip(forest.estimators_, forest.estimators_features_, strict=True):
        tree = member.tree_
        depth = np.zeros(tree.node_count)
        for node, children in enumerate(zip(tree.children_left, tree.children_right, strict=True)):
            for child in children:
                if child >= 0:
                    depth[child] = depth[node] + 1  # children come after their parent
        whole = len(features) == forest.n_features_in_
        _add_sklearn(trees, tree, depth + _typical_depth(tree.n_node_samples), 0, None if whole else features)
    return trees, len(forest.estimators_) * float(_typical_depth(np.array([forest.max_samples_]))[0])


def _typical_depth(n_rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean depth of an unsuccessful search in a binary search tree of so many rows."""
    n = np.asarray(n_rows, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        many = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, many))


def _add_sklearn(
    trees: Trees, tree: Any, weights: NDArray[np.float64], target: int, features: Any = None
) -> None:
    """Add a tree; ``features`` says which columns it was shown, where that were not all."""
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    if left[0] < 0:
        trees.stump(target, weights[0])
        return
    nodes = {
        index: trees.node(
            tree.feature[index] if features is None else features[tree.feature[index]],
            tree.threshold[index],
            missing_yes=bool(tree.missing_go_to_left[index]),
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
