"""Values that are over by themselves, and who was seen where: what processes share for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.engine import Connection

from headrace.core.identity import Expiring, Sighting
from headrace.core.ports import Clock
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import microseconds, moment
from headrace.store._sql.tables import expiring, sightings


class SqlExpiring:
    """Implements ``ExpiringStore``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def find(self, kind: str, key: str) -> Expiring | None:
        with self._database.read() as connection:
            return self._standing(connection, kind, key)

    def take(self, kind: str, key: str) -> Expiring | None:
        if self.find(kind, key) is None:  # whoever guesses must not make us write
            return None
        with self._database.write("expiring", kind) as connection:
            found = self._standing(connection, kind, key)
            connection.execute(delete(expiring).where(_named(kind, key)))
        return found

    def change(
        self,
        kind: str,
        key: str,
        update: Callable[[Expiring | None], Expiring | None],
        *,
        most: int | None = None,
    ) -> Expiring | None:
        with self._database.write("expiring", kind) as connection:
            changed = update(self._standing(connection, kind, key))
            connection.execute(delete(expiring).where(_named(kind, key)))
            if changed is not None:
                if most is not None:
                    _make_room(connection, kind, changed.subject, most - 1)
                row = {"kind": kind, "key": key, "subject": changed.subject, "value": changed.value}
                ends_us = microseconds(changed.ends_at)
                connection.execute(insert(expiring).values(row | {"ends_us": ends_us}))
        return changed

    def remove(self, kind: str, subject: str) -> int:
        whose = (expiring.c.kind == kind) & (expiring.c.subject == subject)
        with self._database.write("expiring", kind) as connection:
            return connection.execute(delete(expiring).where(whose)).rowcount

    def clean(self) -> int:
        with self._database.write("expiring") as connection:
            over = expiring.c.ends_us <= microseconds(self._clock.now())
            return connection.execute(delete(expiring).where(over)).rowcount

    def _standing(self, connection: Connection, kind: str, key: str) -> Expiring | None:
        live = expiring.c.ends_us > microseconds(self._clock.now())
        row = connection.execute(select(expiring).where(_named(kind, key), live)).first()
        if row is None:
            return None
        return Expiring(kind=kind, key=key, value=row.value, subject=row.subject, ends_at=moment(row.ends_us))


class SqlSightings:
    """Implements ``SightingStore``.

    All writers take turns, so that a number that can be read has none before it that is still to come.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, sightings: Sequence[Sighting]) -> None:
        if not sightings:
            return
        with self._database.write("sightings") as connection:
            connection.execute(insert(_TABLE), [_row(one) for one in sightings])

    def since(self, position: int) -> list[Sighting]:
        statement = select(_TABLE).where(_TABLE.c.position > position).order_by(_TABLE.c.position)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [
            Sighting(
                principal=row.principal,
                network=row.network,
                token=row.token,
                at=moment(row.at_us),
                source=row.source,
                position=row.position,
            )
            for row in rows
        ]

    def forget(self, before: datetime) -> int:
        old = _TABLE.c.at_us < microseconds(before)
        with self._database.write("sightings") as connection:
            return connection.execute(delete(_TABLE).where(old)).rowcount


_TABLE = sightings


def _named(kind: str, key: str) -> ColumnElement[bool]:
    return (expiring.c.kind == kind) & (expiring.c.key == key)


def _make_room(connection: Connection, kind: str, subject: str, most: int) -> None:
    whose = (expiring.c.kind == kind) & (expiring.c.subject == subject)
    n_kept = connection.execute(select(func.count()).select_from(expiring).where(whose)).scalar_one()
    if n_kept > most:
        first = select(expiring.c.key).where(whose).order_by(expiring.c.ends_us, expiring.c.key)
        keys = connection.execute(first.limit(n_kept - most)).scalars().all()
        connection.execute(delete(expiring).where(whose, expiring.c.key.in_(keys)))


def _row(one: Sighting) -> dict[str, Any]:
    row = {"principal": one.principal, "network": one.network, "token": one.token, "source": one.source}
    return row | {"at_us": microseconds(one.at)}
