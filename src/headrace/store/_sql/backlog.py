"""What waits for people, counted."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Table, func, literal, select, union_all
from sqlalchemy.sql.selectable import Select

from headrace.store._sql.engine import Database
from headrace.store._sql.tables import drafts, handoffs
from headrace.store.backlog import Backlog, WaitingKind

_KINDS: tuple[tuple[WaitingKind, Table, str], ...] = (
    ("draft", drafts, "waiting"),
    ("handoff", handoffs, "asked"),
)


class SqlBacklog:
    """Implements ``BacklogStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self, subjects: Collection[str]) -> list[Backlog]:
        if not subjects:
            return []
        counted = union_all(*(_counted(*kind, subjects) for kind in _KINDS))
        with self._database.read() as connection:
            rows = connection.execute(counted).all()
        found = [
            Backlog(kind=row.kind, subject=row.subject, n=row.n, first=row.first, last=row.last)
            for row in rows
        ]
        return sorted(found, key=lambda one: (one.subject, one.kind))


def _counted(
    kind: WaitingKind, table: Table, state: str, subjects: Collection[str]
) -> Select[tuple[object, ...]]:
    wanted = table.c.subject.in_(sorted(subjects)) & (table.c.state == state)
    columns = (
        literal(kind).label("kind"),
        table.c.subject,
        func.count().label("n"),
        func.min(table.c.id).label("first"),
        func.max(table.c.position).label("last"),
    )
    return select(*columns).where(wanted).group_by(table.c.subject)
