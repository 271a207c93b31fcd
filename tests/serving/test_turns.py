"""A model that hangs keeps nobody waiting but those who ask it, and those not for ever; what queued while it
was busy is asked together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import Busy
from headrace.core.project import ServingSpec
from headrace.serving.turns import MOST_ROWS, BatchSize
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


def test_that_holds_in_another_event_loop_too(scene: Scene) -> None:
    model = _serving(scene, concurrency=1, queue=5, timeout_s=0.05)
    model.free.set()
    assert asyncio.run(_ask(scene, "1")).outputs == {"predict": [12.5]}
    model.free.clear()
    model.asked = threading.Semaphore(0)

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


class Counting(StubModel):
    """Notes how many rows it is asked at once, and cannot answer a mileage of 13."""

    inline = False

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def score(self, columns: Any) -> dict[str, Any]:
        self.asked.append(len(columns["mileage"]))
        if 13.0 in columns["mileage"]:
            raise ZeroDivisionError("thirteen")
        return super().score(columns)


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "home", live=Counting())
    yield made
    made.close()


def _asked(scene: Scene) -> list[int]:
    model = scene.shelf.models["r1"]
    assert isinstance(model, Counting)
    return model.asked


async def _answers(scene: Scene, mileages: list[float]) -> list[Any]:
    rows = [{**ROW, "mileage": [mileage]} for mileage in mileages]
    asked = (scene.handler.predict("cars", row, principal=scene.caller) for row in rows)
    return await asyncio.gather(*asked, return_exceptions=True)


def test_rows_that_queued_are_asked_together_and_each_gets_its_own_answer(counting: Scene) -> None:
    mileages = [float(number) for number in range(200, 260)]

    found = asyncio.run(_answers(counting, mileages))

    assert [one.outputs["predict"] for one in found] == [[mileage] for mileage in mileages]
    assert [one.columns["mileage"] for one in found] == [[mileage] for mileage in mileages]
    assert sum(_asked(counting)) == 60
    assert len(_asked(counting)) < 30
    tally = counting.handler.tally("r1")
    assert (tally.answered, tally.rows, tally.failed) == (60, 60, 0)


def test_a_row_that_the_model_fails_on_harms_no_other(counting: Scene) -> None:
    mileages = [float(number) for number in range(1, 41)]

    found = asyncio.run(_answers(counting, mileages))

    (failed,) = (one for one in found if isinstance(one, Exception))
    assert found.index(failed) == 12
    assert "could not answer (ZeroDivisionError)" in str(failed)
    assert [one.outputs["predict"] for one in found if one is not failed] == [
        [mileage] for mileage in mileages if mileage != 13.0
    ]
    assert [one.error for one in counting.failures()] == ["ZeroDivisionError: thirteen"]
    assert len(counting.predictions()) == 39


def test_what_is_not_what_the_model_expects_is_refused_before_it_waits(counting: Scene) -> None:
    found = asyncio.run(_answers(counting, [1.0, "far", 3.0]))  # type: ignore[list-item]

    assert "'mileage'" in str(found[1])
    assert sum(_asked(counting)) == 2
    assert counting.failures() == []


def _grown(size: BatchSize, cost_s: Any, n_batches: int) -> list[int]:
    taken = []
    for _ in range(n_batches):
        taken.append(size.n_rows)
        size.took(size.n_rows, cost_s(size.n_rows))
    return taken


def test_more_rows_are_asked_at_once_for_as_long_as_that_is_quicker() -> None:
    assert _grown(BatchSize(longest_s=5.0), lambda n: 0.003 + n * 2e-5, 9) == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    taken = _grown(BatchSize(longest_s=5.0), lambda n: n * 0.003, 500)
    assert max(taken) == 2
    assert taken.count(2) <= 2, "it is tried again now and then"
    assert max(_grown(BatchSize(longest_s=5.0), lambda n: 2.0 + n * 0.4, 50)) == 2, "4 rows might take longer"


def test_after_a_failure_rows_are_asked_one_by_one_until_all_that_waited_were() -> None:
    size = BatchSize(longest_s=5.0)
    _grown(size, lambda _: 0.01, 10)
    assert size.n_rows == MOST_ROWS
    size.failed(n_waiting=70)
    assert _grown(size, lambda _: 0.01, 73) == [1] * 70 + [2, 4, 8]


@given(
    st.lists(
        st.tuples(st.integers(1, MOST_ROWS), st.floats(0, 60), st.booleans(), st.integers(0, 500)),
        max_size=80,
    ),
    st.floats(0.001, 60),
)
def test_a_batch_has_a_row_at_least_and_never_too_many(
    events: list[tuple[int, float, bool, int]], longest_s: float
) -> None:
    size = BatchSize(longest_s=longest_s)
    for n_rows, duration_s, has_failed, n_waiting in events:
        before, taken = size.n_rows, min(n_rows, size.n_rows)
        if has_failed:
            size.failed(n_waiting)
        else:
            size.took(taken, duration_s)
        assert 1 <= size.n_rows <= MOST_ROWS
        assert size.n_rows <= before or size.n_rows == 2 * before
        assert size.n_rows <= before or taken == before, "it grows by what was measured only"
