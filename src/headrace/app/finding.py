"""Finding one thing by what people type: its id, or the beginning of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from headrace.core.errors import NotFound

_Thing = TypeVar("_Thing")
MIN_LETTERS = 4
"""Fewer letters would name something by chance."""


def find_one(
    things: Iterable[_Thing], text: str, names: Callable[[_Thing], tuple[str, ...]], *, what: str, how: str
) -> _Thing:
    """The one of ``things`` that is called ``text``, or else the only one of which a name begins so.

    Args:
        things: those that whoever asks may see: what they may not see must be as if it were not there.
        names: what one is called; its id first.
        what: what one is called in an error, such as ``"release"``.
        how: the command that lists them.

    Raises:
        NotFound: there is none, or more than one.

    Example::

        find_one(waivers, "0192", lambda one: (one.id,), what="waiver", how="headrace project waivers")
    """
    known = list(things)
    close = [one for one in known if names(one)[0] == text] or [
        one for one in known if len(text) >= MIN_LETTERS and any(n.startswith(text) for n in names(one))
    ]
    if len(close) != 1:
        raise NotFound(
            f"There is {'more than one' if close else 'no'} {what} {text[:80]!r}. List them: {how}"
        )
    return close[0]
