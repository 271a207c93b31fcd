"""What a caller is told whose ``model`` names no project of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

_NEAR = 0.75
"""How alike two names are that a slip of the keyboard makes one of the other, from 0 to 1."""


def pointed(name: str, known: Iterable[str], may_ask: Callable[[str], bool] = lambda _: True) -> str:
    """Where the names are that a caller may ask for, after the nearest of them, if one is near.

    Args:
        known: the names that there are, in lower case as all are.
        may_ask: of which of them the caller may be told; asked of the near ones only.

    >>> pointed("suport", ["support", "sales"])
    "Did you mean 'support'? GET /v1/models lists what you may ask."
    >>> pointed("suport", ["support", "sport"], lambda one: one == "sport")
    "Did you mean 'sport'? GET /v1/models lists what you may ask."
    >>> pointed("weather", ["support"])
    'GET /v1/models lists what you may ask.'
    """
    names = [one for one in known if one != name]
    near = get_close_matches(name.casefold(), names, n=len(names) or 1, cutoff=_NEAR)
    meant = next((f"Did you mean {one!r}? " for one in near if may_ask(one)), "")
    return f"{meant}GET /v1/models lists what you may ask."
