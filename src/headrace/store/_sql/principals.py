"""Identities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import func, insert, select, update

from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, one, values
from headrace.store._sql.tables import principals


class SqlPrincipals:
    """Implements ``PrincipalStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        principal: Principal,
        guard: Callable[[Principal | None, Sequence[Principal]], None] | None = None,
    ) -> None:
        named = principals.c.name == principal.name
        with self._database.write("principals") as connection:
            standing = one(connection, Principal, principals, named)
            if guard is not None:
                guard(standing, many(connection, Principal, documents(principals)))
            if standing is None:
                kept = replace(principal, session=None)
                connection.execute(insert(principals).values(values(kept, name=principal.name, changes=0)))
            else:
                changed = replace(
                    principal,
                    kind=standing.kind,
                    workspace=standing.workspace,
                    created_at=standing.created_at,
                    session=None,
                )
                once_more = values(changed) | {"changes": principals.c.changes + 1}
                connection.execute(update(principals).where(named).values(once_more))

    def get(self, name: str) -> Principal:
        found = self.find(name)
        if found is None:
            raise NotFound(
                f"There is no identity {name!r} here. "
                f"Add it with 'headrace access user add {name} --role ROLE'."
            )
        return found

    def find(self, name: str) -> Principal | None:
        with self._database.read() as connection:
            return one(connection, Principal, principals, principals.c.name == name)

    def list(self) -> list[Principal]:
        with self._database.read() as connection:
            return many(connection, Principal, documents(principals).order_by(principals.c.position))

    def edition(self) -> object:
        # Both only grow: nobody is removed, and each change counts.
        counted = select(func.count(), func.sum(principals.c.changes)).select_from(principals)
        with self._database.read() as connection:
            return tuple(connection.execute(counted).one())
