"""Stand-ins for what was masked in one request, and the way back for the answer.

A model reads and repeats ``<EMAIL_1>`` well, and an encrypted token badly. So the values stay in the memory
of the one request that they came with: there is nothing to lose or to steal afterwards, and a stand-in of
somebody else's request stands for nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import count
from typing import NamedTuple

from headrace.gateway.guardrails.guards import Layer

_STAND_IN = re.compile(r"<[A-Z][A-Z_]{0,30}_\d{1,6}>")
_BEGUN = re.compile(r"<(?:[A-Z][A-Z_0-9]{0,37})?\Z")

_CALLER: tuple[Layer, ...] = ("input",)


class _Kept(NamedTuple):
    value: str
    label: str
    layer: Layer


class Placeholders:
    """The stand-ins of one request; not to be shared between requests.

    Example::

        placeholders = Placeholders()
        checked = pipeline.request(messages, placeholders)
        answer = placeholders.restore(pipeline.answer(message, placeholders=placeholders).text)
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[tuple[str, str], str] = {}
        self._kept: dict[str, _Kept] = {}

    def reserve(self, text: str) -> None:
        """Take what looks like a stand-in and is written in ``text`` for none: it never gets a meaning."""
        if "<" in text:
            self._taken.update(set(_STAND_IN.findall(text)) - self._kept.keys())

    def stand_in(self, label: str, value: str, layer: Layer) -> str:
        """What stands for ``value``; the same for the same value and label.

        What a caller wrote may be given back to them, and so it stays if a document holds it too.
        """
        known = self._numbers.get((label, value))
        if known is None:
            known = next(name for n in count(1) if (name := f"<{label}_{n}>") not in self._taken)
            self._taken.add(known)
            self._numbers[label, value] = known
            self._kept[known] = _Kept(value, label, layer)
        elif layer == "input":
            self._kept[known] = _Kept(value, label, layer)
        return known

    def restore(
        self, text: str, *, layers: Collection[Layer] = _CALLER, never: Collection[str] = ("SECRET",)
    ) -> str:
        """``text`` with the values in place of their stand-ins.

        Args:
            layers: only what stood there comes back. By default that is what the caller wrote: what a
                document or a tool held was masked for the caller as well.
            never: labels of values that do not come back wherever they stood.
        """

        def value(match: re.Match[str]) -> str:
            kept = self._kept.get(match[0])
            return match[0] if kept is None or kept.layer not in layers or kept.label in never else kept.value

        return _STAND_IN.sub(value, text) if self._kept else text


def uncut(text: str, position: int) -> int:
    """``position``, or less where a stand-in begins before it and goes on behind it."""
    begun = _BEGUN.search(text, max(0, position - 40), position)
    return begun.start() if begun and begun.start() < position < len(text) else position
