"""What a measurement needs to know about a column: its missing values, and its values as labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput

LARGEST = float(np.finfo(np.float32).max)
"""Models see float32; a number beyond it is as good as infinite."""
Result = TypeVar("Result")
_ALWAYS_KNOWN = frozenset({str, bool, int, bytes})


def is_missing(value: object) -> bool:
    """``None``, NaN or NaT."""
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return value is None or (isinstance(value, np.datetime64) and bool(np.isnat(value)))


def missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are null, shape ``(n_rows,)``; infinity is not."""
    match values.dtype.kind:
        case "f":
            return np.asarray(np.isnan(values))
        case "M":
            return np.asarray(np.isnat(values))
        case "O":
            listed = values.tolist()
            kinds = set(map(type, listed)) - _ALWAYS_KNOWN
            if kinds <= {type(None)}:
                found = [value is None for value in listed] if kinds else False
                return np.full(len(listed), found, dtype=bool)
            return np.fromiter(map(is_missing, listed), dtype=bool, count=len(listed))
        case _:
            return np.zeros(len(values), dtype=bool)


def numbers(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Numbers as a model sees them: null, infinite and too large are NaN.

    Raises:
        InvalidInput: the column holds something else.
    """
    if values.dtype.kind == "O":
        if not missing(values).all() and any(isinstance(v, str) for v in values.tolist()):
            raise InvalidInput(f"Column {name!r} holds text. Expected numbers or null.")
        values = np.array([math.nan if is_missing(v) else float(v) for v in values.tolist()])
    if values.dtype.kind not in "fiub":
        raise InvalidInput(f"Column {name!r} has type {values.dtype}. Expected numbers or null.")
    plain = values.astype(np.float64)
    return np.where(np.abs(plain) <= LARGEST, plain, np.nan)


def known_numbers(values: NDArray[Any]) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Numbers as a model sees them, ``(n_rows,)``, NaN for all else; and the ``infinite`` and ``text``.

    Unlike :func:`numbers` it refuses nothing: what comes in production is measured, whatever it is.
    """
    n_text = 0
    if values.dtype.kind == "O":
        plain = np.array([_number(value) for value in values.tolist()], dtype=np.float64)
        n_text = int(np.isnan(plain).sum() - missing(values).sum())
    elif values.dtype.kind in "fiub":
        plain = values.astype(np.float64, copy=False)
    else:
        plain = np.full(len(values), math.nan)
        n_text = len(values) - int(missing(values).sum())
    beyond = np.abs(plain) > LARGEST
    n_infinite = int(beyond.sum())
    if n_infinite:
        plain = np.where(beyond, math.nan, plain)
    return plain, {"infinite": n_infinite, "text": n_text}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float | np.number | np.bool_) else math.nan


def number_of(value: object) -> float:
    """A number, or text that says one; NaN for all else.

    >>> number_of(" 12.5 "), number_of("twelve")
    (12.5, nan)
    """
    if not isinstance(value, str):
        return _number(value)
    try:
        # Python reads 1_000 as a number; no table means that.
        return math.nan if "_" in value else float(value)
    except ValueError:
        return math.nan


def label(value: object) -> str | None:
    """A category's name: text without surrounding spaces, numbers and booleans in their shortest form."""
    if is_missing(value):
        return None
    if isinstance(value, int | float | np.number | np.bool_):
        return f"{float(value) + 0.0:.15g}" if math.isfinite(value) else None
    return str(value).strip()


def labels(values: NDArray[Any] | Sequence[Any]) -> list[str | None]:
    """The :func:`label` of each value, ``(n_rows,)``.

    >>> labels(np.array([" red", "blue", None, 1.0, True], dtype=object))
    ['red', 'blue', None, '1', '1']
    """
    # A list is taken as it is: numpy would make text of a null among texts.
    return for_each(label, values.tolist() if isinstance(values, np.ndarray) else list(values))


def for_each(of: Callable[[Any], Result], values: Sequence[Any]) -> list[Result]:
    """``of`` each value, asked once for all that are equal: columns say few things often."""
    try:
        known = {value: of(value) for value in set(values)}
    except TypeError:  # some cannot be told apart by a hash
        return [of(value) for value in values]
    return [known[value] for value in values]


def readable(value: object) -> str:
    """A value for people: seven digits of a number with a fraction, all of a whole one, which may be a year
    or a code; nothing is a dash.

    >>> readable(2017.0), readable(32.98709487915039), readable(-12345678.9), readable(None)
    ('2017', '32.98709', '-12345679', '–')
    """
    if is_missing(value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        number = float(value)
        whole = number.is_integer() or abs(number) >= 1e7
        return f"{number:.0f}" if whole and abs(number) < 1e15 else f"{number:.7g}"
    return str(value)


def label_counts(values: NDArray[Any]) -> dict[str | None, int]:
    """Category to count, the most frequent first; ``None`` counts nulls."""
    raw: dict[object, int] = {}
    if values.dtype.kind in "fiub":
        distinct, counts = np.unique(values, return_counts=True)
        raw = dict(zip(distinct.tolist(), counts.tolist(), strict=True))
    else:
        raw = dict(Counter(values.tolist()))
    named: dict[str | None, int] = {}
    for value, count in raw.items():
        name = label(value)
        named[name] = named.get(name, 0) + count
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0] is None, item[0] or "")))
