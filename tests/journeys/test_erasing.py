"""An erasure that was killed in any of its steps is finished by whoever runs next, and proved."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.core.project import Column, DataSpec, PrivacySpec
from headrace.core.settings import read_settings
from headrace.monitoring.ingest import ingest
from headrace.store.records import encode_outcome, encode_prediction
from headrace.testing import make_outcome, make_prediction, make_project
from tests.journeys.conftest import Shell
from tests.journeys.server import free_port, serving
from tests.journeys.test_kills import HARNESS, MOST_STEPS, run_killed_at

pytestmark = pytest.mark.journey
STEPS = 6
JANE, BOB = "jane-47110815", "bob-47120815"


@pytest.fixture
def people(shell: Shell) -> Shell:
    """Answers and labels about Jane and Bob, in clear, so that what is left could be seen."""
    columns = (Column(name="age", role="numeric"),)
    privacy = PrivacySpec(basis="consent", fields={"key": "keep"}, encrypt=False)
    data = DataSpec(source="p.csv", target="bought", columns=columns)
    with open_app(read_settings(shell.env())) as app:
        app.me()
        app.store.projects.save(make_project(name="people", data=data, privacy=privacy), str(shell.folder))
        for key in (JANE, BOB):
            made = make_prediction(n_rows=1, keys=[key], columns={"age": [4.0]}, outputs={"predict": [1.0]})
            app.store.events.append("people/predictions", [encode_prediction(made)])
            said = make_outcome(project="people", subject=key)
            app.store.events.append("people/outcomes", [encode_outcome(said)])
            ingest("people", app.store.events, app.store.tables, numeric=frozenset({"age"}))
    return shell


def kept_of(shell: Shell) -> list[str]:
    with open_app(read_settings(shell.env())) as app:
        query = app.store.tables.query
        keys = query("SELECT key FROM t", {"t": ("people/predictions", None)})["key"]
        subjects = query("SELECT subject FROM t", {"t": ("people/outcomes", None)})["subject"]
        return [*keys, *subjects]


def files_with(folder: Path, text: str) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


@pytest.mark.requirement("PRV-02")
def test_killed_in_every_step_it_goes_on_by_itself(people: Shell) -> None:
    """The command that ordered it dies; then each server does, one step further, until it is done."""
    ordered = ("data", "erase", "people", "--subject", JANE, "--reason", "ticket 88")
    assert run_killed_at(people, 1, *ordered) == -signal.SIGKILL
    (order,) = (people.home / "erasing").iterdir()
    assert JANE.encode() not in order.read_bytes()
    assert order.stat().st_mode & 0o077 == 0
    kills = 1
    while order.exists():
        assert kills < MOST_STEPS
        # The step that was killed comes again and is recorded; the one after it dies.
        kills += died_at(people, 2, order)
    assert kills >= STEPS - 1, "the last step takes the order away, which ends the wait for its kill"
    with serving(people):
        pass
    assert kept_of(people) == [BOB, BOB]
    entries = people("audit", "ls", "--json").json
    mine = [entry for entry in entries if entry["action"] in ("data.erase", "data.erased")]
    assert sorted(entry["action"] for entry in mine) == ["data.erase", "data.erased"]
    assert len({entry["detail"]["erasure"] for entry in mine}) == 1
    assert files_with(people.home, JANE) == []
    assert people("audit", "verify").code == 0


def died_at(shell: Shell, step: int, order: Path) -> bool:
    """Let a server go on until it dies at a step, or until the order is done."""
    process = subprocess.Popen(
        [sys.executable, str(HARNESS), str(step), "up", "--json", "--port", str(free_port())],
        cwd=shell.folder,
        env=shell.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while process.poll() is None and order.exists() and time.monotonic() < end:
            time.sleep(0.05)
        return process.poll() == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
