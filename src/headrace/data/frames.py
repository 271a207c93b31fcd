"""Tables in memory: a mapping from column name to a numpy array, and what identifies their content.

A column has one of four kinds: ``number`` (float64, NaN is null), ``text`` (object, ``None`` is null),
``time`` (datetime64[us] in UTC, NaT is null) and ``boolean`` (bool, no nulls).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns

Kind = Literal["number", "text", "time", "boolean"]
Array = NDArray[Any]
Hashes = NDArray[np.uint64]

LARGEST_EXACT = 2**53 - 1
"""Whole numbers beyond this may change in float64, so a column that holds one stays text."""
LARGEST = float(np.finfo(np.float32).max)
"""Models see float32; a number beyond it is as good as infinite."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)
_NULL_TEXT = 0x6E756C6C


def n_rows(columns: Columns) -> int:
    """How many rows the table has; 0 without columns.

    Raises:
        InvalidInput: columns differ in length.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"Columns differ in length: {lengths}. Every column needs one value per row.")
    return next(iter(lengths.values()), 0)


def kind_of(values: Array) -> Kind:
    """The kind of one column, by its dtype."""
    match values.dtype.kind:
        case "f" | "i" | "u":
            return "number"
        case "b":
            return "boolean"
        case "M":
            return "time"
        case _:
            return "text"


def kinds(columns: Columns) -> dict[str, str]:
    """Column name to kind.

    >>> kinds({"price": np.array([1.0]), "model": np.array(["A1"], dtype=object)})
    {'price': 'number', 'model': 'text'}
    """
    return {name: kind_of(values) for name, values in columns.items()}


def nulls(values: Array) -> NDArray[np.bool_]:
    """Which values are missing, shape ``(n_rows,)``."""
    if values.dtype.kind == "O":
        return np.fromiter(map(is_null, values.tolist()), dtype=bool, count=len(values))
    if values.dtype.kind == "f":
        return np.isnan(values)
    return np.isnat(values) if values.dtype.kind == "M" else np.zeros(len(values), dtype=bool)


def is_null(value: object) -> bool:
    """Whether one value is missing: ``None``, NaN or NaT."""
    if value is None or isinstance(value, float | np.floating):
        return value is None or math.isnan(value)
    return isinstance(value, np.datetime64) and bool(np.isnat(value))


def as_column(values: Any, name: str = "") -> Array:
    """``values`` in the form that a table holds.

    Integers and booleans with nulls become float64; integers beyond 2**53 - 1, which float64
    could round, become text; times become UTC. Objects of other types are kept as their text.

    Raises:
        InvalidInput: not one-dimensional.
    """
    array = values if isinstance(values, np.ndarray) else _from_sequence(values)
    if isinstance(array, np.ma.MaskedArray):
        array = _unmask(array)
    if array.ndim != 1:
        raise InvalidInput(
            f"Column {name!r} has shape {array.shape}. Expected one value per row; "
            "split it into several columns first."
        )
    match array.dtype.kind:
        case "f":
            return array.astype(np.float64, copy=False)
        case "b":
            return array
        case "M":
            return array.astype("datetime64[us]", copy=False)
        case "i" | "u":
            return _integers(array)
        case _:
            return _objects(array.astype(object, copy=False))


def take(columns: Columns, index: Array) -> dict[str, Array]:
    """The rows at ``index`` (positions or a boolean mask), in that order."""
    return {name: values[index] for name, values in columns.items()}


def concat(tables: Sequence[Columns]) -> dict[str, Array]:
    """Stack tables with the same column names; all-null columns take the others' kind.

    Raises:
        InvalidInput: names or kinds differ, or there is no table.
    """
    if not tables:
        raise InvalidInput("There is nothing to stack. Expected at least one table.")
    names = list(tables[0])
    for table in tables[1:]:
        if set(table) != set(names):
            odd = sorted(set(table) ^ set(names))
            raise InvalidInput(f"Tables differ in their columns: {odd}. Every table needs the same ones.")
    return {name: _stack(name, [table[name] for table in tables]) for name in names}


def content_digest(columns: Columns) -> str:
    """SHA-256 over names, kinds and values in row order, as 64 hex digits.

    The order of the columns does not count; the order of the rows does.
    """
    ordered = {name: as_column(columns[name], name) for name in sorted(columns)}
    header = [[name, kind_of(values)] for name, values in ordered.items()]
    digest = hashlib.sha256(json.dumps([n_rows(columns), header], ensure_ascii=True).encode())
    for values in ordered.values():
        for part in _bytes_of(values):
            digest.update(part)
    return digest.hexdigest()


def row_hashes(columns: Columns, names: Iterable[str] | None = None) -> Hashes:
    """A 64-bit hash of each row's content, shape ``(n_rows,)``.

    Equal rows have equal hashes, in every process and on every platform; the order of the columns
    does not count. ``names`` restricts it to some columns.
    """
    chosen = sorted(columns if names is None else names)
    total = np.zeros(n_rows(columns), dtype=np.uint64)
    for name in chosen:
        values = as_column(columns[name], name)
        seed = np.uint64(_hash_text(f"{kind_of(values)}:{name}"))
        total = mix(total ^ mix(_hash_values(values) ^ seed))
    return total


def mix(values: Hashes) -> Hashes:
    """Spread every bit over all 64 (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _MULTIPLY_1
    values = (values ^ (values >> np.uint64(27))) * _MULTIPLY_2
    return values ^ (values >> np.uint64(31))


def _hash_text(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _hash_values(values: Array) -> Hashes:
    match kind_of(values):
        case "number":
            return _plain_floats(values, signed_zero=False).view(np.uint64)
        case "boolean":
            return values.astype(np.uint64)
        case "time":
            return values.astype("datetime64[us]").view(np.uint64)
        case _:
            listed = values.tolist()
            codes = {v: _NULL_TEXT if v is None else _hash_text(v) for v in dict.fromkeys(listed)}
            return np.fromiter(map(codes.__getitem__, listed), dtype=np.uint64, count=len(listed))


def _bytes_of(values: Array) -> Iterable[bytes]:
    match kind_of(values):
        case "number":
            yield _plain_floats(values, signed_zero=True).astype("<f8").tobytes()
        case "boolean":
            yield values.astype(np.uint8).tobytes()
        case "time":
            yield values.view(np.int64).astype("<i8").tobytes()
        case _:
            listed = values.tolist()
            text = "".join([v for v in listed if v is not None])
            data = text.encode("utf-8", "surrogatepass")
            # Of ASCII, as most columns are, characters are bytes.
            size = len if len(data) == len(text) else _n_bytes
            yield np.array([-1 if v is None else size(v) for v in listed], dtype="<i8").tobytes()
            yield data


def _n_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _plain_floats(values: Array, *, signed_zero: bool) -> NDArray[np.float64]:
    """Every NaN with the same bits, and -0.0 as 0.0 unless its sign is to count."""
    plain = values.astype(np.float64)
    plain[np.isnan(plain)] = np.nan
    if not signed_zero:
        plain[plain == 0] = 0.0
    return plain


def _from_sequence(values: Any) -> Array:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def _unmask(array: np.ma.MaskedArray[Any, Any]) -> Array:
    """Masked values become nulls."""
    mask = np.ma.getmaskarray(array)
    data = np.asarray(array.data)
    if not mask.any():
        return data
    if data.dtype.kind in "iu":
        data = _integers(data)
    if data.dtype.kind in "fM":
        data = data.copy()
        data[mask] = np.datetime64("NaT") if data.dtype.kind == "M" else np.nan
        return data
    data = data.astype(object)
    data[mask] = None
    return data


def _integers(array: Array) -> Array:
    if len(array) and (int(array.max()) > LARGEST_EXACT or int(array.min()) < -LARGEST_EXACT):
        return np.array([str(v) for v in array.tolist()], dtype=object)
    return array.astype(np.float64)


def _objects(array: Array) -> Array:
    """An object column as text, unless all its values are numbers, booleans or times."""
    listed = array.tolist()
    types = set(map(type, listed)) - {type(None)}
    if types <= {str}:
        return array
    listed = [None if is_null(v) else v for v in listed]
    types = set(map(type, listed)) - {type(None)}
    if types == {bool} and None not in listed:
        return np.array(listed, dtype=bool)
    if all(issubclass(t, Real | Decimal) for t in types):
        if all(issubclass(t, int) for t in types) and any(
            v is not None and abs(v) > LARGEST_EXACT for v in listed
        ):
            return _filled([None if v is None else str(v) for v in listed])
        return np.array([np.nan if v is None else float(v) for v in listed], dtype=np.float64)
    if all(issubclass(t, date) for t in types):
        return np.array([_utc(v) for v in listed], dtype="datetime64[us]")
    return _filled([None if v is None else _text(v) for v in listed])


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _filled(values: Sequence[object]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _utc(value: Any) -> Any:
    if value is None:
        return np.datetime64("NaT")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _stack(name: str, parts: Sequence[Array]) -> Array:
    parts = [as_column(part, name) for part in parts]
    found = {kind_of(part) for part in parts if not bool(nulls(part).all())}
    if len(found) > 1:
        raise InvalidInput(
            f"Column {name!r} is {' in one table and '.join(sorted(found))} in another. "
            "Give it one type in all of them."
        )
    kind: Kind = next(iter(found)) if found else kind_of(parts[0])
    return np.concatenate([part if kind_of(part) == kind else nulls_of(kind, len(part)) for part in parts])


def nulls_of(kind: str, count: int) -> Array:
    """A column of ``count`` nulls; a boolean one has no null and comes as numbers."""
    if kind == "text":
        return np.full(count, None, dtype=object)
    if kind == "time":
        return np.full(count, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(count, np.nan)


def as_mapping(columns: Mapping[str, Any]) -> dict[str, Array]:
    """Every column in the form that a table holds; see :func:`as_column`."""
    table = {str(name): as_column(values, str(name)) for name, values in columns.items()}
    n_rows(table)
    return table
