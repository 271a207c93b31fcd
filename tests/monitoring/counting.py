"""How many rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.core.ports import TableStore


class CountingTables:
    """Tables that count the rows that are read of them."""

    def __init__(self, tables: TableStore) -> None:
        self._tables = tables
        self.n_rows = 0

    def query(
        self, sql: str, tables: Mapping[str, tuple[str, int | None]], parameters: Sequence[Any] = ()
    ) -> dict[str, Any]:
        found = self._tables.query(sql, tables, parameters)
        self.n_rows += len(next(iter(found.values()), ()))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)
