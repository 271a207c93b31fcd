"""Which new column is probably a missing one under another name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import NamedTuple

from headrace.checks.drift import Profile, shifts
from headrace.core.ports import Columns
from headrace.core.project import Column

ALIKE_NAMES = 0.75
"""Likeness of two names from which one is probably the other, where their values do not speak against it."""
ALIKE_VALUES = 0.9
"""Share of the values that have to agree for a new name that is nothing like the old one."""
_LEAST_VALUES = 0.5
_FEWEST_ROWS = 100
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")


class Renamed(NamedTuple):
    """The likely new name; ``names`` and ``values`` say how alike both are, 0 to 1, None where unknown."""

    name: str
    names: float
    values: float | None

    def __str__(self) -> str:
        """In words, as the end of a message."""
        known = (
            "" if self.values is None else f", and {self.values:.0%} of the values agree with the last table"
        )
        return f"It is probably called {self.name!r} now: the names are {self.names:.0%} alike{known}."


def renamed(missing: str, role: str, current: Columns, new: Iterable[str], before: Columns) -> Renamed | None:
    """The likeliest of the ``new`` columns, by name and by distribution; None where none is likely.

    Values speak once there are 100 rows on both sides: one minus the largest difference of the distribution
    functions of numbers, or the share of rows whose category is as frequent. When two are equally likely, the
    first is named.

    Args:
        role: how the missing column is read, ``numeric`` or ``categorical``.
        before: the last table that had it; may be empty.

    >>> renamed("km_driven", "numeric", {"kmDriven": [1.0]}, ["kmDriven"], {}).name
    'kmDriven'
    """
    found: list[tuple[float, Renamed]] = []
    for name in new:
        names, values = _names_alike(missing, name), _values_alike(missing, role, current[name], before)
        if names >= ALIKE_NAMES and (values is None or values >= _LEAST_VALUES):
            found.append((names + (values or 0.0), Renamed(name, names, values)))
        elif values is not None and values >= ALIKE_VALUES:
            found.append((names + values, Renamed(name, names, values)))
    return max(found, key=lambda one: one[0])[1] if found else None


def _names_alike(one: str, other: str) -> float:
    """1 where both have the same words in any order and case; otherwise by their common letters."""
    words = [sorted(part.lower() for part in _PART.findall(name)) for name in (one, other)]
    if words[0] and words[0] == words[1]:
        return 1.0
    shorter, longer = sorted(map(set, words), key=len)
    # A word that is added, such as a unit, makes another name of the same thing.
    if shorter and shorter < longer:
        return 0.9
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _values_alike(missing: str, role: str, values: object, before: Columns) -> float | None:
    if missing not in before or role not in ("numeric", "categorical"):
        return None
    kind = Column(name=missing, role="numeric" if role == "numeric" else "categorical")
    (shift,) = shifts(Profile.fit({missing: before[missing]}, [kind]), {missing: values})
    if min(shift.n_reference, shift.n_current) < _FEWEST_ROWS:
        return None
    apart = shift.tvd if shift.ks is None else shift.ks
    return None if apart is None else 1.0 - apart
