"""What one text changes of another, line by line, as a page shows it."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Literal, NamedTuple


class Line(NamedTuple):
    """A line with its number before and after; None on the side where it is not."""

    before: int | None
    after: int | None
    kind: Literal["same", "added", "removed"]
    text: str


def changes(before: str, after: str, context: int = 3) -> list[list[Line]]:
    r"""Groups of changed lines, each with ``context`` unchanged lines around it; none if the texts are equal.

    >>> [(line.kind, line.text) for group in changes("a\nb", "a\nc") for line in group]
    [('same', 'a'), ('removed', 'b'), ('added', 'c')]
    """
    old, new = before.splitlines(), after.splitlines()
    groups = []
    for operations in SequenceMatcher(None, old, new).get_grouped_opcodes(context):
        lines: list[Line] = []
        for kind, first, last, start, end in operations:
            if kind == "equal":
                pairs = zip(range(first, last), range(start, end), strict=True)
                lines += [Line(a + 1, b + 1, "same", old[a]) for a, b in pairs]
            else:
                lines += [Line(at + 1, None, "removed", old[at]) for at in range(first, last)]
                lines += [Line(None, at + 1, "added", new[at]) for at in range(start, end)]
        groups.append(lines)
    return groups
