from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.scene import Scene


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes scenes, and closes what they opened."""
    made: list[Scene] = []

    def make(**parts: Any) -> Scene:
        made.append(Scene(tmp_path / "keys", **parts))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


@pytest.fixture
def scene(stage: Callable[..., Scene]) -> Scene:
    return stage()
