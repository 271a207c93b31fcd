"""Sensitive values in generated text, such as prices, are those of the system of record.

An amount belongs to the item that is named last before it, or first after it in its sentence. It is right if
it is one of that item's amounts in the record, in the same currency.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.figures import number_of
from headrace.gateway.guardrails.guards import Action, Context, Hit, Layer

_ANSWER: tuple[Layer, ...] = ("output",)
_CURRENCIES = {
    "$": "USD", "us$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "zł": "PLN", "₩": "KRW",
    "dollar": "USD", "dollars": "USD", "euro": "EUR", "euros": "EUR", "pound": "GBP", "pounds": "GBP",
    "franken": "CHF", "francs": "CHF", "yen": "JPY",
}  # fmt: skip
_CODES = "USD EUR GBP JPY CHF CAD AUD SEK NOK DKK PLN CZK HUF INR CNY BRL MXN ZAR SGD HKD NZD KRW TRY".split()
_SIGN = "|".join([r"us\$", *map(re.escape, "$€£¥₹₩"), "zł", *_CODES])
_NAMED = "|".join([_SIGN, "dollars?", "euros?", "pounds?", "franken", "francs", "yen"])
_NUMBER = r"\d{1,3}(?:[ \u00a0\u202f.,']\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{1,2})?(?!\d)"
_AMOUNT = re.compile(
    rf"(?<!\w)(?P<before>{_SIGN})\s?(?P<first>{_NUMBER})|(?<![\w.,])(?P<second>{_NUMBER})(?:,-|,–)?\s?"
    rf"(?P<after>{_NAMED})(?!\w)",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\d)[^.!?\n]+)*[.!?\n]*")


class Amount(NamedTuple):
    """A sum of money: ``text[start:end]``."""

    value: Decimal
    currency: str
    start: int = 0
    end: int = 0


Record = Mapping[str, Sequence[str]]
"""What each item may cost, by the name that texts call it: ``{"Basic plan": ["9.90 EUR", "99 EUR"]}``."""


class Values:
    """Rules ``values.wrong``: the record has another amount; ``values.unknown``: no item is named near it.

    A sum that was worked out (two plans together, a discount) is no amount of the record: it is wrong here,
    unless the record holds it. An item that is paraphrased is not recognised, and its amount unknown.

    Args:
        record: the amounts, or what gives them when a text is checked, so that they are those of now. If it
            raises, nothing passes.
        wrong, unknown: what is done.

    Raises:
        InvalidInput: an amount of the record cannot be read.

    >>> guard = Values({"Basic plan": ["9.90 EUR"]})
    >>> [h.rule for h in guard.check("The Basic plan costs 8,90 €.", Context(layer="output"))]
    ['values.wrong']
    """

    whole = True
    reach = None

    def __init__(
        self,
        record: Record | Callable[[], Record],
        *,
        wrong: Action = "block",
        unknown: Action = "flag",
        layers: Iterable[Layer] = _ANSWER,
        name: str = "values",
    ) -> None:
        self.record = record
        self.wrong, self.unknown = wrong, unknown
        self.layers = frozenset(layers)
        self.name = name
        if not callable(record):
            _amounts_of(record)

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """A hit for each amount that is not as the record has it."""
        if not _AMOUNT.search(text):
            return []
        record = _amounts_of(self.record() if callable(self.record) else self.record)
        names = [re.escape(name) for name in sorted(record, key=len, reverse=True)]
        items = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)" if names else r"(?!)", re.IGNORECASE)
        hits, last = [], ""
        for sentence in _SENTENCE.finditer(text):
            named = [(m.start(), m[0].casefold()) for m in items.finditer(text, *sentence.span())]
            for amount in amounts_in(text, *sentence.span()):
                item = next((name for at, name in reversed(named) if at < amount.start), "")
                item = item or next((name for _, name in named), last)
                if hit := self._judged(amount, item, record, context):
                    hits.append(hit)
            last = named[-1][1] if named else last
        return hits

    def _judged(
        self, amount: Amount, item: str, record: Mapping[str, list[Amount]], context: Context
    ) -> Hit | None:
        known = record.get(item, [])
        if any(amount.value == one.value and amount.currency == one.currency for one in known):
            return None
        action = self.wrong if item else self.unknown
        if action == "pass":
            return None
        return Hit(
            rule=f"{self.name}.{'wrong' if item else 'unknown'}",
            layer=context.layer,
            action=action,
            span=(amount.start, amount.end),
            detail="an amount that the record does not have for the item"
            if item
            else "an amount with no item of the record near it",
            label="AMOUNT",
        )


def amounts_in(text: str, start: int = 0, end: int | None = None) -> list[Amount]:
    """Sums of money, in order: a number with a currency's sign, code or name."""
    amounts = []
    if not _DIGIT.search(text, start, len(text) if end is None else end):
        return []
    for match in _AMOUNT.finditer(text, start, len(text) if end is None else end):
        number = number_of(match["first"] or match["second"])
        sign = (match["before"] or match["after"]).lower()
        if number is not None:
            amounts.append(Amount(number, _CURRENCIES.get(sign, sign.upper()), *match.span()))
    return amounts


def _amounts_of(record: Record) -> dict[str, list[Amount]]:
    known: dict[str, list[Amount]] = {}
    for name, texts in record.items():
        known[name.casefold()] = found = []
        for text in texts:
            amounts = amounts_in(text)
            if len(amounts) != 1:
                raise InvalidInput(
                    f"The record has {text!r} for {name!r}; expected one amount, such as '9.90 EUR'."
                )
            found += amounts
    return known
