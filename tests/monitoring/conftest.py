from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.core.project import Project
from tests.monitoring.traffic import Scene, scene


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes a watched project in a home of the test's own; closed afterwards."""
    made: list[Scene] = []

    def make(project: Project | None = None, *, seed: int = 0) -> Scene:
        made.append(scene(tmp_path / f"home-{len(made)}", project, seed=seed))
        return made[-1]

    yield make
    for one in made:
        one.store.close()
