"""The way that a row takes through all trees of a model, as conditions on its raw columns."""

from __future__ import annotations

from functools import lru_cache
from math import inf, isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.ports import Columns
from headrace.core.record import Condition
from headrace.data.encoding import EncodedColumn
from headrace.training.package import PackageScorer, Prepared
from headrace.training.shapley import TreeShares
from headrace.training.thresholds import falls, last_below
from headrace.training.trees import Trees

_KEPT = 65_536


class TreePaths:
    """Finds the conditions that a row met. Safe to call from several threads.

    Args:
        scorer: of the package that ``trees`` were read from.
        column_of: the raw column that each prepared number is made of, ``(width,)``.
    """

    def __init__(
        self,
        scorer: PackageScorer,
        prepared: Prepared,
        trees: Trees,
        shares: TreeShares,
        column_of: NDArray[np.int64],
    ) -> None:
        self._inputs = scorer.encoding.inputs
        self._single = scorer.info.takes == "features"
        self._rounded = trees.float32
        self._prepared = prepared
        self._shares = shares
        self._feature = np.array(trees.feature, dtype=np.int64)
        self._split = np.array(trees.split)
        self._by_member = np.array(trees.mode, dtype=bool)
        self._column_of = column_of
        plan = prepared.plan
        self._steps = {int(n["at"]): n["steps"] for one in plan["inputs"] for n in one.get("numbers", ())}
        self._listed: dict[str, list[Any]] = {
            one["name"]: [value for table in one.get("tables", ()) for value in table["values"]]
            for one in plan["inputs"]
        }
        # The same thresholds come again with every row.
        self._bound = lru_cache(maxsize=_KEPT)(self._raw_bound)

    def of_row(self, row: Columns) -> list[Condition]:
        """The conditions of one raw row, each value an array ``(1,)``, in the order of the inputs.

        An input that no tree asked about on the way has none.
        """
        numbers = self._prepared.prepare(row)
        nodes = self._shares.visited(numbers[0])
        turns = self._shares.turns(numbers, nodes)[0]
        asked_of = self._column_of[self._feature[nodes]]
        found = []
        for place in np.unique(asked_of):
            column, mine = self._inputs[place], asked_of == place
            value = row[column.name][0]
            if _is_missing(value):
                found.append(Condition(input=column.name, missing=True))
            elif self._is_ordered(column, nodes[mine]):
                found.append(self._between(column.name, nodes[mine], turns[mine]))
            else:
                among = self._alike(row, column, nodes[mine], turns[mine])
                found.append(Condition(input=column.name, among=among))
        return found

    def _is_ordered(self, column: EncodedColumn, nodes: NDArray[np.int64]) -> bool:
        """Whether all that is asked of a column is whether it is above some number."""
        if column.role == "categorical" or column.kind != "number" or self._by_member[nodes].any():
            return False
        return all(int(feature) in self._steps for feature in self._feature[nodes])

    def _between(self, name: str, nodes: NDArray[np.int64], turns: NDArray[np.bool_]) -> Condition:
        """The narrowest limits of a raw number: one threshold from above and one from below count for each
        number that is made of it."""
        above, at_most = -inf, inf
        features = self._feature[nodes]
        for feature in np.unique(features):
            steps = self._steps[int(feature)]
            if any(step[0] == "missing" for step in steps):
                continue  # asks whether there is a value: there is one
            splits, yes = self._split[nodes[features == feature]], turns[features == feature]
            lower = self._bound(int(feature), float(splits[~yes].max())) if not yes.all() else None
            upper = self._bound(int(feature), float(splits[yes].min())) if yes.any() else None
            if falls(steps):
                lower, upper = upper, lower
            above = max(above, -inf if lower is None else lower)
            at_most = min(at_most, inf if upper is None else upper)
        return Condition(
            input=name,
            above=None if above == -inf else above,
            at_most=None if at_most == inf else at_most,
        )

    def _raw_bound(self, feature: int, split: float) -> float:
        steps = self._steps[feature]
        found = last_below(np.array([split]), steps, single=self._single, rounded=self._rounded)
        return float(found[0])

    def _alike(
        self, row: Columns, column: EncodedColumn, nodes: NDArray[np.int64], turns: NDArray[np.bool_]
    ) -> list[Any]:
        """The known values that take the same turns."""
        known: list[Any] = list(column.categories) or self._listed[column.name]
        if column.kind == "boolean":
            known = [False, True]
        values = np.empty(len(known), dtype=object)
        values[:] = known
        if column.kind in ("boolean", "number"):
            values = values.astype(bool if column.kind == "boolean" else np.float64)
        table = {name: np.repeat(cell, len(known)) for name, cell in row.items()} | {column.name: values}
        same = (self._shares.turns(self._prepared.prepare(table), nodes) == turns).all(axis=1)
        return [value for value, is_same in zip(known, same, strict=True) if is_same]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and isnan(value))
