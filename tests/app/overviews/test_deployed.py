"""What is deployed, as servers that are up say themselves, beside what the charter declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.overviews.deployed import deployed, note_server, plan_differences
from headrace.core.project import DeploymentSpec
from headrace.testing import START, FakeClock, make_project
from headrace.testing.factories import make_settings


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home"), clock=FakeClock(START)) as found:
        yield found


def start(app: App, executor_id: str, address: str, **settings: object) -> None:
    """A process of a server, whose environment differs in ``settings``."""
    app.store.executors.register(executor_id, "server", address)
    note_server(replace(app, settings=replace(app.settings, **settings)), executor_id, address)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "settings", "target"),
    [
        ("http://127.0.0.1:8000", {}, "laptop"),
        ("http://[::1]:8000", {}, "laptop"),
        ("http://localhost:8000", {}, "laptop"),
        ("http://0.0.0.0:8000", {}, "server"),
        ("http://127.0.0.1:8000", {"url": "https://models.example.org"}, "server"),  # behind a proxy
        ("http://0.0.0.0:8000", {"environment": {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}}, "kubernetes"),
    ],
)
def test_a_server_knows_where_it_is(app: App, address: str, settings: dict[str, object], target: str) -> None:
    start(app, "one", address, **settings)
    found = deployed(app)
    assert found is not None
    assert (found.target, found.database, found.processes) == (target, "sqlite", (1,))


def test_processes_of_one_address_are_one_server_and_those_that_ended_are_none(app: App) -> None:
    assert deployed(app) is None
    for name in ("a", "b", "c"):
        start(app, name, "http://0.0.0.0:8000")
    start(app, "d", "http://0.0.0.0:8001")
    found = deployed(app)
    assert found is not None
    assert sorted(found.processes) == [1, 3]
    for name in ("a", "b", "c", "d"):
        app.store.executors.release(name)
    assert deployed(app) is None


def test_only_projects_that_are_deployed_otherwise_are_named(app: App) -> None:
    start(app, "one", "http://127.0.0.1:8000")
    planned = make_project(deployment=DeploymentSpec(target="kubernetes", processes=2))
    others = [make_project(name="laptop", deployment=DeploymentSpec()), make_project(name="unplanned")]
    found = plan_differences(app, [planned, *others])
    assert {name: [str(one) for one in some] for name, some in found.items()} == {
        "cars": [
            "deployment.target is laptop, planned kubernetes",
            "deployment.processes is 1, planned 2",
        ]
    }
