"""Which rights were used: one row per principal, action and resource."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import case, select
from sqlalchemy.dialects import postgresql, sqlite

from headrace.core.identity import Use
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import microseconds, moment
from headrace.store._sql.tables import uses


class SqlUses:
    """Implements ``UseStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, uses: Sequence[Use]) -> None:
        if not uses:
            return
        rows = [
            {
                "principal": use.principal,
                "action": use.action,
                "resource": use.resource,
                "count": use.count,
                "first_us": microseconds(use.first_at),
                "last_us": microseconds(use.last_at),
            }
            for use in uses
        ]
        with self._database.write("uses") as connection:
            connection.execute(_ADDED[connection.dialect.name], rows)

    def list(self, principal: str | None = None) -> list[Use]:
        statement = select(uses).order_by(uses.c.last_us.desc(), uses.c.principal, uses.c.action)
        if principal is not None:
            statement = statement.where(uses.c.principal == principal)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [
            Use(
                principal=row.principal,
                action=row.action,
                resource=row.resource,
                count=row[3],
                first_at=moment(row.first_us),
                last_at=moment(row.last_us),
            )
            for row in rows
        ]


def _added(insert: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    """A row, or more of the one that is there."""
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[uses.c.principal, uses.c.action, uses.c.resource],
        set_={
            "count": uses.c["count"] + new["count"],
            "first_us": case((new.first_us < uses.c.first_us, new.first_us), else_=uses.c.first_us),
            "last_us": case((new.last_us > uses.c.last_us, new.last_us), else_=uses.c.last_us),
        },
    )


_ADDED = {
    "sqlite": _added(sqlite.insert(uses)),
    "postgresql": _added(postgresql.insert(uses)),
}
"""Made once: a busy server writes hundreds of uses a second, and to make a statement takes longer than to
execute it."""
