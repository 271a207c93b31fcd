"""Whether what a model gave is an answer: of the right shape and type, and finite.

What is none is a failure of the model's release, with its name: nobody is told a number that is no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from headrace.core.errors import ModelFailed

_WHOLE = range(-(2**63), 2**64)
"""Whole numbers that every protocol and the record have a form for."""


def check_row(answer: Mapping[str, Any], outputs: Sequence[str], *, labels: bool = True) -> None:
    """Look at the answer to one row: by output a number or label, or a list of numbers; the first is no list.

    Args:
        labels: whether it may be one; a model without classes answers numbers.

    Raises:
        ModelFailed: an output is missing, of a wrong type or shape, NaN or infinite.
    """
    for name in outputs:
        if name not in answer:
            raise ModelFailed(f"wrong shape: the model gave no output {name!r} (gave: {', '.join(answer)})")
        value = answer[name]
        if value.__class__ is float:
            if not isfinite(value):
                raise _odd(name, value)
        elif value.__class__ is list:
            for number in value:
                if not isinstance(number, float | int):
                    raise _mistyped(name, number)
                if not isfinite(number):
                    raise _odd(name, number)
            if name == outputs[0] or not value:
                raise ModelFailed(f"wrong shape: output {name!r} has {len(value)} values for one row")
        else:
            _check_value(name, value, labels=labels)


def check_rows(
    answer: Mapping[str, Any], outputs: Sequence[str], n_rows: int, *, labels: bool = True
) -> None:
    """Look at the answer to many rows: by output an array ``(n_rows,)`` or ``(n_rows, k)``; the first has one
    value per row.

    Raises:
        ModelFailed: as :func:`check_row`.
    """
    for name in outputs:
        if name not in answer:
            raise ModelFailed(f"wrong shape: the model gave no output {name!r} (gave: {', '.join(answer)})")
        values = np.asarray(answer[name])
        shapes = (1,) if name == outputs[0] else (1, 2)
        if values.ndim not in shapes or len(values) != n_rows or 0 in values.shape:
            raise ModelFailed(
                f"wrong shape: output {name!r} has shape {values.shape} for {n_rows} rows of input"
            )
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise _odd(name, float(values[~np.isfinite(values)][0]))
        elif values.dtype.kind in "OU":
            for value in values.ravel().tolist():
                _check_value(name, value, labels=labels)
        elif values.dtype.kind not in "biu":
            raise ModelFailed(f"wrong type: output {name!r} holds {values.dtype}. Expected numbers or labels")


def _check_value(name: str, value: Any, *, labels: bool) -> None:
    """One value that is no list, and not of the usual type."""
    if isinstance(value, str):
        if not labels:
            raise ModelFailed(f"wrong type: output {name!r} holds a label. Expected a number")
        if not _is_text(value):
            raise ModelFailed(f"wrong type: output {name!r} holds a label that UTF-8 has no form for")
    elif isinstance(value, float):
        if not isfinite(value):
            raise _odd(name, value)
    elif not isinstance(value, int):
        raise _mistyped(name, value)
    elif value not in _WHOLE:
        raise ModelFailed(f"wrong type: output {name!r} holds a whole number of more than 64 bits")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _odd(name: str, value: float) -> ModelFailed:
    what = "not a number" if value != value else "infinite"  # noqa: PLR0124 - NaN differs from itself
    return ModelFailed(f"{what}: output {name!r} is {value}")


def _mistyped(name: str, value: object) -> ModelFailed:
    return ModelFailed(
        f"wrong type: output {name!r} holds a {type(value).__name__}. Expected a number or a label"
    )
