"""Between two tables: which columns are other ones now; between two models: how far the answers moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.causes import cause_of
from headrace.checks.columns import label_counts, labels
from headrace.checks.drift import Profile, Shift, shifts
from headrace.checks.spellings import written_as
from headrace.core.ports import Columns

REDEFINED = frozenset(
    {"empty", "text", "negated", "rescaled", "converted", "respelled", "reformatted", "recoded"}
)
"""Causes by which a column is not what it was: it is not filled, or of another type, format or definition."""
LEAST_UNIT = 1.6
"""A mile is 1.609 kilometres. What became larger by less, such as a price, may have grown."""
LEVEL = 0.001
"""Chance of calling any one column of a table changed that is not, before its size is asked for."""
FEWEST_ROWS = 30


class Change(NamedTuple):
    """One column that differs: ``redefined`` says it is not what it was, rather than other rows of it."""

    column: str
    cause: str
    what: str
    size: float
    p_value: float
    redefined: bool


def changes(reference: Profile, columns: Columns, least: float) -> list[Change]:
    """Columns of ``reference`` whose values differ in a table, those that are redefined first, then by size.

    Columns that the table does not have are not compared.

    Args:
        least: size from which a difference counts (:attr:`headrace.checks.drift.Shift.size`).

    >>> from headrace.core.project import Column
    >>> km = np.random.default_rng(0).lognormal(10, 1, 2000)
    >>> before = Profile.fit({"km": km}, [Column(name="km", role="numeric")])
    >>> [(one.column, one.cause) for one in changes(before, {"km": km * 1000}, 0.08)]
    [('km', 'rescaled')]
    """
    kept = Profile(features={name: f for name, f in reference.features.items() if name in columns})
    found = []
    for shift in shifts(kept, {name: np.asarray(columns[name]) for name in kept.features}):
        if shift.p_value is None or shift.size is None or shift.size < least:
            continue
        if shift.p_value > LEVEL / len(kept.features):
            continue
        cause = cause_of(shift)
        words = cause.words
        if cause.name == "text" and (written := _written(columns[shift.feature])) is not None:
            words = f"{words}: {written}"
        redefined = cause.name in REDEFINED and (cause.name != "rescaled" or _is_unit(shift))
        found.append(Change(shift.feature, cause.name, words, shift.size, shift.p_value, redefined))
    return sorted(found, key=lambda one: (not one.redefined, -one.size, one.column))


def _is_unit(shift: Shift) -> bool:
    before, now = (abs(shift.detail[side]["median"]) for side in ("reference", "current"))
    return bool(max(before, now) >= LEAST_UNIT * min(before, now))


def _written(values: Any) -> str | None:
    texts: dict[object, int] = {}
    for value in np.asarray(values, dtype=object).tolist():
        if isinstance(value, str):
            texts[value] = texts.get(value, 0) + 1
    return written_as(texts)


class Moved(NamedTuple):
    """How far the answers of one model are from those of another, on the same rows.

    Attributes:
        size: share of the rows that get another class; of numbers the mean distance of both answers, in
            standard deviations of the other model's.
        direction: of numbers the mean of new less other, in the same unit; of classes by how much the share
            of each has changed.
    """

    n_rows: int
    size: float
    direction: float | dict[str, float]


def moved(new: NDArray[Any], other: NDArray[Any], *, numeric: bool, spread: float | None = None) -> Moved:
    """Compare two models' answers to the same rows, both of shape ``(n_rows,)``.

    Args:
        spread: of numbers the deviation to measure by; the other model's here, unless given.

    >>> moved(np.array([3.0, 5.0]), np.array([2.0, 4.0]), numeric=True)
    Moved(n_rows=2, size=1.0, direction=1.0)
    >>> moved(np.array(["no", "no"]), np.array(["no", "yes"]), numeric=False)
    Moved(n_rows=2, size=0.5, direction={'no': 0.5, 'yes': -0.5})
    """
    n = len(new)
    if numeric:
        apart = np.asarray(new, dtype=np.float64) - np.asarray(other, dtype=np.float64)
        unit = spread_of(other) if spread is None else spread
        return Moved(n, float(np.abs(apart).mean()) / unit, float(apart.mean()) / unit)
    names = [labels(side) for side in (new, other)]
    flipped = sum(a != b for a, b in zip(*names, strict=True)) / n
    now, before = (label_counts(side) for side in (new, other))
    known = sorted({name for name in (*now, *before) if name is not None})
    return Moved(n, flipped, {name: (now.get(name, 0) - before.get(name, 0)) / n for name in known})


def spread_of(answers: NDArray[Any]) -> float:
    """Standard deviation of numbers; 1 of a constant."""
    return float(np.asarray(answers, dtype=np.float64).std()) or 1.0


def moved_by_segment(
    new: NDArray[Any], other: NDArray[Any], segments: Mapping[str, NDArray[Any]], *, numeric: bool
) -> dict[str, Moved]:
    """The same in each segment of 30 rows or more, by ``column: value``, all by one unit."""
    spread = spread_of(other) if numeric else None
    found = {}
    for column, values in segments.items():
        named = np.array(labels(values), dtype=object)
        for name in sorted({one for one in named.tolist() if one is not None}):
            inside = named == name
            if inside.sum() >= FEWEST_ROWS:
                part = moved(new[inside], other[inside], numeric=numeric, spread=spread)
                found[f"{column}: {name}"] = part
    return found
