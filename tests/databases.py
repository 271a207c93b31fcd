"""A Postgres database for many tests: made once, emptied for each."""

from __future__ import annotations

import psycopg

from headrace.store._sql.tables import metadata


def empty_postgres(url: str) -> None:
    """Delete every row; far quicker than TRUNCATE, which makes new files."""
    emptied = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
    with psycopg.connect(url) as connection:
        connection.execute(emptied.encode())
