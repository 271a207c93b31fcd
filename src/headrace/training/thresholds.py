"""Where a tree parts raw numbers: thresholds of prepared numbers, carried back to the column as it came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.training.preparing import FLOAT32, apply_steps

Floats = NDArray[np.float64]
_BITS = 64
_POSITIVE = 0x7FFF_FFFF_FFFF_FFFF


def falls(steps: Sequence[Any]) -> bool:
    """Whether the prepared number becomes smaller where the raw one becomes larger."""
    low, high = apply_steps(np.array([-FLOAT32, FLOAT32]), steps)
    return bool(low > high)


def last_below(thresholds: Floats, steps: Sequence[Any], *, single: bool, rounded: bool = False) -> Floats:
    """The largest raw numbers ``(n,)`` that the preparation keeps at or below each threshold ``(n,)``.

    Where it :func:`falls`, those that it keeps above it.

    Found by bisection as the preparation itself computes, which is monotone: so they are exact.

    Args:
        single: whether raw numbers are rounded to float32 first; ``rounded``: whether prepared ones are.

    >>> last_below(np.array([0.5]), [("affine", 10.0, 4.0)], single=False)
    array([12.])
    """

    def prepared(values: Floats) -> Any:
        found = apply_steps(values.astype(np.float32) if single else values, steps)
        if not rounded:
            return found
        with np.errstate(over="ignore"):
            return found.astype(np.float32).astype(np.float64)

    is_falling = falls(steps)
    low = _ordered(np.full(len(thresholds), -FLOAT32).view(np.int64))
    high = _ordered(np.full(len(thresholds), FLOAT32).view(np.int64))
    for _ in range(_BITS):
        middle = (low & high) + ((low ^ high) >> 1)  # their mean, which their sum may be too large for
        values = prepared(_ordered(middle).view(np.float64))
        below = values > thresholds if is_falling else values <= thresholds
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return _ordered(low).view(np.float64)


def _ordered(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of doubles as integers in the order of the doubles, and back."""
    return np.where(bits < 0, bits ^ _POSITIVE, bits)
