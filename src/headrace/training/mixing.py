"""Rows that are partly the explained one and partly others, and what a model says of them."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.data.encoding import EncodedColumn
from headrace.data.frames import as_column
from headrace.training.package import PackageScorer

_AT_ONCE = 20_000


class Mixed:
    """Asks a model for rows that are partly the explained one and partly one of the background."""

    def __init__(self, scorer: PackageScorer, row: Columns, background: Columns, place: int | None) -> None:
        self._scorer = scorer
        self._place = place
        self._stacked = {name: _stacked(row[name], values) for name, values in background.items()}

    def __call__(self, masks: NDArray[np.bool_], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """As :data:`headrace.training.shapley.Worth` says."""
        parts = []
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            mixed = {
                name: values[np.where(masks[part, index], 0, rows[part] + 1)]
                for index, (name, values) in enumerate(self._stacked.items())
            }
            parts.append(said_of(self._scorer, mixed, self._place))
        return np.concatenate(parts).astype(np.float64)


def said_of(scorer: PackageScorer, rows: Columns, place: int | None) -> NDArray[np.float64]:
    """Predictions ``(n_rows,)``, or the probabilities of the class at ``place``."""
    answers = scorer.score(rows)
    found: NDArray[np.float64] = answers["predict"] if place is None else answers["probability"][:, place]
    return found


def _stacked(first: NDArray[Any], rest: NDArray[Any]) -> NDArray[Any]:
    if first.dtype != rest.dtype:
        first, rest = first.astype(object), rest.astype(object)
    return np.concatenate([first, rest])


def explained_class(probability: NDArray[np.float64]) -> int:
    """Which class is explained: of two the last one, whose probability answers give; else the likeliest."""
    return 1 if len(probability) == 2 else int(probability.argmax())


def as_given(values: Any, column: EncodedColumn) -> NDArray[Any]:
    """Plain values in the form in which the door hands them to the model."""
    if values is None:
        raise InvalidInput(f"Column {column.name!r} is missing, so that the answer cannot be explained.")
    listed = as_column(values, column.name).tolist() if isinstance(values, np.ndarray) else list(values)
    if column.kind == "number":
        try:
            return np.array([nan if value is None else value for value in listed], dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInput(f"Column {column.name!r} holds something else than numbers.") from None
    if column.kind == "boolean" and all(value in (True, False) for value in listed):
        return np.array(listed, dtype=bool)
    found = np.empty(len(listed), dtype=object)
    found[:] = listed
    return found
