"""The flight check: every item has its own reason to be missing, and says how to tick it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.core.project import (
    DataSpec,
    MonitorSpec,
    Owner,
    PrivacySpec,
    Project,
    RolloutSpec,
    Trigger,
    Value,
)
from headrace.projects.flight import flight_check
from headrace.testing import make_project


def ready() -> Project:
    """A project that lacks nothing."""
    data = DataSpec(source="data/cars.csv", target="price", documentation="from the dealers, weekly")
    return make_project(data=data, triggers=(Trigger(when="drift"),))


def unticked(project: Project, folder: Path | None = None) -> list[str]:
    return [item.name for item in flight_check(project, folder) if not item.ticked]


def test_a_complete_project_has_nothing_left_to_do() -> None:
    items = flight_check(ready())
    assert [item.name for item in items if not item.ticked] == []
    assert {item.next_step for item in items} == {""}


@pytest.mark.requirement("GAT-15")
@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("owner", replace(ready(), owner=Owner(name="", contact="ann@localhost"))),
        ("contact", replace(ready(), owner=Owner(name="Ann", contact="To be filled in"))),
        ("value", replace(ready(), value=Value(hypothesis="to be filled", kpi="margin"))),
        ("kpi", replace(ready(), value=Value(hypothesis="it pays", kpi=" "))),
        ("documentation", replace(ready(), data=DataSpec(source="data/cars.csv", target="price"))),
        ("monitoring", replace(ready(), monitors=MonitorSpec(window_s=0))),
        ("trigger", replace(ready(), triggers=())),
        ("privacy", replace(ready(), privacy=PrivacySpec())),
    ],
)
def test_what_is_missing_is_named_with_its_next_step(name: str, project: Project) -> None:
    assert unticked(project) == [name]
    (item,) = (item for item in flight_check(project) if not item.ticked)
    assert item.next_step


def test_the_items_say_what_is_there() -> None:
    said = {
        item.name: item.detail for item in flight_check(replace(ready(), rollout=RolloutSpec(steps=(5, 100))))
    }
    assert said["rollout"] == "canary at 5 %, 100 %"
    assert said["trigger"] == "drift: warn"
    assert said["monitoring"] == "windows of 7 days"
    assert said["owner"] == "owner 'Ada'"


@pytest.mark.requirement("PRV-07")
def test_the_check_says_what_is_lost_where_inputs_are_not_kept() -> None:
    project = make_project(privacy=PrivacySpec(basis="contract", fields={"model": "hash"}))
    (item,) = (item for item in flight_check(project) if item.name == "privacy")
    assert item.ticked
    assert item.detail.startswith("contract, kept for 365 days; model not kept as they come: no drift")


def test_the_folder_must_hold_tests_and_data(tmp_path: Path) -> None:
    assert unticked(ready(), tmp_path) == ["tests", "source"]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_project.py").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cars.csv").write_text("a\n1\n")
    assert unticked(ready(), tmp_path) == []


def test_a_source_in_code_is_asked_for_as_code(tmp_path: Path) -> None:
    project = replace(ready(), data=replace(ready().data, source="project.py"))
    (missing,) = (item for item in flight_check(project, tmp_path) if item.name == "source")
    assert (missing.ticked, missing.next_step) == (False, "write it")
