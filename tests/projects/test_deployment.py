"""The plan of a deployment: what cannot be, and what was not carried out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.core.canonical import digest_of
from headrace.core.project import DeploymentSpec, RolloutSpec
from headrace.core.release import Rollout
from headrace.projects.deployment import Deployed, differences, wrong_deployment
from headrace.testing import make_project
from headrace.testing.clock import START


def rollout(**changes: Any) -> Rollout:
    made = Rollout(
        release_id="r2", project="cars", champion_id="r1", state="promoted", steps=(10, 50), step=2,
        started_at=START, step_started_at=START,
    )  # fmt: skip
    return replace(made, **changes)


PLAN = DeploymentSpec(target="kubernetes", database="postgres", servers=2, processes=4)
AS_PLANNED = Deployed(target="kubernetes", database="postgres", processes=(4, 4))


@pytest.mark.parametrize(
    ("plan", "key"),
    [
        (DeploymentSpec(servers=0), "servers"),
        (DeploymentSpec(servers=257, database="postgres"), "servers"),
        (DeploymentSpec(processes=0), "processes"),
        (DeploymentSpec(servers=2), "servers"),
    ],
)
def test_a_plan_that_cannot_be_carried_out(plan: DeploymentSpec, key: str) -> None:
    assert [place for place, _ in wrong_deployment(make_project(deployment=plan))] == [("deployment", key)]


def test_what_is_as_planned_differs_in_nothing() -> None:
    project = make_project(deployment=PLAN)
    assert differences(project, AS_PLANNED, rollout()) == []
    assert differences(project, None, None) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "laptop"}, "deployment.target is laptop, planned kubernetes"),
        ({"database": "sqlite"}, "deployment.database is sqlite, planned postgres"),
        ({"processes": (4, 4, 4)}, "deployment.servers is 3, planned 2"),
        ({"processes": (4, 1)}, "deployment.processes is 1, planned 4"),
    ],
)
def test_each_fact_is_compared(change: dict[str, Any], said: str) -> None:
    found = differences(make_project(deployment=PLAN), replace(AS_PLANNED, **change), None)
    assert [str(one) for one in found] == [said]


def test_the_way_that_the_live_release_took_is_compared_with_the_strategy() -> None:
    project = make_project(rollout=RolloutSpec(steps=(5,)))
    assert [str(one) for one in differences(project, None, rollout())] == [
        "rollout.steps is 10 %, 50 %, planned 5 %"
    ]
    assert differences(project, None, rollout(champion_id=None)) == []
    (stands_in,) = differences(project, None, rollout(stands_in=True))
    assert stands_in.found == "none: it stands in"


def test_a_project_that_plans_nothing_is_compared_with_nothing_and_keeps_its_digest() -> None:
    assert differences(make_project(), AS_PLANNED, None) == []
    assert digest_of(make_project()) != digest_of(make_project(deployment=PLAN))
