"""What is told once a release was approved."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.app.composition import open_app
from headrace.app.overviews.fleet import server_address
from headrace.cli.reached import next_step
from headrace.core.release import Subject
from headrace.testing import make_settings
from headrace.testing.factories import make_manifest, make_release
from tests.cli.conftest import Cli

HERE = "http://127.0.0.1:8000"


def made(state: Any, ref: str = "model:cars@3") -> Any:
    package = make_manifest().subject.package
    return make_release(state=state, manifest=make_manifest(subject=Subject(ref=ref, package=package)))


@pytest.mark.parametrize(
    ("state", "ref", "server", "said"),
    [
        ("live", "model:cars@3", None, "Answers at /v2/models/cars/infer once the server is up: headrace up"),
        ("live", "model:cars@3", HERE, f"Answers at {HERE}/v2/models/cars/infer"),
        ("live", "prompt:cars@3", HERE, f"Answers at {HERE}/v1/chat/completions, as the model 'cars'"),
        ("rolling_out", "model:cars@3", None, "It is a canary now and needs traffic: headrace up"),
        ("rolling_out", "model:cars@3", HERE, f"It is a canary now and gets its part of the calls to {HERE}"),
        ("rejected", "model:cars@3", HERE, ""),
    ],
)  # fmt: skip
def test_a_server_that_runs_is_not_to_be_started(state: Any, ref: str, server: str | None, said: str) -> None:
    assert next_step(made(state, ref), server) == said


def test_a_prompt_without_a_server_names_what_it_will_be_asked_as() -> None:
    said = next_step(made("live", "prompt:cars@3"), None)
    assert said.startswith("Answers at /v1/chat/completions, as the model 'cars', once the server is up:")


def test_a_server_is_known_by_its_address_for_as_long_as_it_is_up(cli: Cli) -> None:
    with open_app(make_settings(cli.home)) as app:
        assert server_address(app) is None
        app.store.executors.register("e-0", "server", None)
        assert server_address(app) is None, "it has not begun to listen"
        app.store.executors.register("e-1", "server", HERE)
        assert server_address(app) == HERE
        app.store.executors.release("e-1")
        assert server_address(app) is None
