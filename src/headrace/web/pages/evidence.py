"""A verdict's evidence as tables: whatever a gate kept, people can read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MAX_CELL = 200


@dataclass(frozen=True, kw_only=True)
class Block:
    """One table: ``rows`` of cells under ``heads``; a table without heads is a list of name and value."""

    title: str
    heads: list[str]
    rows: list[list[Any]]

    @property
    def numeric(self) -> list[bool]:
        """For each column, whether it mostly holds numbers."""
        columns = [[row[at] for row in self.rows if row[at] is not None] for at in range(len(self.heads))]
        return [2 * sum(map(_is_number, cells)) > len(cells) for cells in columns]


def blocks(evidence: Mapping[str, Any]) -> list[Block]:
    """Plain values as one list of names and values, then one table for each mapping of mappings or list.

    A word that is empty says nothing, and is left out.
    """
    plain: list[list[Any]] = []
    found: list[Block] = []
    for name, value in evidence.items():
        if isinstance(value, Mapping) and value:
            found.append(_mapping(name, value))
        elif isinstance(value, list) and any(value) and all(isinstance(item, Mapping) for item in value):
            found.append(_records(name, value))
        elif value != "":
            plain.append([name, _cell(value)])
    return [Block(title="", heads=[], rows=plain), *found] if plain else found


def _mapping(name: str, value: Mapping[str, Any]) -> Block:
    if all(isinstance(inner, Mapping) for inner in value.values()):
        return _records(name, [{"name": key, **inner} for key, inner in value.items()])
    return Block(title=name, heads=[], rows=[[key, _cell(inner)] for key, inner in value.items()])


def _records(name: str, records: list[Mapping[str, Any]]) -> Block:
    heads = list(dict.fromkeys(key for record in records for key in record))
    return Block(
        title=name,
        heads=heads,
        rows=[[_cell(record.get(head)) for head in heads] for record in records],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> Any:
    """A number stays one, so that it is aligned as one; anything deeper becomes short text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and len(value) == 2 and all(isinstance(item, int | float) for item in value):
        return f"{value[0]:.4g} to {value[1]:.4g}"
    if isinstance(value, list) and all(not isinstance(item, Mapping | list) for item in value):
        text = ", ".join(str(item) for item in value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_CELL else f"{text[:_MAX_CELL]}…"
