from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.releases.delivering import Scene, scene


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes a project in a home of the test's own; closed afterwards."""
    made: list[Scene] = []

    def start(**rollout: Any) -> Scene:
        made.append(scene(tmp_path / f"home-{len(made)}", **rollout))
        return made[-1]

    yield start
    for one in made:
        one.store.close()
