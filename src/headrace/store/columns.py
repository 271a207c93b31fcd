"""Numpy columns to and from the engine: one place that knows what a null is on either side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns

_SQL_TYPES = {"f": "DOUBLE", "O": "VARCHAR", "b": "BOOLEAN", "M": "TIMESTAMP", "i": "BIGINT", "u": "BIGINT"}
_KINDS = {
    "DOUBLE": "numbers",
    "BIGINT": "whole numbers",
    "VARCHAR": "text",
    "BOOLEAN": "booleans",
    "TIMESTAMP": "times",
}
_MAX_WHOLE = 1 << 53


class Incoming(NamedTuple):
    """Arrays under safe names ``c0, c1, ...``, and the SQL that gives them their own names and types."""

    arrays: dict[str, Any]
    sql: str


def quoted(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def path_of(file: str | Path) -> str:
    """``file`` as an SQL string for what reads files: this one, and no other that ``[1]`` or ``*`` may mean.

    >>> path_of("/data/cars [1].csv")
    "'/data/cars [[]1].csv'"
    """
    return literal(re.sub(r"[*?\[]", r"[\g<0>]", str(Path(file).absolute())))


def parquet_rows(files: Iterable[str | Path]) -> str:
    """SQL for the rows of Parquet files, whose columns are in them and not in their folders' names."""
    listed = ", ".join(map(path_of, files))
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def incoming(table: str, columns: Columns, stored: Mapping[str, str | None]) -> Incoming:
    """What to store for ``columns`` in a table whose columns have the SQL types ``stored``.

    Raises:
        InvalidInput: no columns, names that clash, arrays of different lengths or of a kind that is
            not stored, or a kind other than the table's own.
    """
    _check_names(table, columns, stored)
    arrays: dict[str, Any] = {}
    terms: list[str] = []
    lengths: dict[str, int] = {}
    for index, (name, values) in enumerate(columns.items()):
        array = _storable(table, name, np.asarray(values))
        lengths[name] = len(array)
        if name in stored and stored[name] is None:
            raise InvalidInput(
                f"Column {name!r} of table {table!r} is nested. Headrace does not write to it."
            )
        kind = _reconciled(table, name, array, stored.get(name))
        arrays[f"c{index}"] = array
        terms.append(f"CAST(c{index} AS {kind}) AS {quoted(name)}")
    if len(set(lengths.values())) > 1:
        raise InvalidInput(
            f"The columns for table {table!r} have different lengths ({lengths}). Expected equal lengths."
        )
    return Incoming(arrays, "SELECT " + ", ".join(terms) + " FROM incoming")


def outgoing(fetched: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's arrays as our columns: nulls are NaN, NaT or None, never a mask."""
    return {name: _unmasked(array) for name, array in fetched.items()}


def _check_names(table: str, columns: Columns, stored: Mapping[str, str | None]) -> None:
    if not columns:
        raise InvalidInput(f"Rows for table {table!r} have no columns. Expected one array per column.")
    spelled = {name.lower(): name for name in stored}
    for name in columns:
        if not name or "\x00" in name:
            raise InvalidInput(f"A column of table {table!r} is called {name!r}. Give it a name.")
        other = spelled.setdefault(name.lower(), name)
        if other != name:
            raise InvalidInput(
                f"Columns {other!r} and {name!r} of table {table!r} differ only in case, which tables do "
                "not tell apart. Rename one."
            )


def _storable(table: str, name: str, array: Any) -> Any:
    if array.ndim != 1:
        raise InvalidInput(
            f"Column {name!r} for table {table!r} has shape {array.shape}. Expected one dimension, (n_rows,)."
        )
    kind = array.dtype.kind
    if kind == "U":
        return array.astype(object)
    if kind not in _SQL_TYPES:
        raise InvalidInput(
            f"Column {name!r} for table {table!r} has type {array.dtype}. "
            "Expected float64, object (text or None), bool, datetime64[us] or int64."
        )
    if kind == "f":
        return array.astype(np.float64, copy=False)
    if kind == "M":
        return array.astype("datetime64[us]", copy=False)
    if kind == "O":
        return _text(table, name, array)
    if kind == "u" and len(array) and int(array.max()) > np.iinfo(np.int64).max:
        raise InvalidInput(
            f"Column {name!r} for table {table!r} has whole numbers above 2**63 - 1. "
            "Store them as text, or view them as int64."
        )
    return array


def _text(table: str, name: str, array: Any) -> Any:
    for row, value in enumerate(array):
        if value is None or type(value) is str:
            continue
        if isinstance(value, str):
            return _text(table, name, np.array([v if v is None else str(v) for v in array], dtype=object))
        raise InvalidInput(
            f"Column {name!r} for table {table!r} holds {value!r} ({type(value).__name__}) in row {row}. "
            "Expected text or None; give numbers, booleans and times as arrays of their own type."
        )
    return array


def _reconciled(table: str, name: str, array: Any, stored: str | None) -> str:
    """The SQL type to store under: the table's own where nothing is lost by it."""
    natural = _SQL_TYPES[array.dtype.kind]
    if stored is None or stored == natural or _all_null(array):
        return stored or natural
    if stored == "DOUBLE" and natural == "BIGINT" and _is_exact(array):
        return stored
    if stored == "BIGINT" and natural == "DOUBLE" and _is_exact(array[~np.isnan(array)]):
        return stored
    raise InvalidInput(
        f"Column {name!r} of table {table!r} holds {_KINDS.get(stored, stored)}; these rows bring "
        f"{_KINDS[natural]}. Convert them first, or replace the table."
    )


def _is_exact(array: Any) -> bool:
    """Whether every value is the same as a whole number and as a float64."""
    if not len(array):
        return True
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.trunc(array)).all()):
        return False
    return bool(int(array.max()) <= _MAX_WHOLE and int(array.min()) >= -_MAX_WHOLE)


def _all_null(array: Any) -> bool:
    kind = array.dtype.kind
    if kind == "O":
        return all(value is None for value in array)
    if kind == "f":
        return bool(np.isnan(array).all())
    if kind == "M":
        return bool(np.isnat(array).all())
    return len(array) == 0


def _unmasked(array: Any) -> Any:
    values = np.ma.getdata(array)
    nulls = np.ma.getmaskarray(array)
    has_nulls = bool(nulls.any())
    kind = values.dtype.kind
    if kind == "f":
        values = values.astype(np.float64, copy=False)
        return _filled(values, nulls, np.nan) if has_nulls else values
    if kind in "iu":
        if has_nulls:
            return _filled(values.astype(np.float64), nulls, np.nan)
        return values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
    if kind == "M":
        values = values.astype("datetime64[us]", copy=False)
        return _filled(values, nulls, np.datetime64("NaT")) if has_nulls else values
    if kind == "b" and not has_nulls:
        return values
    return _filled(values.astype(object), nulls, None)


def _filled(values: Any, nulls: Any, null: Any) -> Any:
    filled = values.copy()
    filled[nulls] = null
    return filled


_DELTA_TYPES = {
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "timestamp_ntz": "TIMESTAMP",
    "binary": "BLOB",
}
_DECIMAL = re.compile(r"decimal\((?P<precision>\d+),\s*(?P<scale>\d+)\)")


def sql_type(delta_type: str) -> str | None:
    """The engine's name for a Delta column type; None for nested ones."""
    match = _DECIMAL.fullmatch(delta_type)
    return f"DECIMAL({match['precision']},{match['scale']})" if match else _DELTA_TYPES.get(delta_type)
