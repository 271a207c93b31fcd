"""Every suite over SQL runs twice: on SQLite and on Postgres, each on a database made once and emptied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.core.settings import Settings
from headrace.store import Store, open_store
from headrace.testing import FakeClock, make_settings
from tests.databases import empty_postgres


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose SQLite database has its tables and no rows."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    open_store(make_settings(home), FakeClock()).close()
    return home


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a new home with an empty database."""
    home = tmp_path / "home"
    if request.param == "sqlite":
        shutil.copytree(request.getfixturevalue("prepared_home"), home)
        return make_settings(home)
    url = str(request.getfixturevalue("prepared_postgres"))
    empty_postgres(url)
    return make_settings(home, database_url=url)


@pytest.fixture
def store(settings: Settings, clock: FakeClock) -> Iterator[Store]:
    opened = open_store(settings, clock)
    yield opened
    opened.close()
