from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.people import Door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path / "home")
    yield door
    door.close()
