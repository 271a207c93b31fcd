"""Numbers, dates and names of an answer stand in what it may rest on.

That is not the truth of the answer. A claim without a number, a date or a name is not seen, nor is one that
gives a right number to the wrong thing; and what was worked out from the sources is reported although it may
be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.figures import Figure, figures_in
from headrace.gateway.guardrails.guards import Action, Context, Hit, Layer

_ANSWER: tuple[Layer, ...] = ("output",)
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'\u2019-]+"
_NAME = re.compile(rf"(?<![\w'\u2019]){_CAPITAL}(?:\s+(?:(?:of|de|van|von|der|la|le|the)\s+)?{_CAPITAL})*")
_BEGINS = re.compile(r"(?:\A|[.!?:\n\"“*#(-])\s*\Z")
_LIST_MARK = re.compile(r"(?:\A|\n)[ \t#*-]*\Z")
_COMMON = frozenset(
    "the a an this that these those i you he she it we they my your his her its our their and or but if "
    "when while as in on at to for from of with by yes no not there here what which who how why where "
    "please thanks thank however also note first second third finally next then so is are was were be can "
    "could should would will may let sure sorry unfortunately according based monday tuesday wednesday "
    "thursday friday saturday sunday english ai".split()
)


class Support:
    """Rules ``support.number``, ``support.date`` and ``support.name``: it stands in no source.

    Without sources there is nothing to compare with, and nothing is said.

    Args:
        action: for each.
        withhold_at: from so many on the answer is blocked; without it none is.
        least: whole numbers below it are not looked at: "two reasons" rest on nothing.
        names: whether names are looked at; they begin with a capital, which says little in German.

    Raises:
        InvalidInput: ``withhold_at`` is below 1.

    >>> guard = Support()
    >>> context = Context(layer="output", sources=("The tower was built in 1889 in Paris.",))
    >>> [h.rule for h in guard.check("The tower in Paris was built in 1898.", context)]
    ['support.number']
    """

    whole = True

    def __init__(
        self,
        *,
        action: Action = "flag",
        withhold_at: int | None = None,
        least: int = 10,
        names: bool = True,
        layers: Iterable[Layer] = _ANSWER,
        name: str = "support",
    ) -> None:
        if withhold_at is not None and withhold_at < 1:
            raise InvalidInput(f"withhold_at is {withhold_at}, expected 1 or more, or nothing.")
        self.action: Action = action
        self.withhold_at = withhold_at
        self.least = least
        self.names = names
        self.layers = frozenset(layers)
        self.name = name
        self.reach = 0 if withhold_at is None and action in ("pass", "flag") else None

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """A hit for each number, date and name that no source has; all block where there are too many."""
        if not any(source.strip() for source in context.sources) or self.action == "pass":
            return []
        sources = "\n".join(context.sources)
        found = [*self._figures(text, sources), *(_names(text, sources) if self.names else ())]
        too_many = self.withhold_at is not None and len(found) >= self.withhold_at
        return [
            Hit(
                rule=f"{self.name}.{kind}",
                layer=context.layer,
                action="block" if too_many else self.action,
                span=(start, end),
                detail=f"a {kind} that stands in no source",
                label="UNSUPPORTED",
            )
            for kind, start, end in sorted(found, key=lambda one: one[1])
        ]

    def _figures(self, text: str, sources: str) -> list[tuple[str, int, int]]:
        known = _known_figures(sources)
        return [
            ("date" if figure.kind == "date" else "number", figure.start, figure.end)
            for figure in figures_in(text, words=False)
            if not known.intersection(figure.values) and not self._trivial(figure, text)
        ]

    def _trivial(self, figure: Figure, text: str) -> bool:
        if figure.kind in ("date", "percent"):
            return False
        (value,) = figure.values
        is_mark = text[figure.end : figure.end + 1] in (".", ")") and _LIST_MARK.search(
            text[max(0, figure.start - 20) : figure.start]
        )
        return bool(is_mark) or ("." not in value and abs(int(value)) < self.least)


@lru_cache(maxsize=64)
def _known_figures(sources: str) -> frozenset[str]:
    """Figures of the sources; a date vouches for its year too, and a whole one for the day without a year."""
    known = {value for figure in figures_in(sources) for value in figure.values}
    for value in [value for value in known if value.count("-") == 2]:
        known.update((value[:4].lstrip("0"), f"----{value[-6:]}"))
    return frozenset(known)


@lru_cache(maxsize=64)
def _known_words(sources: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", sources.casefold()))


def _names(text: str, sources: str) -> list[tuple[str, int, int]]:
    known = _known_words(sources)
    found = []
    for match in _NAME.finditer(text):
        words = re.findall(r"\w+", match[0].casefold())
        begins = _BEGINS.search(text[max(0, match.start() - 12) : match.start()]) is not None
        if begins and len(words) == 1:
            continue  # any word begins its sentence with a capital
        strange = [
            w for w in words if w not in known and w.removesuffix("s") not in known and w not in _COMMON
        ]
        if begins and strange == words[:1]:
            continue
        if [word for word in strange if len(word) > 1 and not word.isdigit()]:
            found.append(("name", *match.span()))
    return found
