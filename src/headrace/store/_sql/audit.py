"""The audit log: a chain of entries, each hash covering the one before.

The head of the chain is kept beside it, so that entries cut off at the end are noticed too. Somebody who
may write to the database can still compute a whole new chain and head; to notice that, keep a copy of
``(sequence, hash)`` elsewhere from time to time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from headrace.core.canonical import digest_bytes, encode_plain, plain
from headrace.core.errors import Conflict, InternalError
from headrace.core.identity import AuditEntry
from headrace.core.ports import Clock
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many
from headrace.store._sql.tables import audit, audit_head
from headrace.store.documents import SCHEMA_VERSION
from headrace.store.gathering import Gathering


class _Head(NamedTuple):
    sequence: int
    hash: str


class _Wanted(NamedTuple):
    actor: str
    action: str
    resource: str
    detail: dict[str, Any]


class SqlAudit:
    """Implements ``AuditLog``. Threads that append at the same moment share one transaction, and so one
    write to the disk; each returns when its own entry is durable. :meth:`verify` reads ``page`` entries at
    a time, so that memory stays constant. ``clean`` takes out of a detail what no log may hold."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        page: int = 1000,
        clean: Callable[[Any], Any] = lambda detail: detail,
    ) -> None:
        self._database = database
        self._clock = clock
        self._page = page
        self._clean = clean
        self._shared = Gathering(self._write)

    def append(self, actor: str, action: str, resource: str, detail: Mapping[str, Any]) -> AuditEntry:
        wanted = _Wanted(actor, action, resource, self._clean(plain(detail)))
        encode_plain(wanted)  # a bad entry must not spoil its neighbours'
        return self._shared.do(wanted)

    def _write(self, batch: list[_Wanted]) -> list[AuditEntry]:
        with self._database.write("audit") as connection:
            first = last = _head(connection) or _Head(0, "")
            entries, rows = [], []
            for wanted in batch:
                entry = self._next(last, wanted)
                written = plain(entry)
                last = _Head(entry.sequence, _hash_of(written))
                entries.append(replace(entry, hash=last.hash))
                document = encode_plain(written | {"hash": last.hash}).decode()
                rows.append(last._asdict() | {"schema_version": SCHEMA_VERSION, "document": document})
            connection.execute(insert(audit), rows)
            if first.sequence:
                connection.execute(update(audit_head).where(audit_head.c.id == 1).values(last._asdict()))
            else:
                connection.execute(insert(audit_head).values({"id": 1} | last._asdict()))
        return entries

    def _next(self, last: _Head, wanted: _Wanted) -> AuditEntry:
        return AuditEntry(
            sequence=last.sequence + 1,
            at=self._clock.now(),
            actor=wanted.actor,
            action=wanted.action,
            resource=wanted.resource,
            detail=wanted.detail,
            previous=last.hash,
        )

    def search(self, text: str = "", *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        statement = documents(audit).order_by(audit.c.sequence.desc()).limit(limit)
        if before is not None:
            statement = statement.where(audit.c.sequence < before)
        if text:
            # As it stands in the document, where a quote or a line break is escaped.
            statement = statement.where(audit.c.document.icontains(_in_json(text), autoescape=True))
        with self._database.read() as connection:
            return many(connection, AuditEntry, statement)

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
                last = _Head(row_sequence, entry["hash"])
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


def _hash_of(entry: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an entry, in JSON's own types, without its hash."""
    return digest_bytes(encode_plain({name: value for name, value in entry.items() if name != "hash"}))


def _in_json(text: str) -> str:
    return encode_plain(text).decode()[1:-1]


def _head(connection: Connection) -> _Head | None:
    row = connection.execute(select(audit_head.c.sequence, audit_head.c.hash)).first()
    return None if row is None else _Head(row.sequence, row.hash)


def _entries(connection: Connection, page: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """All entries as they were written, with the sequence of their row, a page at a time.

    They are not turned into records: what a later version adds to the record must not change a hash.
    """
    after = -1
    while True:
        statement = select(audit.c.sequence, audit.c.document, audit.c.schema_version)
        statement = statement.where(audit.c.sequence > after).order_by(audit.c.sequence).limit(page)
        rows = connection.execute(statement).all()
        if not rows:
            return
        for row in rows:
            yield row.sequence, _read(row.sequence, row.document, row.schema_version)
        after = rows[-1].sequence


def _read(sequence: int, document: str, schema_version: int) -> dict[str, Any]:
    if schema_version > SCHEMA_VERSION:
        raise Conflict(
            f"Audit entry {sequence} was written by a newer Headrace. Upgrade Headrace on this machine."
        )
    try:
        entry = json.loads(document)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        raise InternalError(f"The audit log was tampered with: entry {sequence} was edited. {_ADVICE}")
    return entry


def _problem(last: _Head, row_sequence: int, entry: dict[str, Any]) -> str | None:
    """What is wrong with ``entry``, coming after ``last``; None if nothing."""
    expected = last.sequence + 1
    if row_sequence > expected:
        return f"entry {expected} was deleted."
    if row_sequence < expected:
        return f"entry {row_sequence} was added."
    if entry.get("sequence") != row_sequence:
        return f"entry {row_sequence} stands where entry {entry.get('sequence')} was written."
    if _hash_of(entry) != entry.get("hash"):
        return f"entry {row_sequence} was edited."
    if entry.get("previous") != last.hash:
        return f"entry {row_sequence} does not follow from entry {last.sequence}."
    return None
