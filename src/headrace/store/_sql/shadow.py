"""What was seen of language models that nobody has approved: the one kind of record that is removed."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import delete, select

from headrace.store._sql.changing import SqlRecords
from headrace.store._sql.engine import Database
from headrace.store._sql.tables import shadow_uses
from headrace.store.shadow import ShadowKind, ShadowUse


class SqlShadowUses(SqlRecords[ShadowUse]):
    """Implements ``ShadowStore``."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, shadow_uses, ShadowUse, "shadow use")

    def count(self, record: ShadowUse) -> ShadowUse:
        with self._database.transaction(), self._database.write(shadow_uses.name, record.id):
            before = self.find(record.id)
            if before is None:
                return self.add(record)
            together = replace(
                before,
                n=before.n + record.n,
                first_at=min(before.first_at, record.first_at),
                last_at=max(before.last_at, record.last_at),
                revision=before.revision + 1,
            )
            return self.change(together)

    def ids(self, workspace: str, subject: ShadowKind) -> set[str]:
        named = (shadow_uses.c.workspace == workspace) & (shadow_uses.c.subject == subject)
        with self._database.read() as connection:
            return set(connection.execute(select(shadow_uses.c.id).where(named)).scalars())

    def remove(self, record: ShadowUse) -> bool:
        named = (shadow_uses.c.id == record.id) & (shadow_uses.c.revision == record.revision)
        with self._database.write(shadow_uses.name, record.id) as connection:
            return connection.execute(delete(shadow_uses).where(named)).rowcount == 1
