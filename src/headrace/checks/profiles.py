"""How the columns of a reference are distributed, small enough to travel with a release.

A number is kept as the counts of about 20 bins of equal content, with one more beyond either end and one
for nulls, and as a sample of at most 3,000 values. A category is kept as counts.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import label_counts, numbers
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column

N_BINS = 20
LARGEST_SAMPLE = 3_000
MOST_CATEGORIES = 500
NULL, OTHER = "(null)", "(other)"
_FORMAT = 1

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NumericProfile:
    """One numeric column.

    Attributes:
        edges: ascending; bin ``i`` holds the values in ``(edges[i - 1], edges[i]]``, the first everything up
            to ``edges[0]``, the last everything beyond.
        counts: of the ``len(edges) + 1`` bins, then of the nulls.
        sample: values of at most 3,000 rows, ascending, float32.
        summary: ``mean``, ``deviation``, ``min``, ``q25``, ``median``, ``q75`` and ``max``; empty without
            values.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    sample: NDArray[np.float32] = field(compare=False)
    summary: dict[str, float]

    @classmethod
    def fit(cls, values: Floats) -> NumericProfile:
        """Profile values, NaN where null."""
        known = values[~np.isnan(values)]
        edges = _edges(known)
        chosen = known
        if known.size > LARGEST_SAMPLE:
            chosen = np.random.default_rng(0).choice(known, LARGEST_SAMPLE, replace=False)
        return cls(
            edges=edges,
            counts=tuple(_count(values, edges).tolist()),
            sample=np.sort(chosen.astype(np.float32) + np.float32(0)),
            summary=summarise(known),
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
        return _count(values, self.edges)


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
        counts = label_counts(values)
        n_missing = counts.pop(None, 0)
        named = [(name, count) for name, count in counts.items() if name is not None]
        kept = dict(named[:MOST_CATEGORIES])
        if len(named) > MOST_CATEGORIES:
            kept[OTHER] = sum(count for _, count in named[MOST_CATEGORIES:])
        return cls(counts=kept, n_missing=n_missing)

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
        """Profile the columns that ``specs`` does not ignore.

        Raises:
            InvalidInput: a column is missing, or a numeric one holds text.
        """
        features: dict[str, FeatureProfile] = {}
        for spec in specs:
            if spec.role == "ignored":
                continue
            if spec.name not in columns:
                raise InvalidInput(f"Column {spec.name!r} is missing (has: {', '.join(list(columns)[:20])}).")
            values = np.asarray(columns[spec.name])
            if spec.role == "numeric":
                features[spec.name] = NumericProfile.fit(numbers(values, spec.name))
            else:
                features[spec.name] = CategoricalProfile.fit(values)
        return cls(features=features)

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
            raise InvalidInput(f"A profile has format {data.get('format')!r}. Expected {_FORMAT}.")
        return cls(features={n: _from_dict(f) for n, f in data["features"].items()})


def summarise(known: Floats) -> dict[str, float]:
    """Key statistics of finite values, see :class:`NumericProfile`; empty without values."""
    if not known.size:
        return {}
    quartiles = np.quantile(known, [0, 0.25, 0.5, 0.75, 1])
    named = dict(zip(("min", "q25", "median", "q75", "max"), quartiles.tolist(), strict=True))
    return {"mean": float(known.mean()), "deviation": float(known.std()), **named}


def _edges(known: Floats) -> tuple[float, ...]:
    if not known.size:
        return ()
    distinct = np.unique(known)
    inner = distinct
    if distinct.size > N_BINS:
        inner = np.unique(np.quantile(known, np.arange(1, N_BINS + 1) / N_BINS, method="inverted_cdf"))
    return (float(np.nextafter(distinct[0], -np.inf)), *inner.tolist())


def _count(values: Floats, edges: Sequence[float]) -> Counts:
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(counts, values.size - known.size)


def _to_dict(feature: FeatureProfile) -> dict[str, Any]:
    if isinstance(feature, CategoricalProfile):
        return {"counts": feature.counts, "n_missing": feature.n_missing}
    return {
        "edges": list(feature.edges),
        "counts": list(feature.counts),
        "sample": _pack(feature.sample),
        "summary": feature.summary,
    }


def _from_dict(data: Mapping[str, Any]) -> FeatureProfile:
    if "edges" not in data:
        return CategoricalProfile(counts=dict(data["counts"]), n_missing=data["n_missing"])
    return NumericProfile(
        edges=tuple(data["edges"]),
        counts=tuple(data["counts"]),
        sample=_unpack(data["sample"]),
        summary=dict(data["summary"]),
    )


def _pack(sample: NDArray[np.float32]) -> str:
    """Ascending float32 values in about two bytes each: gaps between them, byte by byte, compressed."""
    gaps = np.diff(_ordered(sample), prepend=np.uint32(0)).astype("<u4")
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
