"""A fitted preparation as data: what becomes of each input, as numbers and tables.

This module needs numpy only and knows nothing else of Headrace: an exported model carries it as it is.
Everything is computed in double precision, by the same operations in the same order as scikit-learn, so
that the numbers are the same to the last bit, whether one row is prepared or many.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, isnan, nan
from typing import Any

import numpy as np

Step = tuple[Any, ...]
"""One operation on a number: its name, then its constants.

``fill v`` where missing; ``affine c s`` is ``(x - c) / s``; ``scaled f o`` is ``x * f + o``; ``clip lo hi``;
``missing`` is 1 or 0; ``above t`` is 1 or 0; ``bins edges`` counts the edges that are not above; ``single``
rounds to float32, and what is beyond it counts as missing.
"""

FLOAT32 = 3.4028234663852886e38
"""The largest number of those that trees of scikit-learn see."""


class Refused(ValueError):
    """The fitted preparation, or the model behind it, takes no such value."""


class Preparation:
    """Turns input values into the matrix that an estimator was fitted on.

    Args:
        plan: what :meth:`to_dict` gives: ``width``; ``refuses`` (``missing``, ``infinite`` and ``large``
            or fewer); ``inputs``, one each with ``name``, ``numbers`` (``at``, ``steps``) and ``tables``
            (``at``, ``values``, ``base``, ``writes``, ``missing``, ``unknown``).

    >>> number = {"at": 0, "steps": [["fill", 2.0], ["affine", 1.0, 0.5]]}
    >>> table = {"at": [1], "values": ["a", "b"], "base": [0.0], "writes": [[], [[0, 1.0]]]}
    >>> inputs = [{"name": "x", "numbers": [number]}, {"name": "c", "tables": [table]}]
    >>> Preparation({"width": 2, "inputs": inputs}).row([None, "b"])
    [2.0, 1.0]
    """

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.width = int(plan["width"])
        self.names = tuple(str(one["name"]) for one in plan["inputs"])
        refuses = frozenset(plan.get("refuses", ()))
        self._refuses_missing = "missing" in refuses
        self._refuses_infinite = "infinite" in refuses or "large" in refuses
        self._refuses_large = "large" in refuses
        self._largest = FLOAT32 if "large" in refuses else float("inf")
        numbers, tables = [], []
        for place, one in enumerate(plan["inputs"]):
            for number in one.get("numbers", ()):
                steps = [tuple(step) for step in number["steps"]]
                numbers.append((place, int(number["at"]), steps))
            tables += [_Table(place, one["name"], table) for table in one.get("tables", ())]
        self._numbers = [(place, at, steps, _scalar(steps)) for place, at, steps in numbers]
        self._quick, self._slow = [], []
        for place, at, steps, scalar in self._numbers:
            folded = _folded(steps)
            if folded is None:
                self._slow.append((place, at, scalar))
            else:
                self._quick.append((place, at, *folded))
        self._tables = tables
        self._empty = [0.0] * self.width
        for table in tables:
            for at, value in zip(table.at, table.base, strict=True):
                self._empty[at] = value

    def to_dict(self) -> dict[str, Any]:
        """The plan, as JSON."""
        return dict(self.plan)

    def row(self, values: Sequence[Any]) -> list[float]:
        """One row, its values in the order of :attr:`names`; missing is ``None`` or NaN.

        Raises:
            Refused: the fitted preparation takes no such value.
        """
        row = self._empty[:]
        for place, at, fill, centre, scale in self._quick:
            value = values[place]
            # A NaN is the one value that differs from itself.
            if value is None or value != value:  # noqa: PLR0124
                value = fill
            row[at] = (value - centre) / scale
        for place, at, step in self._slow:
            value = values[place]
            row[at] = step(nan if value is None else float(value))
        for table in self._tables:
            table.write(row, values[table.place])
        self.check_row(row)
        return row

    def column_of(self) -> Any:
        """The position among :attr:`names` that each number of a row is made of, int64 ``(width,)``."""
        found = np.zeros(self.width, dtype=np.int64)
        for place, at, *_ in self._numbers:
            found[at] = place
        for table in self._tables:
            found[table.at] = table.place
        return found

    @property
    def changes_nothing(self) -> bool:
        """Whether what comes out is what goes in; only what is refused remains to be looked at."""
        return (
            not self._tables
            and self.width == len(self.names)
            and all(place == at and not steps for place, at, steps, _ in self._numbers)
        )

    def check_row(self, row: list[float]) -> None:
        """Look at a prepared row. Raises Refused for what the model takes not."""
        total = sum(row)
        if total - total == 0.0 and (not self._refuses_large or max(row) <= FLOAT32 >= -min(row)):
            return  # the usual case: neither NaN nor infinity is in it
        self.check(np.array([row]))

    def matrix(self, columns: Sequence[Any]) -> Any:
        """Many rows, one array ``(n_rows,)`` per input in the order of :attr:`names`, as float64
        ``(n_rows, width)``: the same numbers as :meth:`row` gives.

        Raises:
            Refused: the fitted preparation takes a value of some row not.
        """
        n_rows = len(columns[0]) if len(columns) else 0
        out = np.empty((n_rows, self.width), dtype=np.float64)
        out[:] = self._empty
        for place, at, steps, _ in self._numbers:
            out[:, at] = apply_steps(_floats(columns[place], self.names[place]), steps)
        for table in self._tables:
            table.write_all(out, columns[table.place])
        self.check(out)
        return out

    def check(self, out: Any) -> None:
        """Look at prepared rows ``(n_rows, width)``. Raises Refused for what the model takes not."""
        if self._refuses_missing and np.isnan(out).any():
            raise Refused(f"{self._of(np.isnan(out))} holds a missing value, which this model refuses")
        if self._refuses_infinite:
            with np.errstate(invalid="ignore"):
                large = np.isinf(out) | (np.abs(out) > self._largest)
            if large.any():
                raise Refused(f"{self._of(large)} holds too large a number, which this model refuses")

    def _of(self, found: Any) -> str:
        """The input that the first offending output belongs to."""
        at = int(found.any(axis=0).argmax())
        for place, position, _, _ in self._numbers:
            if position == at:
                return f"Column {self.names[place]!r}"
        for table in self._tables:
            if at in table.at:
                return f"Column {self.names[table.place]!r}"
        return "A value"


class _Table:
    """What one input adds for each of its values."""

    def __init__(self, place: int, name: str, table: Mapping[str, Any]) -> None:
        self.place = place
        self.at = [int(at) for at in table["at"]]
        self.base = [nan if value is None else float(value) for value in table["base"]]
        self._name = name
        self._writes = {
            value: self._absolute(writes)
            for value, writes in zip(table["values"], table["writes"], strict=True)
        }
        self._missing = self._optional(table.get("missing"))
        self._unknown = self._optional(table.get("unknown"))

    def _optional(self, writes: Any) -> list[tuple[int, float]] | None:
        return None if writes is None else self._absolute(writes)

    def _absolute(self, writes: Any) -> list[tuple[int, float]]:
        return [(self.at[int(k)], nan if value is None else float(value)) for k, value in writes]

    def _found(self, value: Any) -> list[tuple[int, float]]:
        try:
            return self._writes[value]
        except (KeyError, TypeError):
            pass
        if value is None or (isinstance(value, float | np.floating) and isnan(value)):
            if self._missing is None:
                raise Refused(f"Column {self._name!r} holds a missing value, which this model refuses")
            return self._missing
        if isinstance(value, str) and value.strip() in self._writes:
            return self._writes[value.strip()]
        if self._unknown is None:
            raise Refused(
                f"Column {self._name!r} holds {str(value)[:60]!r}, a category that training never saw, "
                "which this model refuses"
            )
        return self._unknown

    def write(self, row: list[float], value: Any) -> None:
        for at, number in self._found(value):
            row[at] = number

    def write_all(self, out: Any, column: Any) -> None:
        values = column.tolist()
        rows: dict[Any, list[int]] = {}
        for index, value in enumerate(values):
            # NaN differs from itself, and would make a group of its own each time.
            rows.setdefault(None if value != value else value, []).append(index)  # noqa: PLR0124
        for value, indexes in rows.items():
            for at, number in self._found(value):
                out[indexes, at] = number


def apply_steps(values: Any, steps: Sequence[Step]) -> Any:
    """Steps on an array of numbers; a new array of the same shape."""
    x = np.array(values, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for name, *constants in steps:
            x = _VECTOR[name](x, *constants)
    return x


def _floats(column: Any, name: str) -> Any:
    if column.dtype.kind == "O":
        try:
            return np.array([nan if value is None else value for value in column.tolist()], dtype=np.float64)
        except (TypeError, ValueError):
            raise Refused(f"Column {name!r} holds something else than numbers") from None
    return column.astype(np.float64)


def _folded(steps: Sequence[Step]) -> tuple[float, float, float] | None:
    """``fill``, ``centre``, ``scale`` of the usual steps; None for others."""
    names = [step[0] for step in steps]
    if names not in ([], ["fill"], ["affine"], ["fill", "affine"]):
        return None
    fill = float(steps[0][1]) if names[:1] == ["fill"] else nan
    centre, scale = (float(steps[-1][1]), float(steps[-1][2])) if names[-1:] == ["affine"] else (0.0, 1.0)
    return fill, centre, scale


def _scalar(steps: Sequence[Step]) -> Callable[[float], float]:
    def run(x: float) -> float:
        for name, *constants in steps:
            x = _SCALAR[name](x, *constants)
        return x

    return run


def _clip(x: float, low: float, high: float) -> float:
    return x if isnan(x) else min(max(x, low), high)


def _single(x: Any) -> Any:
    """Numbers rounded to float32, still as float64."""
    return np.where(np.abs(x) <= FLOAT32, x, nan).astype(np.float32).astype(np.float64)


_VECTOR: dict[str, Callable[..., Any]] = {
    "fill": lambda x, value: np.where(np.isnan(x), value, x),
    "affine": lambda x, centre, scale: (x - centre) / scale,
    "scaled": lambda x, factor, offset: x * factor + offset,
    "clip": np.clip,
    "missing": lambda x: np.isnan(x).astype(np.float64),
    "above": lambda x, threshold: (x > threshold).astype(np.float64),
    "single": _single,
    "bins": lambda x, edges: np.searchsorted(edges, x, side="right").astype(np.float64),
}
_SCALAR: dict[str, Callable[..., float]] = {
    "fill": lambda x, value: value if isnan(x) else x,
    "affine": lambda x, centre, scale: (x - centre) / scale,
    "scaled": lambda x, factor, offset: x * factor + offset,
    "clip": _clip,
    "missing": lambda x: float(isnan(x)),
    "above": lambda x, threshold: float(x > threshold),
    "single": lambda x: float(_single(x)),
    "bins": lambda x, edges: float(
        len(edges) if not isfinite(x) and x != -np.inf else bisect_right(edges, x)
    ),
}
