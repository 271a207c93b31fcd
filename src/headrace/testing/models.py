"""Models that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns


class EchoModel:
    """Implements ``Scorer``: the prediction of a row is the value of one of its columns.

    >>> EchoModel("price").score({"price": np.array([3.0])})
    {'predict': array([3.])}
    """

    def __init__(self, column: str = "x") -> None:
        self._column = column

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("predict",)

    @property
    def classes(self) -> None:
        return None

    def score(self, columns: Columns) -> dict[str, Any]:
        if self._column not in columns:
            raise InvalidInput(f"Column {self._column!r} is missing (has: {', '.join(columns)}). Add it.")
        return {"predict": np.array(columns[self._column])}
