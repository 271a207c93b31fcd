"""The door: request values are checked against what the model expects, once, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.data.encoding import is_empty
from headrace.serving.models import Input, LoadedModel

MAX_ROWS = 100_000
Values = Mapping[str, Sequence[Any]]
"""Input name to plain values: numbers, text, true or false, or ``None`` where a value is missing."""


class Matrix(NamedTuple):
    """Values by place instead of name: one column for each input, in the order that metadata gives them.

    Metadata describes the live model, so a place means the same whichever release answers.
    """

    columns: list[list[Any]]


_EXPECTED = {
    "number": "a finite number or null",
    "text": "text or null",
    "boolean": "true, false or null",
    "time": "a time in ISO 8601 such as '2026-01-31T08:00:00Z'",
}


def count_rows(loaded: LoadedModel, values: Values) -> int:
    """How many rows ``values`` hold, once names and lengths are what the model expects.

    Raises:
        InvalidInput: an input is missing, unknown, empty, or longer than another, or there are too many rows.
    """
    names = loaded.names
    if values.keys() != names:
        for name in values:
            if name not in names:
                raise InvalidInput(_unknown(name, names))
        missing = [item.name for item in loaded.inputs if item.required and item.name not in values]
        if missing:
            raise InvalidInput(
                f"Input {missing[0]!r} is missing ({len(missing)} missing: {_few(missing)}). "
                f"Expected: {_few([item.name for item in loaded.inputs])}. Send null for what is not known."
            )
        if not values:
            raise InvalidInput("The request has no inputs. Expected at least one column with one row.")
    n_rows = -1
    first = ""
    for name, column in values.items():
        if n_rows < 0:
            n_rows, first = len(column), name
        elif len(column) != n_rows:
            raise InvalidInput(
                f"Input {name!r} has {len(column)} rows and {first!r} has {n_rows}. Expected the same number."
            )
    if n_rows < 1:
        raise InvalidInput("The request has 0 rows. Expected at least one.")
    if n_rows > MAX_ROWS:
        raise InvalidInput(f"The request has {n_rows} rows. Expected at most {MAX_ROWS}: send several.")
    return n_rows


def named(matrix: Matrix, inputs: Sequence[Input]) -> Values:
    """The columns of ``matrix`` by the names of ``inputs``; those that may be left out are, or none is.

    Raises:
        InvalidInput: it has another number of columns.
    """
    required = [item.name for item in inputs if item.required]
    names = next(
        (some for some in ([i.name for i in inputs], required) if len(some) == len(matrix.columns)), None
    )
    if names is None:
        raise InvalidInput(
            f"The rows have {len(matrix.columns)} values without names. Expected {len(required)}, "
            f"in this order: {_few(required)}. Or send each input by its name."
        )
    return dict(zip(names, matrix.columns, strict=True))


class Row(NamedTuple):
    """One row: ``values`` in the model's order, where a missing number is NaN and any other gap ``None``,
    empty text among them where training knew no such category; ``columns`` as they are logged, with ``None``
    for every gap."""

    values: list[Any]
    columns: dict[str, list[Any]]


def read_row(loaded: LoadedModel, values: Values) -> Row:
    """Read a request of a single row.

    Raises:
        InvalidInput: a value has another type than its input, or is NaN or infinite.
    """
    row: list[Any] = []
    columns: dict[str, list[Any]] = {}
    for name, kind in loaded.kinds:
        column = values.get(name)
        given = column[0] if column else None
        if given.__class__ is float and kind == "number":
            value = given if isfinite(given) else _READ[kind](given, name, 0)
        elif given.__class__ is str and kind == "text":
            value = None if name in loaded.gaps and is_empty(given) else given
        else:
            value = _READ[kind](given, name, 0)
        row.append(value)
        columns[name] = [None if given is None else value]
    return Row(row, columns)


def read_columns(loaded: LoadedModel, values: Values, n_rows: int) -> Columns:
    """The rows as numpy columns of shape ``(n_rows,)``. Raises InvalidInput as :func:`read_row` does."""
    return {
        item.name: _read_column(item, values.get(item.name), n_rows, gaps=item.name in loaded.gaps)
        for item in loaded.inputs
        if item.required or item.name in values
    }


def _read_column(item: Input, column: Sequence[Any] | None, n_rows: int, *, gaps: bool) -> Any:
    read = _READ[item.kind]
    values = [None] * n_rows if column is None else column
    parsed = [read(value, item.name, index) for index, value in enumerate(values)]
    if item.kind == "number":
        return np.array(parsed, dtype=np.float64)
    if item.kind == "time":
        moments = ["NaT" if moment is None else moment.replace(tzinfo=None) for moment in parsed]
        return np.array(moments, dtype="datetime64[us]")
    if item.kind == "boolean" and None not in parsed:
        return np.array(parsed, dtype=np.bool_)
    array = np.empty(n_rows, dtype=object)
    array[:] = [None if is_empty(value) else value for value in parsed] if gaps else parsed
    return array


def read_time(value: object, what: str) -> datetime:
    """A moment in UTC; text without an offset is taken as UTC.

    Raises:
        InvalidInput: it is no such text.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise InvalidInput(f"{what} is {_shown(value)}. Expected {_EXPECTED['time']}.")


def _number(value: object, name: str, index: int) -> float:
    if value is None:
        return nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = nan
        if isfinite(number):
            return number
    raise _mistyped("number", value, name, index)


def _text(value: object, name: str, index: int) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise _mistyped("text", value, name, index)


def _boolean(value: object, name: str, index: int) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise _mistyped("boolean", value, name, index)


def _time(value: object, name: str, index: int) -> datetime | None:
    return None if value is None else read_time(value, f"Input {name!r}, row {index}")


_READ: dict[str, Callable[[object, str, int], Any]] = {
    "number": _number,
    "text": _text,
    "boolean": _boolean,
    "time": _time,
}


def is_of(kind: str, value: object) -> bool:
    """Whether a value is what an input of this kind takes."""
    try:
        _READ[kind](value, "", 0)
    except InvalidInput:
        return False
    return True


def _mistyped(kind: str, value: object, name: str, index: int) -> InvalidInput:
    return InvalidInput(f"Input {name!r}, row {index}: got {_shown(value)}. Expected {_EXPECTED[kind]}.")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except ValueError:
        return "a whole number of more than 4300 digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _few(names: Collection[str]) -> str:
    shown = list(names)[:20]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _unknown(name: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"The model has no input {_shown(name)}.{hint} Expected: {_few(sorted(names))}."
