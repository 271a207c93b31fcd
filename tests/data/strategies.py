"""Tables for hypothesis to try."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)
WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
SHORT_WORDS = st.sampled_from(["a", "b", " b", "c ", "Diesel", ""])
MOMENTS = st.integers(-(2**50), 2**50)


def _array(kind: str, values: list[Any]) -> NDArray[Any]:
    if kind == "number":
        return np.array(values, dtype=np.float64)
    if kind == "boolean":
        return np.array(values, dtype=bool)
    if kind == "time":
        return np.array([np.iinfo(np.int64).min if v is None else v for v in values]).astype("datetime64[us]")
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": NUMBERS,
    "boolean": st.booleans(),
    "time": st.none() | MOMENTS,
    "text": st.none() | WORDS,
    "word": st.none() | SHORT_WORDS,
}


@st.composite
def tables(
    draw: st.DrawFn,
    *,
    min_rows: int = 0,
    max_rows: int = 12,
    kinds: tuple[str, ...] = ("number", "boolean", "time", "text"),
) -> dict[str, NDArray[Any]]:
    """One to four columns of any kinds."""
    n = draw(st.integers(min_rows, max_rows))
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    return {
        f"{kind}_{i}": _array(kind, draw(st.lists(VALUES[kind], min_size=n, max_size=n)))
        for i, kind in enumerate(chosen)
    }
