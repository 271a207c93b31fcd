"""Processes that watch share the projects, while they and the servers come, go and are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy

from headrace.app.chores import MONITOR, falls_to
from headrace.core.clock import SystemClock
from headrace.core.settings import Settings
from headrace.monitoring.ingest import predictions_table
from headrace.store import Store, open_store
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction, make_settings
from tests.app.small import AUTHOR, INPUTS, cars, site
from tests.pace import until
from tests.store.children import Child

PROJECTS = tuple(f"cars-{number}" for number in range(5))
N_ROWS, N_WEEKS = 60, 4
NO_RETRAINING = ("do: automatic, min_labels: 50", "do: warn")


class Round(NamedTuple):
    """One round of watching; times in milliseconds, ``ended`` of one that goes on is when it began."""

    project: str
    executor: str
    begun: int
    ended: int
    status: str


class Plane:
    """A home whose projects answer, and the processes that watch them."""

    def __init__(self, settings: Settings, releases: dict[str, str]) -> None:
        self.settings = settings
        self.releases = releases
        self.store: Store = open_store(settings, SystemClock())
        self._database = sqlalchemy.create_engine(settings.workflows_url)
        self._running: list[subprocess.Popen[str]] = []

    def monitor(self) -> tuple[str, subprocess.Popen[str]]:
        """Start ``headrace monitor run``; its id and its process."""
        before = {name for name, _ in self.store.executors.living(MONITOR)}
        places = {
            "HEADRACE_HOME": str(self.settings.home),
            "HEADRACE_DATABASE_URL": self.settings.database_url,
            "HEADRACE_USER": AUTHOR,
        }
        command = [sys.executable, "-m", "headrace", "monitor", "run", "--json", "--every", "0.5"]
        process = subprocess.Popen(command, env=os.environ | places, stdout=subprocess.PIPE, text=True)
        self._running.append(process)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        (name,) = {name for name, _ in self.store.executors.living(MONITOR)} - before
        return name, process

    def rounds(self) -> list[Round]:
        """All rounds so far, the earliest first."""
        schema = "" if self.settings.database_url.startswith("sqlite") else "dbos."
        statement = (
            "select workflow_uuid, executor_id, created_at, updated_at, status "
            f"from {schema}workflow_status where name = 'watch' order by created_at, workflow_uuid"
        )
        with self._database.connect() as connection:
            rows = connection.execute(sqlalchemy.text(statement)).all()
        return [Round(row[0].split(":")[1], *row[1:]) for row in rows]

    def windows(self) -> dict[str, list[int]]:
        """Rows of each window of each project that has been judged, the earliest first."""
        return {
            name: [one.n_rows for one in self.store.evidence.measurements(name, name="window")]
            for name in PROJECTS
        }

    def since(self, moment_ms: int) -> dict[str, set[str]]:
        """Who has ended rounds of each project that began after a moment."""
        found: dict[str, set[str]] = {name: set() for name in PROJECTS}
        for one in self.rounds():
            if one.begun > moment_ms and one.status == "SUCCESS":
                found[one.project].add(one.executor)
        return found

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()
        self._database.dispose()
        self.store.close()


def replica(sender: Any, settings: Settings, releases: dict[str, str], weeks: range) -> None:
    """A server as the record has it: answers each project once a week, into segments of its own; says what
    is on record, and then waits to be killed."""
    store = open_store(settings, SystemClock())
    for week in weeks:
        for name, release in releases.items():
            at = START + timedelta(weeks=week, hours=1)
            rows = cars(N_ROWS, seed=week)
            made = make_prediction(
                id=f"{name}-{week}", project=name, release_id=release, n_rows=N_ROWS, at=at, event_time=at,
                columns={one: rows[one] for one in INPUTS}, outputs={"predict": rows["listed"]},
            )  # fmt: skip
            store.events.append(f"{name}/predictions", [encode_prediction(made)])
    sender.send("on record")
    signal.pause()


@contextmanager
def answering(plane: Plane, weeks: range) -> Iterator[None]:
    child = Child(replica, plane.settings, plane.releases, weeks)
    assert child.next() == "on record"
    yield
    os.kill(child.process.pid or 0, signal.SIGKILL)
    child.process.join(10)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_of_many_that_begin_a_round_at_once_one_does(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = {} if database == "sqlite" else {"database_url": request.getfixturevalue("postgres_url")}
    with site(tmp_path, **url) as found:
        assert found.project("cars", NO_RETRAINING).released().state == "live"
        with ThreadPoolExecutor(8) as threads:
            begun = list(threads.map(found.work.watching.begin, ["cars"] * 8))
        (one,) = [name for name in begun if name is not None]
        found.work.durable.result(one)
        again = found.work.watching.begin("cars")
        assert again not in (None, one)
        found.work.durable.result(str(again))


@pytest.fixture(params=["sqlite", "postgres"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plane]:
    url = {} if request.param == "sqlite" else {"database_url": request.getfixturevalue("postgres_url")}
    with site(tmp_path, **url) as found:
        releases = {}
        for name in PROJECTS:
            release = found.project(name, NO_RETRAINING).released()
            assert release.state == "live"
            releases[name] = release.id
    made = Plane(make_settings(tmp_path / "home", user=AUTHOR, **url), releases)
    yield made
    made.close()


@pytest.mark.requirement("MON-33")
def test_each_window_is_judged_once_while_monitors_and_replicas_come_and_go(plane: Plane) -> None:
    with answering(plane, range(N_WEEKS)):
        first, killed = plane.monitor()
        until(lambda: all(plane.since(0).values()))
        assert set.union(*plane.since(0).values()) == {first}, "alone it watches everything"
        second, _ = plane.monitor()
        joined = int(time.time() * 1000) + 1000
        until(lambda: all(plane.since(joined).values()))
        assert plane.since(joined) == {name: {falls_to({first, second}, name)} for name in PROJECTS}
        mine = [name for name in PROJECTS if falls_to({first, second}, name) == first]
        if mine:  # by chance all may fall to the other one
            until(lambda: any(one.executor == first and one.status == "PENDING" for one in plane.rounds()))
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
    with answering(plane, range(N_WEEKS, 2 * N_WEEKS)):
        third, _ = plane.monitor()
        came = int(time.time() * 1000) + 1000
        until(lambda: all(plane.since(came).values()))
        assert set.union(*plane.since(came).values()) <= {second, third}
        until(lambda: all(len(found) >= 2 * N_WEEKS - 1 for found in plane.windows().values()))
        until(lambda: not any(one.executor == first and one.status == "PENDING" for one in plane.rounds()))
        last = int(time.time() * 1000)
        until(lambda: all(plane.since(last).values()))
    for name, windows in plane.windows().items():
        assert windows == [N_ROWS] * (2 * N_WEEKS - 1), "the last week is not over"
        counted = plane.store.tables.query(
            "select count(*) as n, count(distinct subject) as once from p",
            {"p": (predictions_table(name), None)},
        )
        assert int(counted["n"][0]) == int(counted["once"][0]) == 2 * N_WEEKS * N_ROWS
    for name in PROJECTS:
        ended = 0
        for one in (found for found in plane.rounds() if found.project == name):
            assert one.begun >= ended, "no two rounds of a project are under way at once"
            assert one.status in ("SUCCESS", "PENDING")
            ended = one.ended
