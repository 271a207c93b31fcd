"""Each control is met, assumed, not met or waived, with what it was judged by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.core.project import (
    Column,
    DataGate,
    Gates,
    ModelGate,
    MonitorSpec,
    Owner,
    PrivacySpec,
    Project,
    RolloutSpec,
    Trigger,
)
from headrace.projects.compliance import Compliance, Facts, examine
from headrace.projects.controls import CONTROLS, InForce, house_rules, read_rules
from headrace.testing import make_governance, make_project

ALL = ", ".join(CONTROLS)
RULES = InForce(
    rules=read_rules(
        f"high: {{approvals: 2, controls: [{ALL}]}}\nforbidden_inputs: [Gender]\nlimits: {{min_rows: 20, "
        "max_margin: 0.1, min_confidence: 0.9, max_window_days: 31, max_retention_days: 400}"
    ),
    version=3,
    digest="abc",
    text="",
)
WATCHED = (Trigger(when="drift"), Trigger(when="performance"))
READY = make_project(risk="high", triggers=WATCHED)


def found(project: Project, waived: dict[str, str] | None = None, **facts: Any) -> Compliance:
    known: dict[str, Any] = {"released": True, "commit": "c0ffee", "way_back": True} | facts
    return examine(Facts(project=project, in_force=RULES, **known), waived or {})


def test_a_project_that_keeps_every_rule() -> None:
    seen = found(READY)
    assert {one.status for one in seen.findings} == {"met"}
    assert (seen.tier, seen.approvals, seen.rules_version) == ("high", 2, 3)
    assert seen.violations == []


def data(**changes: Any) -> Project:
    return replace(READY, data=replace(READY.data, **changes))


VIOLATIONS = {
    "accountable-person": replace(READY, owner=Owner(name="", contact="ann@example.org")),
    "answers": replace(READY, governance=make_governance(harms="to be filled")),
    "tier": make_project(
        risk="low", triggers=WATCHED, governance=make_governance(impact="serious", automation="decides")
    ),
    "inputs": data(columns=(Column(name="gender", role="numeric"),)),
    "limits": replace(READY, gates=Gates(data=DataGate(min_rows=5), model=ModelGate(metric="mae"))),
    "documentation": data(documentation=" "),
    "canary": replace(READY, rollout=RolloutSpec(steps=())),
    "confirmed": replace(READY, governance=make_governance(assumed=("scale",))),
    "people-approve": replace(READY, approval="automatic"),
    "watched": replace(READY, triggers=WATCHED[:1]),
    "lawful-basis": replace(READY, privacy=PrivacySpec()),
}


@pytest.mark.requirement("GOV-03")
@pytest.mark.parametrize("control", VIOLATIONS)
def test_what_is_not_met_is_named_with_its_next_step(control: str) -> None:
    seen = found(VIOLATIONS[control])
    assert [one.control for one in seen.violations] == [control]
    assert seen.violations[0].next_step


@pytest.mark.parametrize(
    ("control", "facts"), [("way-back", {"way_back": False}), ("commit", {"commit": None})]
)
def test_what_only_a_release_can_show(control: str, facts: dict[str, Any]) -> None:
    assert [one.control for one in found(READY, **facts).violations] == [control]
    before = found(READY, released=False, **facts)
    assert {one.control for one in before.findings if one.status == "at release"} == {"way-back", "commit"}
    assert before.violations == []


def test_the_first_release_has_nothing_to_go_back_to() -> None:
    assert found(READY, way_back=None).violations == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gates": Gates(data=DataGate(), model=ModelGate(metric="mae", margin=0.5))}, "margin above 0.1"),
        (
            {"gates": Gates(data=DataGate(), model=ModelGate(metric="mae", confidence=0.5))},
            "confidence below",
        ),
        ({"monitors": MonitorSpec(window_s=86_400 * 60)}, "window_s above 31 days"),
        ({"privacy": PrivacySpec(basis="not_personal", retention_days=9999)}, "retention_days above 400"),
    ],
)
def test_no_project_may_be_looser_than_its_workspace(changes: dict[str, Any], said: str) -> None:
    (violation,) = found(replace(READY, **changes)).violations
    assert violation.control == "limits"
    assert said in violation.detail


def test_what_is_said_about_people_must_fit_together() -> None:
    about_people = replace(READY, governance=make_governance(personal_data="personal"))
    (violation,) = found(about_people).violations
    assert violation.control == "lawful-basis"
    assert found(replace(about_people, privacy=PrivacySpec(basis="contract"))).violations == []


@pytest.mark.requirement("GOV-11")
def test_assumptions_are_named_and_a_high_risk_takes_none() -> None:
    governance = make_governance(assumed=("harms", "scale", "contact"))
    house = house_rules()
    medium = make_project(risk="medium", governance=governance)
    seen = examine(Facts(project=medium, in_force=house), {})
    assumed = {one.control for one in seen.findings if one.status == "assumed"}
    assert assumed == {"answers", "tier", "accountable-person"}
    assert seen.violations == []
    high = examine(Facts(project=replace(READY, governance=governance), in_force=house), {})
    assert [one.control for one in high.violations] == ["confirmed"]


@pytest.mark.requirement("GOV-04")
def test_a_waived_control_is_named_with_its_waiver_and_hides_nothing() -> None:
    seen = found(replace(READY, rollout=RolloutSpec(steps=())), {"canary": "w-1"})
    assert seen.violations == []
    (waived,) = (one for one in seen.findings if one.status == "waived")
    assert (waived.control, waived.waiver) == ("canary", "w-1")
    assert "all traffic at once" in waived.detail


def test_a_waiver_of_what_is_met_changes_nothing() -> None:
    assert {one.status for one in found(READY, {"canary": "w-1"}).findings} == {"met"}
