"""Reads fitted trees of XGBoost and CatBoost from the JSON in which these libraries write them down.

Both see inputs as float32. XGBoost also adds up in float32, so a sum in double precision differs from its own
by some 1e-7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from headrace.training.trees import Link, Trees


def xgboost_trees(estimator: Any) -> Trees | None:
    """The trees of a fitted ``XGBRegressor`` or ``XGBClassifier``; None for another booster than trees of
    numbers, or an objective with a link of its own.

    XGBoost sends a row to the left where it is *less than* a split, so a split here is the number before.
    """
    whole = estimator.get_booster()
    best = getattr(estimator, "best_iteration", None)
    booster = whole if best is None else whole[: best + 1]
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    link = _XGBOOST_LINKS.get(learner["objective"]["name"])
    model = learner["gradient_booster"].get("model", {})
    grown = model.get("trees", [])
    missing = estimator.missing
    plain = learner["gradient_booster"]["name"] == "gbtree" and (missing is None or np.isnan(missing))
    if link is None or not plain or not grown or any(_is_special(tree) for tree in grown):
        return None
    described = {name: int(learner["learner_model_param"][name]) for name in ("num_class", "num_target")}
    if described["num_target"] > 1:
        return None
    n_outputs = max(1, described["num_class"])
    trees = Trees(n_outputs=n_outputs, link=link, float32=True)
    for tree, output in zip(grown, model["tree_info"], strict=True):
        _add_xgboost(trees, tree, output)
    # What it starts from is written differently by each version and objective: it is what the sum lacks.
    zeros = np.zeros((1, int(learner["learner_model_param"]["num_feature"])), dtype=np.float32)
    start = np.reshape(booster.inplace_predict(zeros, predict_type="margin", validate_features=False), -1)
    sums = start.astype(np.float64)
    for tree, output in zip(grown, model["tree_info"], strict=True):
        sums[output] -= _leaf_at_zero(tree)
    trees.base = tuple(sums.tolist())
    return trees


_XGBOOST_LINKS: Mapping[str, Link] = {
    **dict.fromkeys(
        (
            "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror",
            "reg:quantileerror", "rank:ndcg", "rank:map", "rank:pairwise",
        ),
        "identity",
    ),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "exp"),
    **dict.fromkeys(("binary:logistic", "reg:logistic"), "sigmoid"),
    "multi:softprob": "softmax",
}  # fmt: skip


def _is_special(tree: Mapping[str, Any]) -> bool:
    """Whether a tree parts by category, or has several numbers in a leaf."""
    return any(tree["split_type"]) or int(tree["tree_param"]["size_leaf_vector"]) > 1


def _add_xgboost(trees: Trees, tree: Mapping[str, Any], target: int) -> None:
    left, right, conditions = tree["left_children"], tree["right_children"], tree["split_conditions"]
    if left[0] < 0:
        trees.stump(target, conditions[0])
        return
    below = np.nextafter(np.array(conditions, dtype=np.float32), np.float32(-np.inf)).tolist()
    nodes = {
        index: trees.node(tree["split_indices"][index], below[index], missing_yes=bool(to_left))
        for index, to_left in enumerate(tree["default_left"])
        if left[index] >= 0
    }
    trees.roots.append(nodes[0])

    def end(child: int) -> tuple[int, bool]:
        return (nodes[child], False) if child in nodes else (trees.leaf(target, conditions[child]), True)

    for index, node in nodes.items():
        trees.join(node, yes=end(left[index]), no=end(right[index]))


def _leaf_at_zero(tree: Mapping[str, Any]) -> float:
    """What a tree gives a row of zeros."""
    at = 0
    while tree["left_children"][at] >= 0:
        at = tree["left_children" if tree["split_conditions"][at] > 0 else "right_children"][at]
    return float(tree["split_conditions"][at])


def catboost_trees(estimator: Any) -> Trees | None:
    """The trees of a fitted ``CatBoostRegressor`` or ``CatBoostClassifier``; None where they are not
    symmetric, look at anything but numbers, or have a loss with a link of its own.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        estimator.save_model(str(path), format="json")
        model = json.loads(path.read_text(encoding="utf-8"))
    link = _CATBOOST_LINKS.get(model["model_info"]["params"]["loss_function"]["type"])
    grown = model.get("oblivious_trees", [])
    if link is None or not grown or set(model["features_info"]) != {"float_features"}:
        return None
    features = {one["feature_index"]: one for one in model["features_info"]["float_features"]}
    scale, bias = model["scale_and_bias"]
    trees = Trees(n_outputs=len(bias), link=link, base=tuple(map(float, bias)), float32=True)
    for tree in grown:
        for output in range(len(bias)):
            weights = [scale * value for value in tree["leaf_values"][output :: len(bias)]]
            _add_symmetric(trees, tree["splits"], features, weights, output)
    return trees


_CATBOOST_LINKS: Mapping[str, Link] = {
    **dict.fromkeys(("RMSE", "MAE", "Quantile", "Huber", "LogCosh", "MAPE", "Lq"), "identity"),
    **dict.fromkeys(("Poisson", "Tweedie"), "exp"),
    **dict.fromkeys(("Logloss", "CrossEntropy"), "sigmoid"),
    "MultiClass": "softmax",
}


def _add_symmetric(
    trees: Trees,
    splits: list[dict[str, Any]],
    features: Mapping[int, Mapping[str, Any]],
    weights: list[float],
    target: int,
) -> None:
    """A tree whose nodes of one level all ask the same; a leaf's position has a bit for each "above"."""
    if not splits:
        trees.stump(target, weights[0])
        return

    def grow(level: int, position: int) -> tuple[int, bool]:
        if level < 0:
            return trees.leaf(target, weights[position]), True
        split = splits[level]
        feature = features[split["float_feature_index"]]
        node = trees.node(
            feature["flat_feature_index"],
            split["border"],
            missing_yes=feature["nan_value_treatment"] != "AsTrue",
        )
        yes = grow(level - 1, position)
        trees.join(node, yes=yes, no=grow(level - 1, position | 1 << level))
        return node, False

    trees.roots.append(grow(len(splits) - 1, 0)[0])
