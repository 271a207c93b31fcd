"""A model that hangs keeps nobody waiting but those who ask it, and those not for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import Busy
from headrace.core.project import ServingSpec
from tests.serving.scene import ROW, Scene, StubModel


class Hanging(StubModel):
    """Takes its time until it is let go."""

    inline = False

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.asked = threading.Semaphore(0)
        self.at_once = 0

    def score(self, columns: Any) -> dict[str, Any]:
        self.at_once += 1
        self.asked.release()
        assert self.free.wait(30)
        self.at_once -= 1
        return super().score(columns)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "home", live=Hanging(), canary=StubModel(bias=1.0))
    slow = made.shelf.models["r2"]
    slow.inline = False
    yield made
    made.shelf.models["r1"].free.set()  # type: ignore[attr-defined]
    made.close()


def _ask(scene: Scene, version: str) -> Any:
    return scene.handler.predict("cars", ROW, principal=scene.caller, version=version)


def _serving(scene: Scene, **spec: Any) -> Hanging:
    scene.project = replace(scene.project, serving=ServingSpec(**spec))
    model = scene.shelf.models["r1"]
    assert isinstance(model, Hanging)
    return model


async def _begun(model: Hanging, n_requests: int) -> None:
    for _ in range(n_requests):
        assert await asyncio.to_thread(model.asked.acquire, timeout=10)


@pytest.mark.requirement("SRV-10")
def test_a_model_that_hangs_does_not_block_another(scene: Scene) -> None:
    model = _serving(scene, concurrency=2, queue=64)

    async def run() -> None:
        waiting = [asyncio.create_task(_ask(scene, "1")) for _ in range(60)]
        await _begun(model, 2)
        answered = await _ask(scene, "2")
        assert answered.outputs == {"predict": [13.5]}
        assert model.at_once == 2
        assert not any(one.done() for one in waiting)
        model.free.set()
        assert len(await asyncio.gather(*waiting)) == 60

    asyncio.run(run())


@pytest.mark.requirement("SRV-10")
def test_what_is_beyond_the_queue_is_refused_at_once_and_named(scene: Scene) -> None:
    model = _serving(scene, concurrency=1, queue=1)

    async def run() -> None:
        waiting = [asyncio.create_task(_ask(scene, "1")) for _ in range(2)]
        await _begun(model, 1)
        with pytest.raises(Busy, match="1 requests wait for release r1 already"):
            await _ask(scene, "1")
        assert scene.failures() == [], "the model is not at fault"
        model.free.set()
        await asyncio.gather(*waiting)
        assert (await _ask(scene, "1")).outputs == {"predict": [12.5]}

    asyncio.run(run())


def test_nobody_waits_for_a_turn_longer_than_the_project_says(scene: Scene) -> None:
    model = _serving(scene, concurrency=1, queue=5, timeout_s=0.05)

    async def run() -> None:
        first = asyncio.create_task(_ask(scene, "1"))
        await _begun(model, 1)
        with pytest.raises(Busy, match=r"Release r1 answered others for 0\.05 s"):
            await _ask(scene, "1")
        model.free.set()
        assert (await first).outputs == {"predict": [12.5]}

    asyncio.run(run())


def test_whoever_leaves_gives_its_turn_to_the_next(scene: Scene) -> None:
    model = _serving(scene, concurrency=1, queue=1)

    async def run() -> None:
        first = asyncio.create_task(_ask(scene, "1"))
        await _begun(model, 1)
        second = asyncio.create_task(_ask(scene, "1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        third = asyncio.create_task(_ask(scene, "1"))
        await asyncio.sleep(0)
        model.free.set()
        assert len(await asyncio.gather(first, third)) == 2
        assert len(scene.predictions()) == 2

    asyncio.run(run())
