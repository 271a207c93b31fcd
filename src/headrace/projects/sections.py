"""A charter line by line, so that two can be held against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from headrace.core.project import Project

_NAMES = ("name", "when", "kind")
"""Fields by which one of several is told from the others."""


@dataclass(frozen=True, kw_only=True)
class ChangedLine:
    """A key of ``headrace.yaml`` that has another value; None where it has none."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key} {word(self.before)} -> {word(self.after)}"


def changed_lines(
    before: Project, after: Project, sections: Sequence[str] | None = None
) -> list[ChangedLine]:
    """What ``after`` says otherwise than ``before``; in all sections, or in those that are named.

    >>> from headrace.core.project import MonitorSpec
    >>> from headrace.testing.factories import make_project
    >>> print(*changed_lines(make_project(), make_project(monitors=MonitorSpec(shift=0.2))))
    monitors.shift 0.08 -> 0.2
    >>> budgets = ({"budgets": [{"per": "project", "most": most}]} for most in (5, 9))
    >>> print(*changed_lines(*(make_project(llm=llm) for llm in budgets)))
    llm.budgets.1.most 5 -> 9
    """
    names = [one.name for one in fields(Project)] if sections is None else sections
    old, new = ({key: value for name in names for key, value in _lines(name, getattr(one, name))}
                for one in (before, after))  # fmt: skip
    keys = dict.fromkeys([*new, *old])
    return [
        ChangedLine(key=key, before=old.get(key), after=new.get(key))
        for key in keys
        if old.get(key) != new.get(key)
    ]


def _lines(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _lines(f"{key}.{one.name}", getattr(value, one.name))
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _lines(f"{key}.{name}", one)
    elif isinstance(value, list | tuple) and any(is_dataclass(one) or isinstance(one, dict) for one in value):
        taken: set[str] = set()
        for index, one in enumerate(value):
            given = one if isinstance(one, dict) else {name: getattr(one, name, None) for name in _NAMES}
            named = next((str(given[name]) for name in _NAMES if given.get(name)), "")
            name = named if named and named not in taken else str(index + 1)
            taken.add(name)
            yield from _lines(f"{key}.{name}", one)
    else:
        yield key, tuple(value) if isinstance(value, list) else value


def word(value: Any) -> str:
    """A value as a person writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(word, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
