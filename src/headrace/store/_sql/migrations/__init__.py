"""Brings a database to the tables of this version: numbered steps, each applied once, all or none.

A step is never edited after its release; a change is a new step. The present number is compared first,
so that opening a database that is up to date costs one query and loads nothing.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, MetaData, Table, Text, inspect, select
from sqlalchemy.engine import Connection

from headrace.core.errors import Conflict
from headrace.store._sql.engine import Database

HEAD = "0018"
"""Name of the newest step; 0015 follows 0016, 0017 follows 0019, 0018 follows 0020: ready in this order."""

VERSION_TABLE = "hr_schema"
_schema = Table(VERSION_TABLE, MetaData(), Column("version_num", Text))


def migrate(database: Database) -> None:
    """Apply the steps that are missing; processes that open at once take turns.

    Raises:
        Conflict: a newer Headrace has written this database.
    """
    with database.read() as connection:
        if _present(connection) == HEAD:
            return
    with database.write("schema") as connection:
        present = _present(connection)
        if present != HEAD:
            _upgrade(connection, present)


def _present(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(select(_schema.c.version_num)).scalar()
    return None if found is None else str(found)


def _upgrade(connection: Connection, present: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise Conflict(
            f"The database is of version {present}, which this Headrace does not know (its own is {HEAD}): a "
            "newer one has written it. Upgrade Headrace on this machine, or set HEADRACE_HOME elsewhere."
        )
    command.upgrade(config, "head")
