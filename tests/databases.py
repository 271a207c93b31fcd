"""Postgres databases of the tests' own, and write statements that fail."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import event

from headrace.store import open_store
from headrace.store._sql.tables import metadata
from headrace.testing import FakeClock, make_settings

_WRITES = ("INSERT", "UPDATE", "DELETE")


@contextmanager
def postgres_database(role: str, folder: Path) -> Iterator[str]:
    """Address of a database that has its tables and no rows; dropped afterwards."""
    name = f"headrace_test_{secrets.token_hex(6)}"
    server = psycopg.connect(host="127.0.0.1", port=5432, user=role, dbname="postgres", autocommit=True)
    with server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            url = f"postgresql://{role}@127.0.0.1:5432/{name}"
            open_store(make_settings(folder / "home", database_url=url), FakeClock()).close()
            yield url
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def at_write(number: int, act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` before the ``number``-th statement of any engine that writes to our tables, or commits
    what was written before."""
    left = [number]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            act()

    def executing(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.lstrip().upper().startswith(_WRITES):
            count()

    def committing(_connection: Any) -> None:
        if left[0] < number:
            count()

    event.listen(sqlalchemy.Engine, "before_cursor_execute", executing)
    event.listen(sqlalchemy.Engine, "commit", committing)
    try:
        yield
    finally:
        event.remove(sqlalchemy.Engine, "before_cursor_execute", executing)
        event.remove(sqlalchemy.Engine, "commit", committing)


def empty_postgres(url: str) -> None:
    """Delete every row; far quicker than TRUNCATE, which makes new files."""
    emptied = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
    with psycopg.connect(url) as connection:
        connection.execute(emptied.encode())
