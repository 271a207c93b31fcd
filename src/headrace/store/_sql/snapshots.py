"""Snapshots: immutable once added."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import insert, update

from headrace.core.data import Snapshot
from headrace.core.errors import NotFound
from headrace.store._sql.engine import Database
from headrace.store._sql.rows import documents, many, microseconds, one, stored, values
from headrace.store._sql.tables import snapshots


class SqlSnapshots:
    """Implements ``SnapshotStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, snapshot: Snapshot) -> Snapshot:
        with self._database.write("snapshots", snapshot.id) as connection:
            standing = one(connection, Snapshot, snapshots, snapshots.c.id == snapshot.id)
            if standing is not None:
                return standing
            row = values(
                snapshot,
                id=snapshot.id,
                project=snapshot.project,
                digest=snapshot.digest,
                created_us=microseconds(snapshot.created_at),
            )
            connection.execute(insert(snapshots).values(row))
        return stored(snapshot)

    def erase(self, snapshot: Snapshot) -> None:
        with self._database.write("snapshots", snapshot.id) as connection:
            standing = one(connection, Snapshot, snapshots, snapshots.c.id == snapshot.id)
            if standing is None:
                raise NotFound(f"There is no snapshot {snapshot.id!r} here.")
            after = replace(
                standing,
                table_version=snapshot.table_version,
                n_erased=snapshot.n_erased,
                left_digest=snapshot.left_digest,
            )
            row = values(after)
            connection.execute(update(snapshots).where(snapshots.c.id == snapshot.id).values(row))

    def get(self, snapshot_id: str) -> Snapshot:
        with self._database.read() as connection:
            found = one(connection, Snapshot, snapshots, snapshots.c.id == snapshot_id)
        if found is None:
            raise NotFound(f"There is no snapshot {snapshot_id!r} here. List them with 'headrace data ls'.")
        return found

    def find(self, project: str, digest: str) -> Snapshot | None:
        where = (snapshots.c.project == project, snapshots.c.digest == digest)
        statement = documents(snapshots, *where).order_by(snapshots.c.position).limit(1)
        with self._database.read() as connection:
            found = many(connection, Snapshot, statement)
        return found[0] if found else None

    def list(self, project: str) -> list[Snapshot]:
        statement = documents(snapshots, snapshots.c.project == project)
        with self._database.read() as connection:
            return many(
                connection, Snapshot, statement.order_by(snapshots.c.created_us, snapshots.c.position)
            )
