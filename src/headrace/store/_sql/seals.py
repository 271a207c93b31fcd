"""Seals of the audit log: added, never changed."""

from __future__ import annotations

from sqlalchemy import insert

from headrace.core.errors import Conflict
from headrace.core.identity import Seal
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, one, stored, values
from headrace.store._sql.tables import audit_seals


class SqlSeals:
    """Implements ``SealStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, seal: Seal) -> None:
        with self._database.write("audit seals") as connection:
            standing = one(connection, Seal, audit_seals, audit_seals.c.number == seal.number)
            if standing is None:
                connection.execute(insert(audit_seals).values(values(seal, number=seal.number)))
            elif standing != stored(seal):
                raise Conflict(
                    f"Seal {seal.number} of the audit log is there already, and is another one. "
                    "Look at it: headrace audit verify"
                )

    def last(self) -> Seal | None:
        statement = documents(audit_seals).order_by(audit_seals.c.number.desc()).limit(1)
        with self._database.read() as connection:
            found = many(connection, Seal, statement)
        return found[0] if found else None

    def list(self) -> list[Seal]:
        with self._database.read() as connection:
            return many(connection, Seal, documents(audit_seals).order_by(audit_seals.c.number))
