"""A disk that really is full: answers are refused, or given without record, as the project has it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import Unavailable
from headrace.core.project import ServingSpec
from headrace.core.record import Prediction, Unrecorded
from headrace.serving.handler import Handler
from headrace.serving.recorder import RETRY_S, Recorder
from headrace.store.events import SegmentLog
from tests.serving.scene import ROW, Scene

STREAM = "cars/predictions"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system that fills up")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


class Full:
    """A handler over a small disk, and whoever is told of answers without record."""

    def __init__(self, tmp_path: Path, disk: Path, **serving: Any) -> None:
        self.scene = Scene(tmp_path / "home")
        self.scene.project = replace(self.scene.project, serving=ServingSpec(**serving))
        self.log = SegmentLog(disk, "0198c0de-0000-7000-8000-000000000000")
        self.told: list[str] = []
        self.heard = threading.Event()
        self.recorder = Recorder(self.log, self.scene.clock, on_forgone=self._hear)
        parts = (self.scene.routes, self.scene.models, self.recorder, self.scene.clock)
        self.handler = Handler(*parts, self.scene.door.gatekeeper, self.scene.rules_of)

    def _hear(self, project: str) -> None:
        self.told.append(project)
        self.heard.set()

    async def ask(self) -> Prediction:
        return await self.handler.predict("cars", ROW, principal=self.scene.caller)

    def close(self) -> None:
        self.recorder.close()
        self.log.close()
        self.scene.close()


@pytest.mark.requirement("SRV-06")
@pytest.mark.parametrize("durability", ["stored", "best_effort"])
def test_answers_without_record_say_so_are_counted_and_told(
    tmp_path: Path, small_disk: Path, durability: str
) -> None:
    async def run() -> list[Prediction]:
        given: list[Prediction] = []
        while sum(isinstance(one, Unrecorded) for one in given) < 5:
            given.append(await full.ask())
            await asyncio.sleep(0)
            assert len(given) < 20_000
        return given

    full = Full(tmp_path, small_disk, durability=durability, on_record_failure="serve")
    given = asyncio.run(run())
    full.recorder.close()
    without = [one for one in given if isinstance(one, Unrecorded)]
    assert {full.handler.recorded(one) for one in without} == {b"none"}
    assert full.recorder.forgone() == {"cars": len(without)}
    # None is lost without being counted: on record, given without, or given before the disk refused.
    lost = full.recorder.lost().get(STREAM, 0)
    assert full.log.count(STREAM) + len(without) + lost == len(given)
    assert (lost == 0) == (durability == "stored")
    assert full.heard.wait(10)
    assert full.told == ["cars"]
    full.close()


def test_by_default_nobody_gets_an_answer_that_is_not_on_record(tmp_path: Path, small_disk: Path) -> None:
    answered: list[Prediction] = []

    async def run() -> None:
        while len(answered) < 20_000:
            answered.append(await full.ask())

    full = Full(tmp_path, small_disk)
    with pytest.raises(Unavailable, match="No space left"):
        asyncio.run(run())
    assert len(answered) == full.log.count(STREAM) > 0
    assert full.recorder.forgone() == {}
    full.close()


@pytest.mark.requirement("SRV-06")
@pytest.mark.parametrize(("on_record_failure", "ready"), [("serve", True), ("refuse", False)])
def test_a_server_whose_disk_is_full_is_ready_where_it_answers_all_the_same(
    tmp_path: Path, small_disk: Path, on_record_failure: str, ready: bool
) -> None:
    full = Full(tmp_path, small_disk, on_record_failure=on_record_failure)
    assert full.handler.ready()

    async def fill() -> None:
        while full.recorder.healthy():
            with suppress(Unavailable):
                await full.ask()

    asyncio.run(fill())
    assert full.handler.ready() == ready
    # Nobody asks a server that is not ready, so it has to say after a while that it is worth another try.
    full.scene.clock.advance(RETRY_S)
    assert full.handler.ready()
    with suppress(Unavailable):
        asyncio.run(full.ask())
    assert full.handler.ready() == ready
    full.recorder.close()
    assert not full.handler.ready()
    full.close()
