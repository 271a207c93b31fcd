"""Records to rows and back; shared by all aggregates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Table, select
from sqlalchemy.engine import Connection

from headrace.store.documents import SCHEMA_VERSION, dump, load

_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """The moment that :func:`microseconds` made a number of."""
    return _EPOCH + timedelta(microseconds=us)


def values(record: object, **keys: Any) -> dict[str, Any]:
    """The row for ``record``: its keys and its document."""
    return {**keys, "schema_version": SCHEMA_VERSION, "document": dump(record)}


def stored(record: _T) -> _T:
    """``record`` as it will read back, so that a caller sees the same before and after."""
    return load(type(record), dump(record), SCHEMA_VERSION)


def documents(table: Table, *where: ColumnElement[bool]) -> Select[Any]:
    """Select the documents of ``table``."""
    return select(table.c.document, table.c.schema_version).where(*where)


def one(connection: Connection, kind: type[_T], table: Table, *where: ColumnElement[bool]) -> _T | None:
    """The single record that matches, if any."""
    row = connection.execute(documents(table, *where).limit(1)).first()
    return None if row is None else load(kind, row.document, row.schema_version)


def many(connection: Connection, kind: type[_T], statement: Select[Any]) -> list[_T]:
    """All records of a statement made by :func:`documents`."""
    return [load(kind, row.document, row.schema_version) for row in connection.execute(statement)]
