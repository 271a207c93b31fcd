"""Which rows of a table are suspect, and why: missing, outlying, wrong and dirty values, one reason each.

Every distinct text is looked at once, and numbers as arrays, so that a million rows take seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import LARGEST, is_missing, missing, number_of
from headrace.checks.outliers import usual_limits
from headrace.checks.row_rules import broken_by, parse_rule
from headrace.checks.spellings import are_few, mistaken_dates, other_spellings
from headrace.core.ports import Columns
from headrace.core.project import DataSpec, Task

SuspectKind = Literal["missing", "outlier", "wrong", "dirty"]
Positions = NDArray[np.int64]
UNFIT: tuple[SuspectKind, ...] = ("wrong", "dirty")
"""What nobody can mean; a missing value or an outlier may be the truth."""
_NO_VALUE = frozenset(
    ("", "-", "--", "?", "n/a", "#n/a", "nan", "null", "(null)", "nil", "#ref!", "#value!", "#div/0!")
)


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """Rows that share one reason.

    Attributes:
        column: None when the row as a whole is meant.
        reason: what is wrong; ``reasons`` has a text per value where that differs.
        rows: positions, ascending, from 0.
    """

    kind: SuspectKind
    column: str | None
    reason: str
    rows: Positions
    reasons: dict[object, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SuspectRow:
    """One row with one reason; ``row`` counts from 1, the first after the header."""

    row: int
    column: str | None
    kind: SuspectKind
    value: str | None
    reason: str


def suspects(columns: Columns, spec: DataSpec, task: Task) -> list[Suspects]:
    """Look through a table: its inputs, target, time and key; whole rows; and the rules of ``data.rules``.

    Raises:
        InvalidInput: a rule cannot be read, needs a column that is not there, or compares unlike kinds.
    """
    found: list[Suspects] = []
    bits: dict[str, NDArray[np.uint64]] = {}
    looked_at = _looked_at(columns, spec)
    for name, column in columns.items():
        values = np.asarray(column)
        coded = _coded(values) if values.dtype.kind == "O" else None
        bits[name] = _as_bits(values) if coded is None else coded.codes.view(np.uint64)
        if name in looked_at:
            found += _of_array(name, values) if coded is None else _of_text(name, coded, spec)
            if _has_outliers(name, spec, task):
                found += _outliers(name, values)
    found += _alike(bits, spec, _known(columns, (spec.key, spec.time)))
    for text in spec.rules:
        rule = parse_rule(text)
        found.append(_suspects("wrong", rule.column, f"breaks the rule {text}", broken_by(rule, columns)))
    return [one for one in found if len(one.rows)]


def suspect_rows(columns: Columns, found: Sequence[Suspects]) -> Iterator[SuspectRow]:
    """Every suspect row with each of its reasons, reason by reason."""
    for one in found:
        values = None if one.column is None else np.asarray(columns[one.column])[one.rows].tolist()
        for place, row in enumerate(one.rows.tolist()):
            value = None if values is None else values[place]
            yield SuspectRow(
                row=row + 1,
                column=one.column,
                kind=one.kind,
                value=None if is_missing(value) else str(value),
                reason=one.reasons.get(value, one.reason) if one.reasons else one.reason,
            )


def n_suspect(found: Sequence[Suspects], kinds: Sequence[SuspectKind]) -> int:
    """How many rows have at least one reason of these kinds."""
    chosen = [one.rows for one in found if one.kind in kinds]
    return len(np.unique(np.concatenate(chosen))) if chosen else 0


def summary(found: Sequence[Suspects]) -> list[dict[str, Any]]:
    """Each reason with its number of rows and the first of them, without any value; JSON."""
    return [
        {
            "kind": one.kind,
            "column": one.column,
            "reason": one.reason,
            "rows": len(one.rows),
            "first": (one.rows[:5] + 1).tolist(),
        }
        for one in found
    ]


def _looked_at(columns: Columns, spec: DataSpec) -> list[str]:
    inputs = [column.name for column in spec.columns if column.role != "ignored"]
    named = [*inputs, spec.target, spec.time, spec.key]
    return [name for name in dict.fromkeys(named) if name is not None and name in columns]


def _known(columns: Columns, names: Sequence[str | None]) -> NDArray[np.bool_]:
    """Rows in which none of these is null, shape ``(n_rows,)``."""
    known = np.ones(len(next(iter(columns.values()), ())), dtype=bool)
    for name in names:
        if name is not None and name in columns:
            known &= ~missing(np.asarray(columns[name]))
    return known


def _has_outliers(name: str, spec: DataSpec, task: Task) -> bool:
    if name == spec.target:
        return task != "classification"
    return any(column.name == name and column.role == "numeric" for column in spec.columns)


def _suspects(
    kind: SuspectKind, column: str | None, reason: str, rows: Any, reasons: dict[object, str] | None = None
) -> Suspects:
    positions = np.asarray(rows, dtype=np.int64)
    return Suspects(kind=kind, column=column, reason=reason, rows=positions, reasons=reasons or {})


def _of_array(name: str, values: NDArray[Any]) -> Iterator[Suspects]:
    yield _suspects("missing", name, "has no value", np.flatnonzero(missing(values)))
    if values.dtype.kind == "f":
        beyond = np.flatnonzero(np.abs(values) > LARGEST)
        yield _suspects("wrong", name, "is infinite, or too large for any model", beyond)


def _outliers(name: str, values: NDArray[Any]) -> Iterator[Suspects]:
    if values.dtype.kind == "O":
        values = np.fromiter(map(number_of, values.tolist()), dtype=np.float64, count=len(values))
    if values.dtype.kind not in "fiu":
        return
    plain = values.astype(np.float64, copy=False)
    plain = np.where(np.abs(plain) <= LARGEST, plain, np.nan)
    low, high = usual_limits(plain)
    usual = f"{low:,.6g} to {high:,.6g}" if isfinite(low) and isfinite(high) else ""
    usual = usual or (f"{low:,.6g} or more" if isfinite(low) else f"{high:,.6g} or less")
    yield _suspects(
        "outlier", name, f"is far from the usual {usual}", np.flatnonzero((plain < low) | (plain > high))
    )


def _of_text(name: str, coded: _Coded, spec: DataSpec) -> Iterator[Suspects]:
    codes, distinct = coded
    n_rows = np.bincount(codes, minlength=len(distinct)).tolist()

    def rows(wrong: Collection[object]) -> Positions:
        if not wrong:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(np.fromiter((v in wrong for v in distinct), bool, len(distinct))[codes])

    yield _suspects("missing", name, "has no value", rows({v for v in distinct if v is None}))
    known = {value: n for value, n in zip(distinct, n_rows, strict=True) if value is not None}
    stands_for_none = {v for v in known if isinstance(v, str) and v.strip().lower() in _NO_VALUE}
    reason = "holds a mark that stands for no value"
    yield _suspects("missing", name, reason, rows(stands_for_none))
    known = {value: n for value, n in known.items() if value not in stands_for_none}
    if any(column.name == name and column.role in ("text", "image") for column in spec.columns):
        return
    is_numeric = any(column.name == name and column.role == "numeric" for column in spec.columns)
    unlike = {value for value in known if isnan(number_of(value))}
    if is_numeric or are_few(unlike, known):
        yield _suspects("wrong", name, "is no number, as the other rows are", rows(unlike))
        infinite = {value for value in known if value not in unlike and abs(number_of(value)) > LARGEST}
        yield _suspects("wrong", name, "is infinite, or too large for any model", rows(infinite))
        return
    undated, reshaped = mistaken_dates(known, expected=name == spec.time)
    yield _suspects("wrong", name, "is no date, as the other rows are", rows(undated))
    yield _suspects("dirty", name, "is a date in another format", rows(reshaped), reshaped)
    variants = other_spellings(known)
    yield _suspects("dirty", name, "is another spelling of a value", rows(variants), variants)


class _Coded(NamedTuple):
    """A number for each distinct value, shape ``(n_rows,)``, and the values that these stand for."""

    codes: NDArray[np.int64]
    distinct: list[object]


def _coded(values: NDArray[Any]) -> _Coded:
    listed = values.tolist()
    places: dict[object, int] = dict.fromkeys(listed, 0)
    distinct: dict[object, int] = {}
    for value in places:
        places[value] = distinct.setdefault(None if is_missing(value) else value, len(distinct))
    codes = np.fromiter(map(places.__getitem__, listed), dtype=np.int64, count=len(listed))
    return _Coded(codes, list(distinct))


def _alike(
    bits: Mapping[str, NDArray[np.uint64]], spec: DataSpec, known: NDArray[np.bool_]
) -> Iterator[Suspects]:
    """Rows that are an earlier one again; rows of one entity at one time that say something else."""
    places = np.arange(len(known))
    copied = _first_alike(list(bits.values())) < places
    yield _suspects("dirty", None, "is a copy of an earlier row", np.flatnonzero(copied))
    if spec.key is not None and spec.time is not None and {spec.key, spec.time} <= set(bits):
        same = _first_alike([bits[spec.key], bits[spec.time]]) < places
        reason = f"an earlier row has the same {spec.key} and {spec.time}, and says something else"
        yield _suspects("wrong", None, reason, np.flatnonzero(known & same & ~copied))


def _first_alike(columns: Sequence[NDArray[np.uint64]]) -> Positions:
    """For each row the first that is equal in these columns, shape ``(n_rows,)``."""
    hashed = np.zeros(len(columns[0]), dtype=np.uint64)
    for bits in columns:
        hashed = _mixed(hashed ^ _mixed(bits))
    _, at, group = np.unique(hashed, return_index=True, return_inverse=True)
    first = at[group]
    later = np.flatnonzero(first < np.arange(len(first)))
    # Two rows may have one hash by chance; what is said of a row has to be true.
    alike = np.all([bits[later] == bits[first[later]] for bits in columns], axis=0)
    first[later[~alike]] = later[~alike]
    return np.asarray(first, dtype=np.int64)


def _as_bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Equal numbers for equal values, nulls included, shape ``(n_rows,)``."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]").view(np.uint64)
    plain = values.astype(np.float64) + 0.0  # one zero, not two
    return np.where(np.isnan(plain), np.nan, plain).view(np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the result depends on every bit (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (values ^ (values >> np.uint64(31))) + np.uint64(0x9E3779B97F4A7C15)
