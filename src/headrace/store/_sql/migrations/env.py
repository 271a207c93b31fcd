"""Run by alembic: applies the steps on the connection it is given, inside that connection's transaction."""

from __future__ import annotations

from alembic import context  # noqa: TID253  only alembic loads this file

from headrace.store._sql.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
