"""What names the engine can have in a table, and what it says of an error."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.errors import InvalidInput

ROW = "_row"
"""Column of a snapshot's Delta table that keeps the order of the rows."""


def check_names(names: Sequence[str], what: str) -> None:
    """Refuse names that a table cannot have or tell apart.

    Raises:
        InvalidInput: two are equal, or equal but for case; one holds NUL, or is one of our own.
    """
    seen: dict[str, str] = {}
    for name in names:
        if name == ROW:
            raise InvalidInput(f"{what} has a column {name!r}, a name that Headrace needs itself. Rename it.")
        if "\0" in name:
            raise InvalidInput(f"{what} has a column {name!r}: a name cannot hold a NUL byte. Rename it.")
        other = seen.get(name.lower())
        if other == name:
            raise InvalidInput(f"{what} has the column {name!r} twice. Every column needs its own name.")
        if other is not None:
            raise InvalidInput(f"{what} has columns {other!r} and {name!r}, alike but for case. Rename one.")
        seen[name.lower()] = name


def first_line(error: Exception) -> str:
    """The engine's own words, without its advice."""
    return str(error).strip().split("\n")[0][:300]
