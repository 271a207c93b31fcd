"""What a caller is told whose ``model`` names no project of theirs."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NEAR = 0.75
"""How alike two names are that a slip of the keyboard makes one of the other, from 0 to 1."""


def pointed(name: str, theirs: Iterable[str]) -> str:
    """Where the names are that a caller may ask for, after the nearest of them, if one is near.

    Args:
        theirs: what the caller may ask; no other name is ever said.

    >>> pointed("suport", ["support", "sales"])
    "Did you mean 'support'? GET /v1/models lists what you may ask."
    >>> pointed("weather", ["support"])
    'GET /v1/models lists what you may ask.'
    """
    names = {one.casefold(): one for one in theirs}
    near = get_close_matches(name.casefold(), list(names), n=1, cutoff=_NEAR)
    meant = f"Did you mean {names[near[0]]!r}? " if near and names[near[0]] != name else ""
    return f"{meant}GET /v1/models lists what you may ask."
