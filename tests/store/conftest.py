"""Every suite over SQL runs twice: on SQLite and on Postgres, each on a database made once and emptied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from headrace.core.settings import Settings
from headrace.store import Store, open_store
from headrace.store._sql.tables import metadata
from headrace.testing import FakeClock, make_settings
from tests.databases import postgres_database


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose SQLite database has its tables and no rows."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    open_store(make_settings(home), FakeClock()).close()
    return home


@pytest.fixture(scope="session")
def prepared_postgres(postgres_role: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Postgres database that has its tables."""
    with postgres_database(postgres_role, tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a new home with an empty database."""
    home = tmp_path / "home"
    if request.param == "sqlite":
        shutil.copytree(request.getfixturevalue("prepared_home"), home)
        return make_settings(home)
    url = str(request.getfixturevalue("prepared_postgres"))
    with psycopg.connect(url) as connection:
        # Far quicker than TRUNCATE, which makes new files.
        emptied = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
        connection.execute(emptied.encode())
    return make_settings(home, database_url=url)


@pytest.fixture
def store(settings: Settings, clock: FakeClock) -> Iterator[Store]:
    opened = open_store(settings, clock)
    yield opened
    opened.close()
