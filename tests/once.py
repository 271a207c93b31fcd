"""What is the same for every home that a test opens, made once by each process of tests.

Thousands of tests open a home of their own, or serve one. Its tables, the statements that are asked of them,
the templates of its pages and whom its clients trust come out the same each time; all of it is made as for
users the first time.
"""

from __future__ import annotations

import os
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import certifi
import jinja2
import pytest
import sqlalchemy
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.engine import Connection

from headrace.app import durable
from headrace.store import write_ahead
from headrace.store._sql import migrations

_STATEMENTS = 3_000


@contextmanager
def made_once(folder: Path) -> Iterator[None]:
    """All of it but the pages, until the block ends; ``folder`` is for what has to be a file."""
    with ExitStack() as all_of_it:
        all_of_it.enter_context(steps_taken_once())
        all_of_it.enter_context(workflow_tables_made_once(folder))
        all_of_it.enter_context(statements_compiled_once())
        all_of_it.enter_context(certificates_read_once())
        yield


@contextmanager
def steps_taken_once() -> Iterator[None]:
    """The steps of the migrations make the tables of this process's first SQLite database; each further one
    gets at once what they had made, which takes a tenth of the time."""
    steps: Callable[[Connection, str | None], None] = vars(migrations)["_upgrade"]
    made: list[str] = []

    def upgrade(connection: Connection, present: str | None) -> None:
        if present is not None or connection.dialect.name != "sqlite":
            steps(connection, present)
        elif made:
            for statement in made:
                connection.exec_driver_sql(statement)
        else:
            steps(connection, present)
            tables = "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY rowid"
            made.extend(connection.exec_driver_sql(tables).scalars())
            made.append(f"INSERT INTO {migrations.VERSION_TABLE} VALUES ('{migrations.HEAD}')")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "_upgrade", upgrade)
        yield


@contextmanager
def workflow_tables_made_once(folder: Path) -> Iterator[None]:
    """The tables of the workflows in SQLite are a copy of those of this process's first home."""
    made = folder / "workflows.db"
    one_at_a_time = threading.Lock()

    def make() -> None:
        from dbos import DBOS

        making = made.with_name("making.db")
        making.unlink(missing_ok=True)
        write_ahead(f"sqlite:///{making}")
        DBOS.migrate(f"sqlite:///{making}")
        making.rename(made)

    def copied(url: str) -> None:
        path = Path(sqlalchemy.make_url(url).database or "")
        if not url.startswith("sqlite") or path.exists():
            write_ahead(url)
            return
        with one_at_a_time:
            if not made.exists():
                make()
        whole = path.with_name(f"{path.name}.copied")
        shutil.copyfile(made, whole)
        whole.rename(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "write_ahead", copied)
        yield


class _Statements(dict[Any, Any]):
    """What SQLAlchemy has made of statements; its keys begin with the dialect of one engine, and all of a
    driver's are set up alike here."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self) >= _STATEMENTS:
            self.clear()
        super().__setitem__(key[1:], value)


@contextmanager
def statements_compiled_once() -> Iterator[None]:
    """Engines of one kind of database share the statements that they have compiled."""
    make_engine = sqlalchemy.create_engine
    compiled: dict[tuple[str, str], _Statements] = {}

    def sharing(*arguments: Any, **options: Any) -> sqlalchemy.Engine:
        engine = make_engine(*arguments, **options)
        kind = engine.dialect.name, engine.dialect.driver
        engine.update_execution_options(compiled_cache=compiled.setdefault(kind, _Statements()))
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlalchemy, "create_engine", sharing)
        yield


class _Templates(BytecodeCache):
    """Compiled templates by name and source."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key, bucket.checksum] = bucket.code


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Servers share the templates of pages that they have compiled; only tests of servers import them."""
    from headrace.web.pages import rendering

    kept = _Templates()

    def sharing(**options: Any) -> jinja2.Environment:
        return jinja2.Environment(**options, bytecode_cache=kept)  # noqa: S701 - the caller says

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "Environment", sharing)
        yield


@contextmanager
def certificates_read_once() -> Iterator[None]:
    """Clients that trust whom everybody trusts share what they have read of them: a context each takes as
    long as fifty requests to a server on this machine, which asks for no certificates."""
    make = ssl.create_default_context
    everybody = {certifi.where(), os.environ.get("SSL_CERT_FILE", "")}
    kept = cache(make)

    def sharing(purpose: Any = ssl.Purpose.SERVER_AUTH, *, cafile: Any = None, **more: Any) -> ssl.SSLContext:
        if cafile in everybody and not more:
            return kept(purpose, cafile=cafile)
        return make(purpose, cafile=cafile, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", sharing)
        yield
