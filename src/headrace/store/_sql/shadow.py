"""What was seen of language models that nobody has approved: the one kind of record that is removed."""

from __future__ import annotations

from sqlalchemy import delete

from headrace.store._sql.changing import SqlRecords
from headrace.store._sql.engine import Database
from headrace.store._sql.tables import shadow_uses
from headrace.store.shadow import ShadowUse


class SqlShadowUses(SqlRecords[ShadowUse]):
    """Implements ``ShadowStore``."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, shadow_uses, ShadowUse, "shadow use")

    def remove(self, record: ShadowUse) -> bool:
        named = (shadow_uses.c.id == record.id) & (shadow_uses.c.revision == record.revision)
        with self._database.write(shadow_uses.name, record.id) as connection:
            return connection.execute(delete(shadow_uses).where(named)).rowcount == 1
