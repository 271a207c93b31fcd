"""How a row becomes the numbers that a model sees: fitted once, used in training and in serving alike.

Numbers stay numbers, null and infinity become NaN. A category becomes its position among the
categories seen in training; null and a category never seen become -1. Spaces around a category do not
count, and text of nothing else is null, as in a CSV file, unless training knew it as a category. Free text
has no number: it is -1, and only a trainer that reads the columns themselves learns from it. What comes out
is float32, so a number beyond its range counts as infinite.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column
from headrace.data.frames import LARGEST, Kind, as_column, is_null, kind_of, n_rows

Category = str | float | bool
Floats = NDArray[np.float32]

UNSEEN = -1.0
_FORMAT = 1
_FEW = 32
"""Up to so many rows are encoded faster one by one: a column costs something before its first row."""


@dataclass(frozen=True, kw_only=True)
class EncodedColumn:
    """One input: its kind in training and, for a category, the categories in code order.

    Attributes:
        empty_is_null: whether empty text is a gap. Encodings of before took it for a category never seen, and
            what was released with them answers as it did.
    """

    name: str
    role: Literal["numeric", "categorical", "text", "image"]
    kind: Kind
    categories: tuple[Category, ...] = ()
    empty_is_null: bool = False


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A fitted encoding.

    >>> table = {"km": np.array([5.0, 7.0]), "fuel": np.array(["Petrol", "Diesel"], dtype=object)}
    >>> specs = [Column(name="km", role="numeric"), Column(name="fuel", role="categorical")]
    >>> Encoding.fit(table, specs).encode_row([6, "Diesel"])
    [6.0, 0.0]
    """

    inputs: tuple[EncodedColumn, ...]
    _codes: tuple[dict[Any, float] | None, ...] = field(init=False, repr=False, compare=False)
    _gaps: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = tuple(
            {c: float(code) for code, c in enumerate(column.categories)} if column.role != "numeric" else None
            for column in self.inputs
        )
        object.__setattr__(self, "_codes", codes)
        gaps = tuple(place for place, column in enumerate(self.inputs) if column.empty_is_null)
        object.__setattr__(self, "_gaps", gaps)

    @classmethod
    def fit(cls, columns: Columns, specs: Sequence[Column]) -> Encoding:
        """Learn the categories of the inputs that ``specs`` does not ignore.

        Raises:
            InvalidInput: a column is missing, or cannot have the role that it is given.
        """
        used = [spec for spec in specs if spec.role != "ignored"]
        if not used:
            raise InvalidInput("The model has no inputs: every column is ignored. Give one another role.")
        return cls(inputs=tuple(_fit_column(_column(columns, spec.name), spec) for spec in used))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the inputs in the order of the features."""
        return tuple(column.name for column in self.inputs)

    @property
    def categorical_indexes(self) -> tuple[int, ...]:
        """Positions of the features that are codes of categories."""
        return tuple(i for i, column in enumerate(self.inputs) if column.role == "categorical")

    def encode(self, columns: Columns) -> Floats:
        """A table as features, float32 of shape ``(n_rows, n_features)``, row-major.

        Raises:
            InvalidInput: an input is missing or has another type than in training.
        """
        length = n_rows(columns)
        if 0 < length <= _FEW:
            listed = [_column(columns, column.name).tolist() for column in self.inputs]
            # Whoever asks with a table is told of a wrong column, not of one value: by what follows.
            with contextlib.suppress(InvalidInput, TypeError):
                return np.array([self.encode_row(row) for row in zip(*listed, strict=True)], dtype=np.float32)
        out = np.empty((length, len(self.inputs)), dtype=np.float32)
        for index, (column, codes) in enumerate(zip(self.inputs, self._codes, strict=True)):
            values = _column(columns, column.name)
            out[:, index] = (
                _numbers(values, column) if codes is None else _encode_categories(values, column, codes)
            )
        return out

    def check(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """The inputs in order, once each has the type that it had in training, and null for empty text that
        is a gap; else as they came.

        Raises:
            InvalidInput: an input is missing or has another type than in training.
        """
        self.encode(columns)
        return {column.name: _without_empty(_column(columns, column.name), column) for column in self.inputs}

    def without_empty(self, values: Sequence[Any]) -> Sequence[Any]:
        """One row, its values in the order of :attr:`columns`, with null where empty text is a gap."""
        found = [place for place in self._gaps if is_empty(values[place])]
        return [None if place in found else value for place, value in enumerate(values)] if found else values

    def encode_row(self, values: Sequence[object]) -> list[float]:
        """One row, its values in the order of :attr:`columns`; the same numbers as :meth:`encode`.

        Raises:
            InvalidInput: another number of values, or one has another type than in training.
        """
        if len(values) != len(self._codes):
            raise InvalidInput(
                f"A row has {len(values)} values. Expected {len(self._codes)}: {self.columns}."
            )
        row: list[float] = []
        add = row.append
        for value, codes in zip(values, self._codes, strict=True):
            if codes is None:
                if value.__class__ is float and -LARGEST <= value <= LARGEST:
                    add(value)
                else:
                    add(_number(value, self.inputs[len(row)]))
            else:
                try:
                    add(codes[value])
                except (KeyError, TypeError):
                    add(_unlisted(value, self.inputs[len(row)], codes))
        return row

    def to_dict(self) -> dict[str, Any]:
        """A JSON form; :meth:`from_dict` reads it."""
        return {
            "format": _FORMAT,
            "columns": [
                {
                    "name": c.name,
                    "role": c.role,
                    "kind": c.kind,
                    "categories": list(c.categories),
                    **({"empty_is_null": True} if c.empty_is_null else {}),
                }
                for c in self.inputs
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Encoding:
        """The encoding that :meth:`to_dict` wrote.

        Raises:
            InvalidInput: it is something else, or of a later format.
        """
        if data.get("format") != _FORMAT:
            raise InvalidInput(f"An encoding has format {data.get('format')!r}. Expected {_FORMAT}.")
        return cls(
            inputs=tuple(
                EncodedColumn(
                    name=c["name"],
                    role=c["role"],
                    kind=c["kind"],
                    categories=tuple(c["categories"]),
                    empty_is_null=c.get("empty_is_null", False),
                )
                for c in data["columns"]
            )
        )


def _column(columns: Columns, name: str) -> NDArray[Any]:
    if name not in columns:
        close = get_close_matches(name, list(columns), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(f"Column {name!r} is missing (has: {', '.join(list(columns)[:20])}).{hint}")
    return as_column(columns[name], name)


def _fit_column(values: NDArray[Any], spec: Column) -> EncodedColumn:
    kind = kind_of(values)
    if kind == "time" or (kind == "text" and spec.role == "numeric"):
        raise InvalidInput(
            f"Column {spec.name!r} is {kind} and cannot be {spec.role}. "
            "Turn it into numbers or text first, or give it the role 'ignored'."
        )
    if spec.role == "numeric":
        return EncodedColumn(name=spec.name, role="numeric", kind=kind)
    if spec.role in ("text", "image"):
        if kind != "text" and not all(value is None for value in values.tolist()):
            raise InvalidInput(f"Column {spec.name!r} is {kind}, no text. Give it another role.")
        return EncodedColumn(name=spec.name, role=spec.role, kind="text")
    known = _categories(values, kind)
    return EncodedColumn(
        name=spec.name,
        role="categorical",
        kind=kind,
        categories=known,
        empty_is_null=kind == "text" and "" not in known,
    )


def _categories(values: NDArray[Any], kind: Kind) -> tuple[Category, ...]:
    if kind == "text":
        return tuple(sorted({v.strip() for v in values.tolist() if v is not None}))
    if kind == "boolean":
        return tuple(bool(v) for v in np.unique(values))
    return tuple(float(v) + 0.0 for v in np.unique(values[np.isfinite(values)]))


def is_empty(value: object) -> bool:
    """Whether a value is text of nothing but spaces, as an empty field of a CSV file."""
    return isinstance(value, str) and not value.strip()


def _without_empty(values: NDArray[Any], column: EncodedColumn) -> NDArray[Any]:
    if not column.empty_is_null or not any(map(is_empty, values.tolist())):
        return values
    filled = values.copy()
    filled[[is_empty(value) for value in values.tolist()]] = None
    return filled


def _mismatch(column: EncodedColumn, got: str) -> InvalidInput:
    expected = "text" if column.kind == "text" else "a number" if column.kind == "number" else "true or false"
    return InvalidInput(f"Column {column.name!r} got {got}. Expected {expected} or null, as in training.")


def _numbers(values: NDArray[Any], column: EncodedColumn) -> NDArray[np.float64]:
    kind = kind_of(values)
    if kind not in ("number", "boolean"):
        if all(v is None for v in values.tolist()):
            return np.full(len(values), np.nan)
        raise _mismatch(column, kind)
    numbers = values.astype(np.float64)
    return np.where(np.abs(numbers) <= LARGEST, numbers, np.nan)


def _number(value: object, column: EncodedColumn) -> float:
    if value is None:
        return math.nan
    try:
        if -LARGEST <= value <= LARGEST:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
    except TypeError:
        raise _mismatch(column, f"{value!r} ({type(value).__name__})") from None
    return math.nan


def _encode_categories(
    values: NDArray[Any], column: EncodedColumn, codes: Mapping[Any, float]
) -> list[float]:
    if kind_of(values) == "time":
        raise _mismatch(column, "a time")
    listed = values.tolist()
    known = {v: codes[v] if v in codes else _unlisted(v, column, codes) for v in set(listed)}
    return [known[v] for v in listed]


def _unlisted(value: object, column: EncodedColumn, codes: Mapping[Any, float]) -> float:
    """The code of a value that is no category as it stands: null, padded, never seen or mistyped."""
    if is_null(value):
        return UNSEEN
    if column.kind == "text":
        if isinstance(value, str):
            return codes.get(value.strip(), UNSEEN)
    elif isinstance(value, int | float | np.number | np.bool_):
        return UNSEEN
    raise _mismatch(column, f"{value!r} ({type(value).__name__})")
