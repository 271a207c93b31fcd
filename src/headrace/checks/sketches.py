"""The columns of a stream in constant memory: sketches that are updated as rows come, and merged.

A number is kept as a KLL sketch (Karnin, Lang and Liberty 2016) with its moments, a category as its
frequent items (Misra and Gries 1982, as in Anderson et al. 2017) and the number of distinct ones
(HyperLogLog, Flajolet et al. 2007), all from Apache DataSketches; rows without a value are counted.
Sketches of several processes, hours or segments add up to one of all rows: counts and moments exactly, ranks
and frequencies within the same stated error as if one sketch had seen everything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasketches
import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import known_numbers, label
from headrace.checks.distributions import Categories, Distribution, Kind, Numbers
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns

_FORMAT = 1
_KLL_K = 700
"""Ranks are right to 0.4 % of the rows, in about 8 kB."""
_LOG_ITEMS = 10
"""Up to 768 categories are counted exactly; beyond, to 0.34 % of the rows."""
_LOG_REGISTERS = 10
_POINTS = 4_096
FOLD_ROWS = 1_024
"""So many single rows wait for one pass."""


class NumberSketch:
    """One numeric column."""

    def __init__(self) -> None:
        self._ranks = datasketches.kll_floats_sketch(_KLL_K)
        self._n = 0
        self._missing = 0
        self._notes = {"infinite": 0, "text": 0}
        self._mean = 0.0
        self._second = 0.0

    def update(self, values: NDArray[Any]) -> None:
        """Add rows; what is no finite number is counted, not kept."""
        found, notes = known_numbers(values)
        known = found[~np.isnan(found)]
        self._missing += found.size - known.size
        for name, count in notes.items():
            self._notes[name] += count
        if known.size:
            mean = float(known.mean())
            self._add_moments(known.size, mean, float(np.square(known - mean).sum()))
            # The sketch sorts what it compacts, slower than numpy does: in order it takes 0.6 of the time.
            self._ranks.update(np.sort(known.astype(np.float32)))

    def merge(self, other: NumberSketch) -> None:
        """Add the rows of another sketch."""
        self._missing += other._missing
        for name, count in other._notes.items():
            self._notes[name] += count
        if other._n:
            self._add_moments(other._n, other._mean, other._second)
            self._ranks.merge(other._ranks)

    def distribution(self) -> Numbers:
        """What is known; of few rows every value."""
        n = self._n
        n_points = min(n, _POINTS)
        shares = (np.arange(n_points) + 0.5) / max(n_points, 1)
        values = np.array(self._ranks.get_quantiles(shares) if n else [], dtype=np.float32)
        if n:
            values[[0, -1]] = self._ranks.get_min_value(), self._ranks.get_max_value()
        is_exact = not self._ranks.is_estimation_mode() and n_points == n
        error = self._ranks.normalized_rank_error(False) if self._ranks.is_estimation_mode() else 0.0
        return Numbers(
            values=values,
            up_to=None if is_exact else np.linspace(0, n, n_points + 1)[1:],
            n=n,
            n_missing=self._missing,
            rank_error=0.0 if is_exact else error + 0.5 / n_points,
            moments=(self._mean, math.sqrt(self._second / n)) if n else (math.nan, math.nan),
            notes=dict(self._notes),
        )

    def state(self) -> dict[str, Any]:
        """Everything, in plain types."""
        moments = [self._n, self._mean, self._second]
        return {"ranks": self._ranks.serialize(), "missing": self._missing, "moments": moments, **self._notes}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> NumberSketch:
        """What :meth:`state` gave."""
        sketch = cls()
        sketch._ranks = datasketches.kll_floats_sketch.deserialize(state["ranks"])
        sketch._n, sketch._mean, sketch._second = state["moments"]
        sketch._missing = state["missing"]
        sketch._notes = {name: state[name] for name in sketch._notes}
        return sketch

    def _add_moments(self, n: int, mean: float, second: float) -> None:
        """Central moments of both (Chan, Golub and LeVeque 1979)."""
        total, gap = self._n + n, mean - self._mean
        self._second += second + gap**2 * self._n * n / total
        self._mean += gap * n / total
        self._n = total


class CategorySketch:
    """One categorical column."""

    def __init__(self) -> None:
        self._items = datasketches.frequent_strings_sketch(_LOG_ITEMS)
        self._distinct = datasketches.hll_sketch(_LOG_REGISTERS, datasketches.tgt_hll_type.HLL_8)
        self._missing = 0
        self._waiting: Counter[Any] = Counter()

    def update(self, values: NDArray[Any]) -> None:
        """Add rows. They wait, counted, until many differ: a label costs more than a row."""
        self._waiting.update(values.tolist())
        if len(self._waiting) >= FOLD_ROWS:
            self._fold()

    def _fold(self) -> None:
        waiting, self._waiting = self._waiting, Counter()
        for value, count in waiting.items():
            name = label(value)
            if name is None:
                self._missing += count
            else:
                self._items.update(name, count)
                self._distinct.update(name)

    def merge(self, other: CategorySketch) -> None:
        """Add the rows of another sketch."""
        other._fold()
        self._fold()
        self._items.merge(other._items)
        both = datasketches.hll_union(_LOG_REGISTERS)
        both.update(self._distinct)
        both.update(other._distinct)
        self._distinct = both.get_result(datasketches.tgt_hll_type.HLL_8)
        self._missing += other._missing

    def distribution(self) -> Categories:
        """The categories that are kept, each with at least as many rows as are told."""
        self._fold()
        kept = self._items.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES)
        return Categories(
            counts={name: lower for name, _, lower, _ in kept if lower},
            n=self._items.total_weight,
            n_missing=self._missing,
            n_distinct=round(self._distinct.get_estimate()),
            count_error=max((upper - lower for _, _, lower, upper in kept), default=0),
        )

    def state(self) -> dict[str, Any]:
        """Everything, in plain types."""
        self._fold()
        return {
            "items": self._items.serialize(),
            "distinct": self._distinct.serialize_compact(),
            "missing": self._missing,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> CategorySketch:
        """What :meth:`state` gave."""
        sketch = cls()
        sketch._items = datasketches.frequent_strings_sketch.deserialize(state["items"])
        sketch._distinct = datasketches.hll_sketch.deserialize(state["distinct"])
        sketch._missing = state["missing"]
        return sketch


class Sketches:
    """Sketches by column name: one side of a comparison, such as a window of a stream.

    Not safe for several threads at once; each may have its own, to be merged.

    >>> hours = [Sketches({"km": "numeric"}) for _ in range(24)]
    >>> for number, hour in enumerate(hours):
    ...     hour.update({"km": np.arange(100.0) + number}, 100)
    >>> Sketches.merged(hours).distribution("km").n
    2400
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds: Mapping[str, Kind] = dict(kinds)
        self._columns: dict[str, NumberSketch | CategorySketch] = {
            name: NumberSketch() if kind == "numeric" else CategorySketch() for name, kind in kinds.items()
        }
        self._waiting: list[Sequence[Any]] = []

    def update(self, columns: Columns, n_rows: int) -> None:
        """Add a table. A column that it lacks is missing in all its rows."""
        for name, sketch in self._columns.items():
            values = columns.get(name)
            sketch.update(np.full(n_rows, None, dtype=object) if values is None else np.asarray(values))

    def add(self, row: Sequence[Any]) -> None:
        """Add one row, its values in the order of ``kinds``; counted with the next ones, or on a look."""
        self._waiting.append(row)
        if len(self._waiting) >= FOLD_ROWS:
            self._fold()

    def merge(self, other: Sketches) -> None:
        """Add the rows of others.

        Raises:
            InvalidInput: they are of other columns.
        """
        if dict(other.kinds) != dict(self.kinds):
            raise InvalidInput(
                f"Sketches of {dict(other.kinds)} cannot be added to those of {dict(self.kinds)}. "
                "Expected the same columns of the same kinds."
            )
        other._fold()
        self._fold()
        for name, sketch in self._columns.items():
            sketch.merge(other._columns[name])  # type: ignore[arg-type]

    @classmethod
    def merged(cls, parts: Iterable[Sketches]) -> Sketches:
        """All rows of at least one part; the parts stay as they are.

        Raises:
            InvalidInput: there is none, or they are of different columns.
        """
        total: Sketches | None = None
        for part in parts:
            total = cls(part.kinds) if total is None else total
            total.merge(part)
        if total is None:
            raise InvalidInput("No sketches were given. Expected at least one.")
        return total

    def distribution(self, name: str) -> Distribution:
        """What is known of one column."""
        self._fold()
        return self._columns[name].distribution()

    def to_bytes(self) -> bytes:
        """MessagePack; :meth:`from_bytes` reads it."""
        self._fold()
        states = {name: sketch.state() for name, sketch in self._columns.items()}
        return msgspec.msgpack.encode({"format": _FORMAT, "kinds": self.kinds, "columns": states})

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketches:
        """What :meth:`to_bytes` wrote.

        Raises:
            InvalidInput: it is something else, damaged, or of a later format.
        """
        try:
            raw = msgspec.msgpack.decode(data)
            if raw["format"] != _FORMAT:
                raise InvalidInput(f"Sketches have format {raw['format']!r}. Expected {_FORMAT}.")
            sketches = cls(raw["kinds"])
            for name, kind in sketches.kinds.items():
                made = NumberSketch if kind == "numeric" else CategorySketch
                sketches._columns[name] = made.of_state(raw["columns"][name])
        except (
            msgspec.DecodeError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            RuntimeError,
            IndexError,
        ) as error:
            raise InvalidInput(
                f"Sketches cannot be read: {error!r}. Expected what to_bytes wrote."
            ) from error
        return sketches

    def _fold(self) -> None:
        rows, self._waiting = self._waiting, []
        if rows:
            for sketch, values in zip(self._columns.values(), zip(*rows, strict=True), strict=True):
                sketch.update(_array(values))


def _array(values: Sequence[Any]) -> NDArray[Any]:
    """Numbers as numbers, all else as it is: numpy would turn a number beside text into text."""
    try:
        found = np.array(values)
    except ValueError:  # several values for a row
        found = np.empty(0)
    if found.dtype.kind in "fiub" and found.shape == (len(values),):
        return found
    plain = np.empty(len(values), dtype=object)
    plain[:] = values
    return plain
