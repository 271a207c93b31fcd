"""A guard that finds what it is told to find."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from headrace.gateway.guardrails.guards import LAYERS, Action, Context, Hit, Layer


class WordGuard:
    """Finds a pattern, and asks for one action.

    >>> guard = WordGuard("red", "red", "mask")
    >>> [hit.span for hit in guard.check("a red door", Context(layer="input"))]
    [(2, 5)]
    """

    whole = False
    reach = 20

    def __init__(
        self, name: str, pattern: str, action: Action = "flag", *, layers: Iterable[Layer] = LAYERS
    ) -> None:
        self.name = name
        self.pattern = pattern
        self.action: Action = action
        self.layers = frozenset(layers)

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        return [
            Hit(
                rule=self.name,
                layer=context.layer,
                action=self.action,
                span=match.span(),
                detail="a word",
                label=self.name.upper(),
            )
            for match in re.finditer(self.pattern, text)
        ]
