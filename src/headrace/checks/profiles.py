"""How the columns of a reference are distributed, small enough to travel with a release.

A number is kept as the counts of about 20 bins of equal content, with one more beyond either end and one
for nulls, and as at most 3,000 values of equal rank. A category is kept as counts.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import numbers
from headrace.checks.distributions import (
    N_BINS,
    Categories,
    Counts,
    Distribution,
    Floats,
    Histogram,
    Kind,
    Numbers,
    Rows,
    Side,
)
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column

__all__ = ["N_BINS", "CategoricalProfile", "FeatureProfile", "NumericProfile", "Profile"]

MOST_QUANTILES = 3_000
MOST_CATEGORIES = 500
NULL, OTHER = "(null)", "(other)"
_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class NumericProfile:
    """One numeric column.

    Attributes:
        edges: ascending; bin ``i`` holds the values in ``(edges[i - 1], edges[i]]``, the first everything up
            to ``edges[0]``, the last everything beyond.
        counts: of the ``len(edges) + 1`` bins, then of the nulls.
        quantiles: value ``i`` has ``(i + 1/2) / n_quantiles`` of the rows at or below it, ascending, float32;
            of at most 3,000 rows every value.
        summary: ``mean``, ``deviation``, ``min``, ``q25``, ``median``, ``q75`` and ``max``; empty without
            values.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    quantiles: NDArray[np.float32] = field(compare=False)
    summary: dict[str, float]

    @classmethod
    def fit(cls, values: Floats) -> NumericProfile:
        """Profile values, NaN where null."""
        return cls.of(Numbers.of(values, seen_as=np.float64))

    @classmethod
    def of(cls, found: Numbers) -> NumericProfile:
        """The same from a distribution, such as the sketches of a reference window."""
        edges, counts = found.histogram()
        n_kept = min(found.n, MOST_QUANTILES)
        kept = found.quantiles((np.arange(n_kept) + 0.5) / n_kept) if n_kept else found.values
        return cls(
            edges=edges,
            counts=(*counts.tolist(), found.n_missing),
            quantiles=kept.astype(np.float32) + np.float32(0),
            summary=found.summary(),
        )

    def distribution(self) -> Numbers:
        """What it stands for; ranks are right to half a quantile."""
        n, n_kept = self.n - self.n_missing, self.quantiles.size
        return Numbers(
            values=self.quantiles,
            up_to=None if n == n_kept else np.linspace(0, n, n_kept + 1)[1:],
            n=n,
            n_missing=self.n_missing,
            rank_error=0.0 if n == n_kept else 0.5 / n_kept,
            moments=(self.summary.get("mean", np.nan), self.summary.get("deviation", np.nan)),
            binned=Histogram(self.edges, np.array(self.counts[:-1])),
        )

    @property
    def n(self) -> int:
        """Rows, nulls included."""
        return sum(self.counts)

    @property
    def n_missing(self) -> int:
        """Rows without a value."""
        return self.counts[-1]

    def count(self, values: Floats) -> Counts:
        """Other values (NaN where null) in the bins of :attr:`counts`."""
        known = values[~np.isnan(values)]
        counts = np.bincount(np.searchsorted(self.edges, known), minlength=len(self.edges) + 1)
        return np.append(counts, values.size - known.size)


@dataclass(frozen=True, kw_only=True)
class CategoricalProfile:
    """One categorical column: category to count, the most frequent first, and how many rows are null.

    Beyond 500 categories the rare ones are counted together under ``(other)``.
    """

    counts: dict[str, int]
    n_missing: int

    @classmethod
    def fit(cls, values: NDArray[Any]) -> CategoricalProfile:
        """Profile the labels of a column."""
        return cls.of(Categories.of(values))

    @classmethod
    def of(cls, found: Categories) -> CategoricalProfile:
        """The same from a distribution."""
        kept = dict(list(found.counts.items())[:MOST_CATEGORIES])
        rest = found.n - sum(kept.values())
        return cls(counts=kept | {OTHER: rest} if rest > 0 else kept, n_missing=found.n_missing)

    def distribution(self) -> Categories:
        """What it stands for."""
        named = {name: count for name, count in self.counts.items() if name != OTHER}
        return Categories(
            counts=named, n=self.n - self.n_missing, n_missing=self.n_missing, n_distinct=len(self.counts)
        )

    @property
    def n(self) -> int:
        """Rows, nulls included."""
        return sum(self.counts.values()) + self.n_missing


