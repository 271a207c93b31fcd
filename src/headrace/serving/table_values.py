"""Columns of a table as the plain values of a request."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from headrace.core.errors import InvalidInput

_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?")
_TRUTH = {"true": True, "false": False}


def plain_values(name: str, column: Any, kind: str | None) -> list[Any]:
    """The plain values of one column of a table, shape ``(n_rows,)``, with ``None`` for every gap.

    Args:
        kind: what the model expects: ``number``, ``text``, ``time`` or ``boolean``; None where it has no
            such input.

    Raises:
        InvalidInput: it holds text that UTF-8 has no form for.
    """
    if column.dtype.kind == "M":
        texts = np.datetime_as_string(column, unit="us").tolist()
        return [None if text == "NaT" else f"{text}Z" for text in texts]
    values: list[Any] = column.tolist()
    if column.dtype.kind == "f":
        values = [None if value != value else value for value in values]  # noqa: PLR0124 - that is NaN
        if kind == "boolean":
            # A table has no form for true and false with gaps but numbers.
            values = [bool(value) if value in (0.0, 1.0) else value for value in values]
    for value in values if column.dtype.kind == "O" else ():
        if isinstance(value, str) and not value.isascii():
            _require_utf8(name, value)
    return values


def fitting_values(name: str, column: Any, kind: str) -> list[Any]:
    """As :func:`plain_values`, where one odd cell may have made text of a whole column, or a file of codes
    that all look like numbers has made numbers of it: each cell that can be what the model expects is that.

    >>> fitting_values("mileage", np.array(["12.5", "unknown"], dtype=object), "number")
    [12.5, 'unknown']
    """
    values = plain_values(name, column, kind)
    if column.dtype.kind == "O" and kind == "number":
        return [float(v) if isinstance(v, str) and _NUMBER.fullmatch(v) else v for v in values]
    if column.dtype.kind == "O" and kind == "boolean":
        return [_TRUTH.get(v.lower(), v) if isinstance(v, str) else v for v in values]
    if column.dtype.kind == "f" and kind == "text":
        return [None if v is None else str(int(v)) if v.is_integer() else repr(v) for v in values]
    return values


def _require_utf8(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"Input {name!r} holds text that UTF-8 has no form for. Expected text.") from error
