"""Rules that every row has to keep, as declared: ``arrival >= departure``, ``fuel in gas, diesel``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import label, labels, missing, number_of
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns

_FORM = re.compile(r"(?P<left>.+?)\s+(?P<word><=|>=|==|!=|<|>|in)\s+(?P<right>.+)")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """One rule: a column, a comparison, and a constant, another column, or a list of names.

    Attributes:
        word: ``< <= > >= == !=`` or ``in``.
        other: the column on the right, where there is one.
        constant: otherwise what is compared with; the allowed names for ``in``.
    """

    text: str
    column: str
    word: str
    other: str | None = None
    constant: float | str | np.datetime64 | frozenset[str] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule needs."""
        return (self.column,) if self.other is None else (self.column, self.other)


def parse_rule(text: str) -> RowRule:
    """Read one rule. On the right stands a number, a date, 'text' in quotes, or the name of a column.

    Raises:
        InvalidInput: it has another form.

    >>> parse_rule("price > 0").constant
    0.0
    >>> parse_rule("arrival >= departure").columns
    ('arrival', 'departure')
    >>> sorted(parse_rule("fuel in gas, diesel").constant)
    ['diesel', 'gas']
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise InvalidInput(
            f"{text!r} is no rule. Expected a column, one of < <= > >= == != in, and a number, a date, "
            "'text' or another column, with spaces between: arrival >= departure."
        )
    column, word, right = form["left"], form["word"], form["right"]
    if word == "in":
        names = frozenset(label(_unquoted(name.strip())) or "" for name in right.split(","))
        return RowRule(text=text, column=column, word=word, constant=names)
    constant = _constant(right)
    other = right if constant is None else None
    if isinstance(constant, str) and word not in ("==", "!="):
        raise InvalidInput(f"The rule {text!r} orders text. Expected a number or a date, or == or !=.")
    return RowRule(text=text, column=column, word=word, other=other, constant=constant)


def broken_by(rule: RowRule, columns: Columns) -> NDArray[np.int64]:
    """Positions of the rows that break the rule; one where a value is null breaks none.

    Raises:
        InvalidInput: the table lacks a column of the rule, or its columns cannot be compared in this way.
    """
    for name in rule.columns:
        if name not in columns:
            raise InvalidInput(
                f"The rule {rule.text!r} needs a column {name!r} (has: {', '.join(columns)[:500]}). "
                "Mend data.rules in headrace.yaml; text stands in quotes."
            )
    left = np.asarray(columns[rule.column])
    if isinstance(rule.constant, frozenset):
        allowed = rule.constant
        names = labels(left)
        return np.flatnonzero([name is not None and name not in allowed for name in names])
    right = rule.constant if rule.other is None else np.asarray(columns[rule.other])
    left, right, known = _comparable(rule, left, right)
    kept = np.asarray(_COMPARE[rule.word](left, right), dtype=bool)
    return np.flatnonzero(known & ~kept)


def _comparable(rule: RowRule, left: NDArray[Any], right: Any) -> tuple[Any, Any, NDArray[np.bool_]]:
    """Both sides in one kind, and where both are known."""
    whole = isinstance(right, np.ndarray)
    if left.dtype.kind == "M" and (isinstance(right, np.datetime64) or (whole and right.dtype.kind == "M")):
        return left, right, ~missing(left) & ~(missing(right) if whole else np.isnat(right))
    words = isinstance(right, str) or (whole and left.dtype.kind == right.dtype.kind == "O")
    if words and rule.word in ("==", "!="):
        ours = np.array(labels(left), dtype=object)
        theirs = np.array(labels(right), dtype=object) if whole else right
        known = ~missing(ours) & (~missing(theirs) if whole else True)
        return ours, theirs, known
    if (
        left.dtype.kind == "M"
        or isinstance(right, np.datetime64 | str)
        or (whole and right.dtype.kind == "M")
    ):
        raise InvalidInput(
            f"The rule {rule.text!r} compares what has no common order ({left.dtype} on the left). Expected "
            "numbers with numbers or times with times; a time that is read as text has a value that is none."
        )
    ours, theirs = _as_numbers(left), _as_numbers(right) if whole else np.float64(right)
    return ours, theirs, np.asarray(~np.isnan(ours) & ~np.isnan(theirs))


def _as_numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    return np.fromiter(map(number_of, values.tolist()), dtype=np.float64, count=len(values))


def _constant(text: str) -> float | str | np.datetime64 | None:
    """A number, a date or quoted text; None for a column's name."""
    if _QUOTED.fullmatch(text):
        return _unquoted(text)
    number = number_of(text)
    if not np.isnan(number):
        return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment, "us")


def _unquoted(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return text if quoted is None else quoted[1] or quoted[2] or ""
