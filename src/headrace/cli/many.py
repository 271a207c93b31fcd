"""What a command says about many projects or releases, each with what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.app.many import ALL, Done, is_pattern
from headrace.cli.exits import end_with
from headrace.cli.session import print_json, print_table
from headrace.core.errors import Conflict, InvalidInput


def selected(names: Sequence[str] | None, *, everything: bool) -> list[str]:
    """The names and patterns that were typed, or the one for all.

    Raises:
        InvalidInput: neither is given, or both.
    """
    if bool(names) == everything:
        raise InvalidInput("Name what you mean, or say --all, and not both.")
    return list(names or [ALL])


def is_one(names: Sequence[str]) -> bool:
    """Whether one thing is meant, by its name."""
    return len(names) == 1 and not is_pattern(names[0])


def print_many(done: Sequence[Done], *, as_json: bool) -> None:
    """Each in a line, or as JSON.

    Raises:
        Conflict: something could not be done.
    """
    if as_json:
        print_json(list(done))
    else:
        rows = [(one.project, "yes" if one.done else "no", one.release, one.said) for one in done]
        print_table(("PROJECT", "DONE", "RELEASE", ""), rows, empty="Nothing to do.")
    left = [one.project for one in done if not one.done]
    if left:
        said = f"{len(left)} of {len(done)} could not be done: {', '.join(left)}."
        end_with(Conflict(said), as_json=as_json)
