"""Records that change by revision: one class for grants, credentials, incidents, policy texts and waivers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Table, func, insert, select, update

from headrace.core.errors import Conflict, NotFound
from headrace.core.identity import Changing
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, one, stored, values

_Record = TypeVar("_Record", bound=Changing)


class SqlRecords(Generic[_Record]):
    """Implements ``PagedStore``, and so ``RecordStore``, for one type of record.

    Args:
        what: what one is called in an error, such as ``"grant"``.
    """

    def __init__(self, database: Database, table: Table, kind: type[_Record], what: str) -> None:
        self._database = database
        self._table = table
        self._kind = kind
        self._what = what

    def add(self, record: _Record) -> _Record:
        kept = stored(record)
        with self._database.write(self._table.name, record.id) as connection:
            standing = one(connection, self._kind, self._table, self._table.c.id == record.id)
            if standing is not None:
                return standing
            row = values(kept, id=kept.id, workspace=kept.workspace, subject=kept.subject)
            connection.execute(insert(self._table).values(row | _moving(kept)))
        return kept

    def get(self, record_id: str) -> _Record:
        found = self.find(record_id)
        if found is None:
            raise self._missing(record_id)
        return found

    def find(self, record_id: str) -> _Record | None:
        with self._database.read() as connection:
            return one(connection, self._kind, self._table, self._table.c.id == record_id)

    def count_of(self, subject: str, states: Collection[str]) -> int:
        counted = select(func.count()).select_from(self._table).where(*self._within(subject, states))
        with self._database.read() as connection:
            return int(connection.execute(counted).scalar_one())

    def part(
        self, subject: str, states: Collection[str], *, after: str = "", most: int, newest: bool = False
    ) -> list[_Record]:
        position = self._table.c.position
        where = self._within(subject, states)
        if after:
            last = select(position).where(self._table.c.id == after).scalar_subquery()
            where = (*where, position < last if newest else position > last)
        statement = documents(self._table, *where).order_by(position.desc() if newest else position)
        with self._database.read() as connection:
            return many(connection, self._kind, statement.limit(most))

    def list(
        self, *, workspace: str | None = None, subject: str | None = None, state: str | None = None
    ) -> list[_Record]:
        wanted = {"workspace": workspace, "subject": subject, "state": state}
        where = [self._table.c[name] == value for name, value in wanted.items() if value is not None]
        statement = documents(self._table, *where).order_by(self._table.c.position)
        with self._database.read() as connection:
            return many(connection, self._kind, statement)

    def change(self, record: _Record) -> _Record:
        kept, named = stored(record), self._table.c.id == record.id
        with self._database.write(self._table.name, record.id) as connection:
            standing = one(connection, self._kind, self._table, named)
            if standing is None:
                raise self._missing(record.id)
            if standing == kept:
                return standing
            if standing.revision != kept.revision - 1:
                raise Conflict(
                    f"The {self._what} {record.id} has changed meanwhile: it is at revision "
                    f"{standing.revision}, this change expected {kept.revision - 1}. Look at it again."
                )
            connection.execute(update(self._table).where(named).values(values(kept) | _moving(kept)))
        return kept

    def edition(self) -> object:
        # Both only grow: nothing is removed, and each change is one revision more.
        counted = select(func.count(), func.sum(self._table.c.revision)).select_from(self._table)
        with self._database.read() as connection:
            return tuple(connection.execute(counted).one())

    def _within(self, subject: str, states: Collection[str]) -> tuple[ColumnElement[bool], ...]:
        return self._table.c.subject == subject, self._table.c.state.in_(sorted(states))

    def _missing(self, record_id: str) -> NotFound:
        return NotFound(f"There is no {self._what} {record_id!r} here.")


def _moving(record: Changing) -> dict[str, object]:
    return {"state": record.state, "revision": record.revision}
