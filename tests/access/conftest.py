from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.store import open_store
from headrace.testing import FakeClock, make_settings
from tests.access.people import Door


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has been made and closed: copying it is quicker than making another."""
    home = tmp_path_factory.mktemp("empty") / "home"
    open_store(make_settings(home), FakeClock()).close()
    return home


@pytest.fixture
def door(tmp_path: Path, empty_home: Path) -> Iterator[Door]:
    door = Door(shutil.copytree(empty_home, tmp_path / "home"))
    yield door
    door.close()
