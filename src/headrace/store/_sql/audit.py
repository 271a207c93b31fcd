"""The audit log: a chain of entries, each hash covering the one before.

The head of the chain is kept beside it, so that entries cut off at the end are noticed too. Somebody who
may write to the database can still compute a whole new chain and head; seals, which are signed with a key
that is not in the database, name what the chain was (``headrace.access.seals``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from headrace.core.canonical import digest_bytes, encode_plain, plain
from headrace.core.errors import Conflict, InternalError
from headrace.core.identity import AuditEntry
from headrace.core.ports import Clock, Head
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many
from headrace.store._sql.tables import audit, audit_head
from headrace.store.documents import SCHEMA_VERSION
from headrace.store.gathering import Gathering

_NOTHING = Head(0, "")
_NO_MARKS: Mapping[int, str] = {}
_ADVICE = "Keep the database as it is for an investigation and compare it with a backup."
_TAIL = re.compile(rb'"(?:[^"\\]|\\.)*","sequence":(\d+)}')


class _Wanted(NamedTuple):
    actor: str
    action: str
    resource: str
    detail: dict[str, Any]


class SqlAudit:
    """Implements ``AuditLog``. Threads that append at the same moment share one transaction, and so one
    write to the disk; each returns when its own entry is durable. :meth:`verify` reads ``page`` entries at
    a time, so that memory stays constant. ``clean`` takes out of a detail, and of a resource's name, what
    no log may hold."""

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
        self._shared: Gathering[_Wanted, None] = Gathering(self._write)

    def append(self, actor: str, action: str, resource: str, detail: Mapping[str, Any]) -> None:
        kind, colon, name = resource.partition(":")
        about = kind + colon + self._clean(name)
        wanted = _Wanted(actor, action, about, self._clean(plain(detail)))
        encode_plain(wanted)  # a bad entry must not spoil its neighbours'
        if not self._database.lastly(self._write, wanted):
            self._shared.do(wanted)

    def transaction(self) -> AbstractContextManager[None]:
        return self._database.transaction()

    def _write(self, batch: list[_Wanted]) -> list[None]:
        with self._database.write("audit") as connection:
            first = last = _head(connection) or _NOTHING
            rows = []
            for wanted in batch:
                entry = wanted._asdict() | {
                    "sequence": last.sequence + 1,
                    "at": plain(self._clock.now()),
                    "previous": last.hash,
                }
                last = Head(last.sequence + 1, digest_bytes(encode_plain(entry)))
                document = encode_plain(entry | {"hash": last.hash}).decode()
                rows.append(last._asdict() | {"schema_version": SCHEMA_VERSION, "document": document})
            connection.execute(insert(audit), rows)
            if first.sequence:
                connection.execute(update(audit_head).where(audit_head.c.id == 1).values(last._asdict()))
            else:
                connection.execute(insert(audit_head).values({"id": 1} | last._asdict()))
        return [None] * len(batch)

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

    def head(self) -> Head:
        with self._database.read() as connection:
            return _head(connection) or _NOTHING

    def verify(self, marks: Mapping[int, str] = _NO_MARKS, *, after: Head = _NOTHING) -> Head:
        with self._database.read() as connection:
            last = after
            for row in _rows(connection, after.sequence, self._page):
                problem = _problem(last, row)
                if problem is None and marks.get(row.sequence, row.hash) != row.hash:
                    problem = f"entry {row.sequence} is not the one that was sealed."
                if problem:
                    raise _tampered(problem)
                last = Head(row.sequence, row.hash)
            head = _head(connection) or _NOTHING
        if head != last:
            known = min(head.sequence, last.sequence)
            raise _tampered(
                f"it ends at entry {last.sequence}, but the last one written was entry {head.sequence}: "
                f"what follows entry {known} was deleted or added."
            )
        sealed = max(marks, default=0)
        if sealed > last.sequence:
            raise _tampered(
                f"it ends at entry {last.sequence}, but entry {sealed} was sealed: what follows entry "
                f"{last.sequence} was deleted."
            )
        return last


def _tampered(problem: str) -> InternalError:
    return InternalError(f"The audit log was tampered with: {problem} {_ADVICE}")


def _in_json(text: str) -> str:
    return encode_plain(text).decode()[1:-1]


def _head(connection: Connection) -> Head | None:
    row = connection.execute(select(audit_head.c.sequence, audit_head.c.hash)).first()
    return None if row is None else Head(row.sequence, row.hash)


def _rows(connection: Connection, after: int, page: int) -> Iterator[Any]:
    """All entries after number ``after`` as they were written, a page at a time; from 0 on, those before
    number 1 too, which nobody should have written.

    They are not turned into records: what a later version adds to the record must not change a hash.
    """
    after = after or -1
    columns = audit.c.sequence, audit.c.hash, audit.c.document, audit.c.schema_version
    while True:
        statement = select(*columns).where(audit.c.sequence > after).order_by(audit.c.sequence).limit(page)
        rows = connection.execute(statement).all()
        if not rows:
            return
        yield from rows
        after = rows[-1].sequence


def _problem(last: Head, row: Any) -> str | None:
    """What is wrong with the entry in ``row``, coming after ``last``; None if nothing."""
    if row.sequence == last.sequence + 1 and _follows(last, row):
        return None
    if row.schema_version > SCHEMA_VERSION:
        raise Conflict(
            f"Audit entry {row.sequence} was written by a newer Headrace. Upgrade Headrace on this machine."
        )
    if row.sequence > last.sequence + 1:
        return f"entry {last.sequence + 1} was deleted."
    if row.sequence < last.sequence + 1:
        return f"entry {row.sequence} was added."
    try:
        entry = json.loads(row.document)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return f"entry {row.sequence} was edited."
    if entry.get("sequence") != row.sequence:
        return f"entry {row.sequence} stands where entry {entry.get('sequence')} was written."
    if entry.get("previous") != last.hash:
        return f"entry {row.sequence} does not follow from entry {last.sequence}."
    return f"entry {row.sequence} was edited."


def _follows(last: Head, row: Any) -> bool:
    """Whether the bytes in ``row`` are an entry whose hash is the row's and covers ``last``.

    The document is canonical, so what was hashed is its bytes without the hash. That stands before
    ``previous``, after which only a text and the number may come: at no other place would both match.
    """
    document: bytes = row.document.encode("utf-8", "replace")
    sealed = f'"hash":"{row.hash}",'.encode()
    middle = sealed + f'"previous":"{last.hash}","resource":'.encode()
    at = document.rfind(middle)
    tail = _TAIL.fullmatch(document, at + len(middle)) if at >= 0 else None
    if tail is None or int(tail[1]) != row.sequence or row.schema_version > SCHEMA_VERSION:
        return False
    digest = hashlib.sha256(document[:at])
    digest.update(document[at + len(sealed) :])
    return bool(digest.hexdigest() == row.hash)
