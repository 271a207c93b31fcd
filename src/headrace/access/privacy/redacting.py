"""Takes out of a text what one recogniser or another finds in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from headrace.access.privacy.recognisers import Found, find, find_secrets


class Span(NamedTuple):
    """Something recognised: ``text[start:end]``, and what stands in its place, such as ``EMAIL``."""

    label: str
    start: int
    end: int


Recogniser = Callable[[str], Iterable[Span]]
Redactor = Callable[[str], str]


def builtin(text: str) -> list[Span]:
    """What Headrace itself recognises."""
    return _spans(find(text))


def secrets(text: str) -> list[Span]:
    """Keys and passwords, and nothing about people."""
    return _spans(find_secrets(text))


def _spans(found: Iterable[Found]) -> list[Span]:
    return [Span(one.kind.upper(), one.start, one.end) for one in found]


def redactor(recognisers: Sequence[Recogniser]) -> Redactor:
    """Replaces what is recognised by its label.

    Where spans overlap, all that they cover goes, under the label of the recogniser that is named first.

    >>> redactor([builtin])("Write to ada@example.org")
    'Write to <EMAIL>'
    """

    def redact(text: str) -> str:
        parts, position = [], 0
        for start, end, label in _merged(text, recognisers):
            parts += [text[position:start], f"<{label}>"]
            position = end
        return "".join([*parts, text[position:]])

    return redact


without_secrets = redactor([secrets])
"""Whoever a text is about, no key and no password in it is written down."""


def _merged(text: str, recognisers: Sequence[Recogniser]) -> list[tuple[int, int, str]]:
    found = [(s.start, rank, s.end, s.label) for rank, r in enumerate(recognisers) for s in r(text)]
    merged: list[tuple[int, int, str, int]] = []
    for start, rank, end, label in sorted(found):
        if merged and start < merged[-1][1]:
            first, last, known, best = merged[-1]
            merged[-1] = (first, max(last, end), label if rank < best else known, min(rank, best))
        else:
            merged.append((start, end, label, rank))
    return [(start, end, label) for start, end, label, _ in merged]
