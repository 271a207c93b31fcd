"""Texts of a column that are written unlike the others: dates in another form, categories in another case.

All take each distinct value with its number of rows, so that the time follows the values and not the rows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice

MOST = 0.9
"""Share of the known rows from which the others are the mistake."""
_WRITTEN = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y")
_ISO = "ISO 8601"
_DATE_LIKE = re.compile(r"\d.*[-/. ,:].*\d|\d{8}")
_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
_SAMPLE = 1_000


def are_few(unlike: Collection[object], known: Mapping[object, int]) -> bool:
    """Whether these values are some, and stand in so few rows that all others are the rule."""
    return 0 < sum(known[value] for value in unlike) <= (1 - MOST) * sum(known.values())


def mistaken_dates(known: Mapping[object, int], *, expected: bool) -> tuple[set[object], dict[object, str]]:
    """Values that are no date among dates; and dates in a form that few rows have, each with what is wrong.

    Args:
        expected: the column holds dates by declaration; otherwise nine rows in ten have to.

    >>> rows = {"2026-01-31": 50, "2026-02-01": 50, "2026-02-30": 1, "1.3.2026": 2}
    >>> mistaken_dates(rows, expected=False)
    ({'2026-02-30'}, {'1.3.2026': 'is a date written %d.%m.%Y; most rows are ISO 8601'})
    """
    sample = list(islice(known, _SAMPLE))
    if not expected and sum(bool(_forms(value)) for value in sample) * 2 < len(sample):
        return set(), {}
    forms = {value: _forms(value) for value in known}
    undated = {value for value, allowed in forms.items() if not allowed}
    if not expected and undated and not are_few(undated, known):
        return set(), {}
    rows: dict[str, int] = {}
    for value, allowed in forms.items():
        # 1/2/2026 has two readings, and speaks for neither against the other.
        for form in allowed:
            rows[form] = rows.get(form, 0) + known[value]
    usual = max(rows, key=lambda form: rows[form], default=_ISO)
    others = {value: allowed[0] for value, allowed in forms.items() if allowed and usual not in allowed}
    return undated, {
        value: f"is a date written {form}; most rows are {usual}" for value, form in others.items()
    }


def _forms(value: object) -> tuple[str, ...]:
    """In which forms a text is a date; none for what is no date."""
    if not isinstance(value, str) or not _DATE_LIKE.search(value):
        return ()
    text = value.strip()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return tuple(form for form in _WRITTEN if _is_written(text, form))
    return (_ISO,)


def _is_written(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007
    except ValueError:
        return False
    return True


def written_as(known: Mapping[object, int]) -> str | None:
    """How nine rows in ten are written: as numbers, with a decimal comma, or as dates in one form; else None.

    A date that has two readings, such as 1/2/2026, counts for both.

    >>> written_as({"31.01.2026": 5, "28.02.2026": 9}), written_as({"12,5": 1}), written_as({"a3": 1})
    ('dates written %d.%m.%Y', 'numbers with a decimal comma', None)
    """
    rows: dict[str, int] = {}
    for value in islice(known, _SAMPLE):
        for form in _ways(value):
            rows[form] = rows.get(form, 0) + known[value]
    usual = max(rows, key=lambda form: rows[form], default=None)
    total = sum(islice(known.values(), _SAMPLE))
    return usual if usual is not None and rows[usual] >= MOST * total else None


def _ways(value: object) -> tuple[str, ...]:
    if not isinstance(value, str):
        return ()
    text = value.strip()
    if _POINT.fullmatch(text):
        return ("numbers",)
    if _COMMA.fullmatch(text):
        return ("numbers with a decimal comma",)
    return tuple(f"dates in {form}" if form == _ISO else f"dates written {form}" for form in _forms(text))


def other_spellings(known: Mapping[object, int]) -> dict[object, str]:
    """Texts that are another one but for case and white space, each with how most rows write it.

    >>> other_spellings({"Diesel": 90, "diesel": 2, "Gas": 40})
    {'diesel': "differs from 'Diesel', which most rows have, in case or white space only"}
    """
    first: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    found: dict[object, str] = {}
    for value in known:
        if not isinstance(value, str):
            continue
        plain = " ".join(value.split()).casefold()
        other = first.setdefault(plain, value)
        if other is not value:
            groups.setdefault(plain, [other]).append(value)
        if value != value.strip():
            found[value] = "begins or ends with white space"
    for group in groups.values():
        usual = min(group, key=lambda value: (-known[value], value != value.strip(), value))
        reason = f"differs from {usual!r}, which most rows have, in case or white space only"
        found |= {value: reason for value in group if value != usual}
    return found