FeatureProfile = NumericProfile | CategoricalProfile


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Profiles by column name, in the order in which the columns were given.

    >>> table = {"km": np.arange(100.0)}
    >>> Profile.fit(table, [Column(name="km", role="numeric")]).features["km"].n
    100
    """

    features: dict[str, FeatureProfile]

    @classmethod
    def fit(cls, columns: Columns, specs: Sequence[Column]) -> Profile:
        """Profile the numbers and categories among the columns; :mod:`headrace.checks.texts` has texts.

        Raises:
            InvalidInput: a column is missing, or a numeric one holds text.
        """
        features: dict[str, FeatureProfile] = {}
        for name, kind in Rows.of(columns, specs).kinds.items():
            values = np.asarray(columns[name])
            if kind == "numeric":
                features[name] = NumericProfile.fit(numbers(values, name))
            else:
                features[name] = CategoricalProfile.fit(values)
        return cls(features=features)

    @classmethod
    def of(cls, side: Side) -> Profile:
        """The same from whatever can be compared, such as the sketches of a reference window.

        Raises:
            InvalidInput: a column did not come.
        """
        features: dict[str, FeatureProfile] = {}
        for name in side.kinds:
            match side.distribution(name):
                case Numbers() as found:
                    features[name] = NumericProfile.of(found)
                case Categories() as found:
                    features[name] = CategoricalProfile.of(found)
                case None:
                    raise InvalidInput(f"Column {name!r} did not come. Leave it out or send it.")
        return cls(features=features)

    @property
    def kinds(self) -> dict[str, Kind]:
        """What each column is."""
        return {
            n: "numeric" if isinstance(f, NumericProfile) else "categorical" for n, f in self.features.items()
        }

    def distribution(self, name: str) -> Distribution:
        """What is known of one column."""
        return self.features[name].distribution()

    def to_dict(self) -> dict[str, Any]:
        """A JSON form; :meth:`from_dict` reads it."""
        return {"format": _FORMAT, "features": {n: _to_dict(f) for n, f in self.features.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Profile:
        """The profile that :meth:`to_dict` wrote.

        Raises:
            InvalidInput: it is something else, or of a later format.
        """
        if data.get("format") != _FORMAT:
            raise InvalidInput(
                f"A profile has format {data.get('format')!r}. Expected {_FORMAT}. Rebuild the release."
            )
        return cls(features={n: _from_dict(f) for n, f in data["features"].items()})


def _to_dict(feature: FeatureProfile) -> dict[str, Any]:
    if isinstance(feature, CategoricalProfile):
        return {"counts": feature.counts, "n_missing": feature.n_missing}
    return {
        "edges": list(feature.edges),
        "counts": list(feature.counts),
        "quantiles": _pack(feature.quantiles),
        "summary": feature.summary,
    }


def _from_dict(data: Mapping[str, Any]) -> FeatureProfile:
    if "edges" not in data:
        return CategoricalProfile(counts=dict(data["counts"]), n_missing=data["n_missing"])
    return NumericProfile(
        edges=tuple(data["edges"]),
        counts=tuple(data["counts"]),
        quantiles=_unpack(data["quantiles"]),
        summary=dict(data["summary"]),
    )


def _pack(values: NDArray[np.float32]) -> str:
    """Ascending float32 values in about two bytes each: gaps between them, byte by byte, compressed."""
    gaps = np.diff(_ordered(values), prepend=np.uint32(0)).astype("<u4")
    planes = gaps.view(np.uint8).reshape(-1, 4).T.tobytes()
    return base64.b64encode(zlib.compress(planes, 9)).decode()


def _unpack(text: str) -> NDArray[np.float32]:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    gaps = np.ascontiguousarray(planes.reshape(4, -1).T).view("<u4").ravel()
    codes = np.cumsum(gaps, dtype=np.uint32)
    bits = np.where(codes >> 31, codes & np.uint32(0x7FFFFFFF), ~codes)
    return bits.astype(np.uint32).view(np.float32)


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Bit patterns that sort as the values do."""
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000)).astype(np.uint32)
