"""What journeys share: the command line as a child process, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.store import open_store
from headrace.store.records import decode_prediction
from tests.journeys.tables import write_cars


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow journeys come first: what begins last is what the other processes wait for."""
    slow = {
        item.path for item in items if item.get_closest_marker("slow") and item.get_closest_marker("journey")
    }
    items.sort(key=lambda item: item.path not in slow)


@dataclass(kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


@dataclass(kw_only=True)
class Shell:
    """Runs ``headrace`` in ``folder`` as a user would, as a process of its own."""

    home: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, timeout_s: float = 600.0) -> Ended:
        """Run one command to its end."""
        ended = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)

    def start(self, arguments: Sequence[str], more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start one command and leave it running."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env() | dict(more or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def command(self, *arguments: str) -> list[str]:
        """The argument vector of one command."""
        return [sys.executable, "-m", "headrace", *arguments]

    def env(self) -> dict[str, str]:
        """The environment of a command: a home and a user of the test's own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
        return kept | {"HEADRACE_HOME": str(self.home), "HEADRACE_USER": "ann"} | self.environment


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A fresh home and an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(home=tmp_path / "home", folder=folder)


@pytest.fixture
def cars(shell: Shell) -> Shell:
    """A small project with two quick variants."""
    return with_cars(shell)


def with_cars(shell: Shell) -> Shell:
    """The shell in a small project with two quick variants, beside somebody who may approve."""
    table = write_cars(shell.folder / "cars.csv")
    assert shell("init", "cars", "--data", str(table), "--target", "price", "--key", "car_id").code == 0
    shell.folder = shell.folder / "cars"
    charter = shell.folder / "headrace.yaml"
    lines = [line for line in charter.read_text().splitlines() if "trainer: lightgbm" not in line]
    charter.write_text("\n".join(lines) + "\n")
    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == 0
    return shell


def recorded_ids(shell: Shell) -> set[str]:
    """Ids of all answers in the event log, read without a server."""
    store = open_store(read_settings(shell.env()), SystemClock())
    try:
        found: set[str] = set()
        for segment in store.events.segments("cars/predictions"):
            records, _ = store.events.read("cars/predictions", segment.name, 0, 1_000_000)
            found |= {decode_prediction(record).id for record in records}
        return found
    finally:
        store.close()
