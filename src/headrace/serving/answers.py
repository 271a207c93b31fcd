"""Whether what a model gave is an answer: of the right shape and type, and finite.

What is none is a failure of the model's release, with its name: nobody is told a number that is no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from headrace.core.errors import ModelFailed


def check_row(answer: Mapping[str, Any], outputs: Sequence[str]) -> None:
    """Look at the answer to one row: by output a number or label, or a list of numbers.

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
        elif not isinstance(value, str | int):
            raise _mistyped(name, value)


def check_rows(answer: Mapping[str, Any], outputs: Sequence[str], n_rows: int) -> None:
    """Look at the answer to many rows: by output an array ``(n_rows,)`` or ``(n_rows, k)``.

    Raises:
        ModelFailed: as :func:`check_row`.
    """
    for name in outputs:
        if name not in answer:
            raise ModelFailed(f"wrong shape: the model gave no output {name!r} (gave: {', '.join(answer)})")
        values = np.asarray(answer[name])
        if values.ndim not in (1, 2) or len(values) != n_rows:
            raise ModelFailed(
                f"wrong shape: output {name!r} has shape {values.shape} for {n_rows} rows of input"
            )
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise _odd(name, float(values[~np.isfinite(values)][0]))
        elif values.dtype.kind == "O":
            for value in values.ravel().tolist():
                if not isinstance(value, str | int | float):
                    raise _mistyped(name, value)
        elif values.dtype.kind not in "biuU":
            raise ModelFailed(f"wrong type: output {name!r} holds {values.dtype}. Expected numbers or labels")


def _odd(name: str, value: float) -> ModelFailed:
    what = "not a number" if value != value else "infinite"  # noqa: PLR0124 - NaN differs from itself
    return ModelFailed(f"{what}: output {name!r} is {value}")


def _mistyped(name: str, value: object) -> ModelFailed:
    return ModelFailed(
        f"wrong type: output {name!r} holds a {type(value).__name__}. Expected a number or a label"
    )
