"""The audit log: a chain of entries, each hash covering the one before.

The head of the chain is kept beside it, so that entries cut off at the end are noticed too. Somebody who
may write to the database can still compute a whole new chain and head; to notice that, keep a copy of
``(sequence, hash)`` elsewhere from time to time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from headrace.core.canonical import digest_of, plain
from headrace.core.errors import InternalError
from headrace.core.identity import AuditEntry
from headrace.core.ports import Clock
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, stored, values
from headrace.store._sql.tables import audit, audit_head
from headrace.store.documents import load


class _Head(NamedTuple):
    sequence: int
    hash: str


class SqlAudit:
    """Implements ``AuditLog``; verifies ``page`` entries at a time, so that memory stays constant."""

    def __init__(self, database: Database, clock: Clock, *, page: int = 1000) -> None:
        self._database = database
        self._clock = clock
        self._page = page

    def append(self, actor: str, action: str, resource: str, detail: Mapping[str, Any]) -> AuditEntry:
        with self._database.write("audit") as connection:
            head = _head(connection) or _Head(0, "")
            entry = stored(
                AuditEntry(
                    sequence=head.sequence + 1,
                    at=self._clock.now(),
                    actor=actor,
                    action=action,
                    resource=resource,
                    detail=plain(detail),
                    previous=head.hash,
                )
            )
            entry = replace(entry, hash=hash_of(entry))
            connection.execute(insert(audit).values(values(entry, sequence=entry.sequence, hash=entry.hash)))
            moved = {"sequence": entry.sequence, "hash": entry.hash}
            if head.sequence:
                connection.execute(update(audit_head).where(audit_head.c.id == 1).values(moved))
            else:
                connection.execute(insert(audit_head).values(id=1, **moved))
        return entry

    def list(self, *, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        statement = documents(audit, audit.c.sequence > after).order_by(audit.c.sequence).limit(limit)
        with self._database.read() as connection:
            return many(connection, AuditEntry, statement)

    def verify(self) -> int:
        with self._database.read() as connection:
            last = _Head(0, "")
            for row_sequence, entry in _entries(connection, self._page):
                problem = _problem(last, row_sequence, entry)
                if problem:
                    raise InternalError(f"The audit log was tampered with: {problem} {_ADVICE}")
                last = _Head(entry.sequence, entry.hash)
            head = _head(connection) or _Head(0, "")
        if head != last:
            known = min(head.sequence, last.sequence)
            raise InternalError(
                f"The audit log was tampered with: it ends at entry {last.sequence}, but the last one "
                f"written was entry {head.sequence}: what follows entry {known} was deleted or added. "
                f"{_ADVICE}"
            )
        return last.sequence


_ADVICE = "Keep the database as it is for an investigation and compare it with a backup."


def hash_of(entry: AuditEntry) -> str:
    """SHA-256 of the canonical JSON of the entry without its hash."""
    content = plain(entry)
    del content["hash"]
    return digest_of(content)


def _head(connection: Connection) -> _Head | None:
    row = connection.execute(select(audit_head.c.sequence, audit_head.c.hash)).first()
    return None if row is None else _Head(row.sequence, row.hash)


def _entries(connection: Connection, page: int) -> Iterator[tuple[int, AuditEntry]]:
    """All entries with the sequence of their row, a page at a time."""
    after = -1
    while True:
        statement = select(audit.c.sequence, audit.c.document, audit.c.schema_version)
        statement = statement.where(audit.c.sequence > after).order_by(audit.c.sequence).limit(page)
        rows = connection.execute(statement).all()
        if not rows:
            return
        for row in rows:
            yield row.sequence, load(AuditEntry, row.document, row.schema_version)
        after = rows[-1].sequence


def _problem(last: _Head, row_sequence: int, entry: AuditEntry) -> str | None:
    """What is wrong with ``entry``, coming after ``last``; None if nothing."""
    expected = last.sequence + 1
    if row_sequence > expected:
        return f"entry {expected} was deleted."
    if row_sequence < expected:
        return f"entry {row_sequence} was added."
    if entry.sequence != row_sequence:
        return f"entry {row_sequence} stands where entry {entry.sequence} was written."
    if hash_of(entry) != entry.hash:
        return f"entry {entry.sequence} was edited."
    if entry.previous != last.hash:
        return f"entry {entry.sequence} does not follow from entry {last.sequence}."
    return None
