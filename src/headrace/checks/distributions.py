"""What a column's values look like, however they are kept: all of them, a profile, or a sketch.

Every comparison works on these two forms, so it says the same whether it is given the rows themselves or
a few kilobytes that stand for them. What is only nearly known carries its error, and tests are widened by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import known_numbers, label_counts
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column

N_BINS = 20
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Kind = Literal["numeric", "categorical"]


class Histogram(NamedTuple):
    """``edges`` ascending, and the rows in ``(edges[i - 1], edges[i]]``, shape ``(n_edges + 1,)``."""

    edges: tuple[float, ...]
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Finite numbers by rank.

    Attributes:
        values: ascending, float32 or float64, shape ``(n_points,)``.
        up_to: rows at or below each of them, ascending, shape ``(n_points,)``; None: each stands for one row.
        n: rows with a number.
        n_missing: rows without one: null, infinite, or something else than a number.
        rank_error: share of the rows by which ``up_to`` may be wrong.
        moments: mean and deviation, exactly.
        binned: the histogram over the bins that comparisons with it use, where it is known exactly.
        notes: what else is known about the rows without a number, for the evidence.
    """

    values: NDArray[Any]
    n: int
    n_missing: int
    moments: tuple[float, float]
    up_to: Floats | None = None
    rank_error: float = 0.0
    binned: Histogram | None = None
    notes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, values: Floats, *, notes: Mapping[str, int] | None = None, seen_as: Any = np.float32
    ) -> Numbers:
        """All values, NaN where missing, kept as ``seen_as``."""
        known = values[~np.isnan(values)]
        moments = (float(known.mean()), float(known.std())) if known.size else (np.nan, np.nan)
        # Adding 0 makes -0 and 0 one value.
        ranked = known.astype(seen_as) + seen_as(0)
        ranked.sort()
        return cls(
            values=ranked,
            n=known.size,
            n_missing=values.size - known.size,
            moments=moments,
            notes=dict(notes or {}),
        )

    def rows_at(self, points: NDArray[Any], side: Literal["left", "right"] = "right") -> Floats:
        """Rows at or below each point (``left``: below), shape of ``points``."""
        place = self.values.searchsorted(points, side)
        if self.up_to is None:
            return np.asarray(place, dtype=np.float64)
        return np.append(0.0, self.up_to)[place]

    def quantiles(self, shares: Floats) -> NDArray[Any]:
        """The smallest value with at least each share of the rows at or below it."""
        rows = np.asarray(shares) * self.n
        if self.up_to is None:
            return np.asarray(self.values[np.clip(np.ceil(rows - 1e-9).astype(np.int64) - 1, 0, self.n - 1)])
        return np.asarray(self.values[np.minimum(self.up_to.searchsorted(rows - 1e-9), self.values.size - 1)])

    def histogram(self) -> Histogram:
        """Rows over about 20 bins of equal content, or a bin for each of at most 20 values.

        One more lies beyond either end.
        """
        if self.binned is not None:
            return self.binned
        edges = self._edges()
        return Histogram(edges, self.counts(edges))

    def counts(self, edges: Sequence[float]) -> Counts:
        """Rows by the bins of ``edges``, shape ``(n_edges + 1,)``; the first edge belongs to no bin below."""
        if not len(edges):
            return np.array([self.n])
        points = np.asarray(edges).astype(self.values.dtype)
        rows = self.rows_at(points)
        rows[0] = self.rows_at(points[:1], "left")[0]
        return np.diff(np.rint(rows), prepend=0, append=self.n).astype(np.int64)

    def summary(self) -> dict[str, float]:
        """``mean``, ``deviation``, ``min``, ``q25``, ``median``, ``q75``, ``max``; empty without values."""
        if not self.n:
            return {}
        middle = _plain(self.quantiles(np.array([0.25, 0.5, 0.75])))
        if self.up_to is None:
            middle = _plain(np.quantile(self.values, [0.25, 0.5, 0.75]))
        ends = _plain(self.values[[0, -1]])
        named = {"min": ends[0], "q25": middle[0], "median": middle[1], "q75": middle[2], "max": ends[1]}
        return {"mean": self.moments[0], "deviation": self.moments[1], **named}

    @property
    def n_distinct(self) -> int:
        """Different values, about: of a profile or a sketch as many as if its points were all rows."""
        if not self.n:
            return 0
        return round((1 + int(np.count_nonzero(np.diff(self.values)))) * self.n / self.values.size)

    def mode(self) -> float:
        """The value that most rows have; of those that are all different, the least."""
        last = np.append(np.flatnonzero(np.diff(self.values)), self.values.size - 1)
        rows = last + 1.0 if self.up_to is None else self.up_to[last]
        return float(self.values[last[int(np.argmax(np.diff(rows, prepend=0.0)))]])

    def _edges(self) -> tuple[float, ...]:
        if not self.n:
            return ()
        first = np.flatnonzero(self.values[1:] != self.values[:-1])
        distinct = np.append(self.values[0], self.values[first + 1]) if first.size < N_BINS else self.values
        inner = distinct
        if distinct.size > N_BINS:
            inner = np.unique(self.quantiles(np.arange(1, N_BINS + 1) / N_BINS))
        lowest = np.nextafter(self.values[0], self.values.dtype.type(-np.inf))
        return (float(lowest), *_plain(inner))


@dataclass(frozen=True, kw_only=True)
class Categories:
    """Rows by category.

    Attributes:
        counts: category to rows, the most frequent first; what is not named here is counted in ``n`` only.
        n: rows with a category.
        n_missing: rows without one.
        count_error: rows by which each count may be wrong.
        n_distinct: different categories, about.
    """

    counts: Mapping[str, int]
    n: int
    n_missing: int
    n_distinct: int
    count_error: int = 0

    @classmethod
    def of(cls, values: NDArray[Any]) -> Categories:
        """All labels of a column."""
        counts = label_counts(values)
        n_missing = counts.pop(None, 0)
        named = {name: count for name, count in counts.items() if name is not None}
        return cls(counts=named, n=len(values) - n_missing, n_missing=n_missing, n_distinct=len(named))


Distribution = Numbers | Categories


class Side(Protocol):
    """One side of a comparison: :class:`Rows`, a profile, or sketches."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """What each column is, in order."""
        ...

    def distribution(self, name: str) -> Distribution | None:
        """One column's; None where the column did not come."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as they are. A column is ranked when it is asked for, and not kept."""

    columns: Columns
    kinds: Mapping[str, Kind]

    @classmethod
    def of(cls, columns: Columns, specs: Sequence[Column]) -> Rows:
        """The numbers and categories among the columns.

        Raises:
            InvalidInput: one is missing.
        """
        kinds: dict[str, Kind] = {s.name: s.role for s in specs if s.role in ("numeric", "categorical")}
        absent = next((name for name in kinds if name not in columns), None)
        if absent is not None:
            raise InvalidInput(f"Column {absent!r} is missing (has: {', '.join(list(columns)[:20])}).")
        return cls(columns=columns, kinds=kinds)

    def distribution(self, name: str) -> Distribution | None:
        """Exactly. Text where numbers are expected is no number, and is counted as text."""
        if name not in self.columns:
            return None
        values = np.asarray(self.columns[name])
        if self.kinds[name] == "categorical":
            return Categories.of(values)
        known, notes = known_numbers(values)
        return Numbers.of(known, notes=notes)


def _plain(values: NDArray[Any]) -> list[float]:
    return [float(value) for value in values.tolist()]
