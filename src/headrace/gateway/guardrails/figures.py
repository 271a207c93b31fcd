"""Numbers, dates and names as they stand in texts, brought to one form so that they can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

_MONTHS = {
    name: number
    for number, names in enumerate(
        "jan january januar|feb february februar|mar march märz|apr april|may mai|jun june juni|jul july "
        "juli|"
        "aug august|sep sept september|oct october oktober okt|nov november|dec december dezember dez".split(
            "|"
        ),
        1,
    )
    for name in names.split()
}
_WORDS = {
    word: Decimal(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split()
    )
}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATE = re.compile(
    rf"\b(?P<y>\d{{4}})[-/.](?P<m>\d{{1,2}})[-/.](?P<d>\d{{1,2}})\b"
    rf"|\b(?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<n2>{_MONTH})\b\.?,?(?:\s+(?P<y2>\d{{4}}))?"
    rf"|\b(?P<n3>{_MONTH})\b\.?\s+(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(?P<y3>\d{{4}}))?"
    rf"|\b(?P<a>\d{{1,2}})[/.-](?P<b>\d{{1,2}})[/.-](?P<y4>\d{{4}})\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![\w.,])[-−]?\d{1,3}(?:[ \u00a0\u202f.,']\d{3})+(?:[.,]\d+)?(?![\w])|\d+(?:[.,]\d+)?"
)
_MAGNITUDES = {"k": 3, "thousand": 3, "m": 6, "mn": 6, "million": 6, "millions": 6, "bn": 9, "billion": 9}
_MAGNITUDE = re.compile(r"\s?(thousand|millions?|billion|mn|bn|k|m)\b", re.IGNORECASE)


class Figure(NamedTuple):
    """Something said in numbers: ``text[start:end]``. Of a date, ``values`` has every reading."""

    kind: str
    start: int
    end: int
    values: frozenset[str]


def figures_in(text: str, *, words: bool = True) -> list[Figure]:
    """Dates and numbers in order, without overlaps; with ``words`` also numbers in words, up to twenty.

    >>> [sorted(figure.values) for figure in figures_in("1,250.50 on 3 March 2024")]
    [['1250.5'], ['2024-03-03']]
    """
    dates = list(_dates(text))
    taken = [(date.start, date.end) for date in dates]
    found = [*_numbers(text), *(_in_words(text) if words else ())]
    numbers = [n for n in found if not any(a < n.end and n.start < b for a, b in taken)]
    return sorted([*dates, *numbers], key=lambda figure: figure.start)


def number_of(text: str) -> Decimal | None:
    """The number that ``text`` is, whichever sign parts its thousands; None where it is none.

    >>> number_of("1.234,50"), number_of("1,234"), number_of("12,5")
    (Decimal('1234.5'), Decimal('1234'), Decimal('12.5'))
    """
    plain = re.sub(r"[ \u00a0\u202f']", "", text).replace("−", "-")
    last = max(plain.rfind("."), plain.rfind(","))
    if last >= 0:
        sign, tail = plain[last], plain[last + 1 :]
        others = plain.count(".") + plain.count(",") > 1
        # One sign before three digits parts thousands; so does one that stands twice.
        if len(tail) == 3 and (plain.count(sign) > 1 or not others) and not plain.lstrip("-").startswith("0"):
            plain = plain.replace(".", "").replace(",", "")
        else:
            plain = plain[:last].replace(".", "").replace(",", "") + "." + tail
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return None
    return number.normalize() + 0


def _numbers(text: str) -> Iterator[Figure]:
    for match in _NUMBER.finditer(text):
        before = text[match.start() - 1 : match.start()]
        if before.isalpha() or before == "_":
            continue  # a part of a name, such as A4
        number = number_of(match[0])
        if number is None:
            continue
        end = match.end()
        if magnitude := _MAGNITUDE.match(text, end):
            number = (number.scaleb(_MAGNITUDES[magnitude[1].lower()])).normalize() + 0
            end = magnitude.end()
        kind = "percent" if text[end : end + 2].lstrip().startswith("%") else "number"
        yield Figure(kind, match.start(), end, frozenset({f"{number:f}"}))


def _in_words(text: str) -> Iterator[Figure]:
    for match in _WORD.finditer(text):
        yield Figure("word", match.start(), match.end(), frozenset({f"{_WORDS[match[0].lower()]:f}"}))


def _dates(text: str) -> Iterator[Figure]:
    for match in _DATE.finditer(text):
        parts = match.groupdict()
        readings: list[tuple[str | None, str | int, str | int]] = []
        if parts["y"]:
            readings = [(parts["y"], parts["m"], parts["d"])]
        elif parts["n2"]:
            readings = [(parts["y2"], _MONTHS[parts["n2"].lower()], parts["d2"])]
        elif parts["n3"]:
            readings = [(parts["y3"], _MONTHS[parts["n3"].lower()], parts["d3"])]
        else:
            readings = [(parts["y4"], parts["a"], parts["b"]), (parts["y4"], parts["b"], parts["a"])]
        values = frozenset(
            f"{year or '----'}-{int(month):02d}-{int(day):02d}"
            for year, month, day in readings
            if 1 <= int(month) <= 12 and 1 <= int(day) <= 31
        )
        if values:
            yield Figure("date", match.start(), match.end(), values)
