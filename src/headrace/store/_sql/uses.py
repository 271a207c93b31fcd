"""Which rights were used: one row per principal, action and resource."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

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
        with self._database.write("uses") as connection:
            for use in uses:
                _add(connection, use)

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


def _add(connection: Connection, use: Use) -> None:
    key = (
        (uses.c.principal == use.principal)
        & (uses.c.action == use.action)
        & (uses.c.resource == use.resource)
    )
    first_us, last_us = microseconds(use.first_at), microseconds(use.last_at)
    standing = connection.execute(select(uses).where(key)).first()
    if standing is None:
        row = {"principal": use.principal, "action": use.action, "resource": use.resource}
        connection.execute(
            insert(uses).values(row | {"count": use.count, "first_us": first_us, "last_us": last_us})
        )
        return
    changed = {
        "count": standing[3] + use.count,
        "first_us": min(standing.first_us, first_us),
        "last_us": max(standing.last_us, last_us),
    }
    connection.execute(update(uses).where(key).values(changed))
