"""What a use case is admitted on, and how its section of the charter is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import GateFailed, InvalidInput
from headrace.core.project import Governance, KpiSpec, Owner, Project, Value
from headrace.projects.charter import load_project, project_schema
from headrace.projects.intake import (
    STAGES,
    Alternative,
    ValueCase,
    intake_mistakes,
    intake_of,
    need_gaps,
    not_admitted,
    read_expected,
    require_admission,
)
from headrace.projects.questions import promised
from headrace.projects.readiness import said, score
from headrace.projects.stages import CRITERIA, stages_of
from headrace.store.documents import to_plain
from headrace.testing import make_governance, make_project
from tests.projects.test_charter import GOOD as PLAIN

FULL: dict[str, Any] = {
    "value": {"expected": 12000, "unit": "EUR", "months": 12, "cost": 8000, "kpi": "sold", "worth": 35},
    "need": {
        "why": "A table of list prices misses by 30 %.",
        "complexity": "low",
        "alternatives": [{"name": "list price", "kind": "rule", "reached": "MAE 2100 EUR"}],
        "rules": "some",
    },
    "stages": [
        {"stage": stage, "business": "Ada", "engineering": "Ben", "handoff": ["Both have said yes."]}
        for stage in STAGES
    ],
    "organisation": {
        "data": "automatic",
        "labels": "routine",
        "process": "measured",
        "people": "informed",
        "after": "team",
    },
    "ai_act": "minimal",
    "ai_act_because": "It prices cars; it is in none of the areas of annex III.",
}


def full(**changes: Any) -> Project:
    """A project that says all that can be asked."""
    return make_project(
        team=(Owner(name="Ben", contact="ben@example.org"),),
        kpis=(KpiSpec(name="sold", event="sold"), KpiSpec(name="apart", measure="deviation")),
        intake=FULL | changes,
    )


def test_a_full_intake_reads_as_it_was_written() -> None:
    assert list(intake_mistakes(full())) == []
    found = intake_of(full())
    assert found.value == ValueCase(
        expected=12000, unit="EUR", months=12, cost=8000, kpi="sold", worth=35, without=0
    )
    assert found.value.roi == 0.5
    assert found.need is not None
    assert found.need.alternatives[0].reached == "MAE 2100 EUR"
    assert found.organisation.people == "informed"


@pytest.mark.parametrize(
    ("changes", "loc", "text"),
    [
        ({"value": FULL["value"] | {"expected": 0}}, ("value", "expected"), "expected a number above 0"),
        ({"value": FULL["value"] | {"months": 0}}, ("value", "months"), "expected 1 to 120"),
        ({"value": FULL["value"] | {"unit": " "}}, ("value", "unit"), "name the unit"),
        ({"value": FULL["value"] | {"worth": 0}}, ("value", "worth"), "a number other than 0"),
        ({"value": FULL["value"] | {"kpi": "paid"}}, ("value", "kpi"), "none of kpis (known: sold, apart)"),
        ({"value": FULL["value"] | {"kpi": "apart"}}, ("value", "kpi"), "worth nothing by itself"),
        ({"value": FULL["value"] | {"expected": "much"}}, ("value", "expected"), "got 'much'"),
        ({"values": {}}, ("values",), "unknown key 'intake.values' (known here: ai_act"),
        ({"need": FULL["need"] | {"why": ""}}, ("need", "why"), "why something simpler"),
        ({"need": {"why": "x", "complexity": "huge"}}, ("need", "complexity"), "got 'huge'"),
        (
            {"need": FULL["need"] | {"alternatives": [{"name": "a", "kind": "rule", "reached": ""}]}},
            ("need", "alternatives", 0, "reached"), "say what it reached",
        ),
        (
            {"stages": [FULL["stages"][0] | {"engineering": "Zoe"}]},
            ("stages", 0, "engineering"), "'Zoe' is neither the owner nor in the team (known: Ada, Ben)",
        ),
        ({"stages": [FULL["stages"][0]] * 2}, ("stages", 1, "stage"), "'declare' is listed twice"),
        ({"ai_act": "high"}, ("ai_act",), "set risk: high"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(
    changes: dict[str, Any], loc: tuple[str | int, ...], text: str
) -> None:
    found = list(intake_mistakes(full(**changes)))
    assert [one.loc for one in found] == [("intake", *loc)]
    assert text in found[0].text


def test_in_a_charter_a_mistake_has_line_and_column(tmp_path: Path) -> None:
    text = PLAIN + "intake:\n  value: {expected: 5, unit: EUR,\n    kpi: paid}\n  mood: good\n"
    (tmp_path / "headrace.yaml").write_text(text, encoding="utf-8")
    n_lines = len(PLAIN.splitlines())
    with pytest.raises(InvalidInput) as caught:
        load_project(tmp_path)
    assert f"line {n_lines + 3}, column 5: 'paid' is none of kpis" in str(caught.value)
    assert f"line {n_lines + 4}, column 3: unknown key 'intake.mood'" in str(caught.value)


def test_editors_know_the_section() -> None:
    schema = project_schema()
    assert "ai_act" in schema["properties"]["intake"]["properties"]
    assert "ValueCase" in schema["$defs"]


@pytest.mark.requirement("ORG-03")
@pytest.mark.parametrize("name", ["hypothesis", "kpi"])
@pytest.mark.parametrize(
    "placeholder",
    ["", "to be filled", "Assumed: it pays.", "Knowing y is worth acting on; edit: what is it worth?"],
)
def test_nothing_is_trained_before_somebody_says_what_it_is_worth(name: str, placeholder: str) -> None:
    said = {"hypothesis": "Fair prices sell.", "kpi": "days on the lot"} | {name: placeholder}
    project = make_project(value=Value(**said))
    with pytest.raises(GateFailed, match=f"not admitted to training(.|\n)*value.{name}.*Next: write"):
        require_admission(project)
    require_admission(make_project())


def test_what_is_listed_as_assumed_admits_a_low_and_a_medium_risk_but_no_high_one() -> None:
    promise = promised({}, target="price", metric="mae", risk="medium")
    assert promise.assumed == ("hypothesis", "kpi", "need")
    governance = replace(make_governance(), assumed=promise.assumed)
    project = make_project(
        value=Value(hypothesis=promise.hypothesis, kpi=promise.kpi), governance=governance, risk="medium"
    )
    assert not_admitted(project) == []
    names = [gap.name for gap in not_admitted(replace(project, risk="high"))]
    assert names[:2] == ["value.hypothesis", "value.kpi"]
    unlisted = replace(project, governance=make_governance())
    assert [gap.text for gap in not_admitted(unlisted)] == ["a placeholder", "a placeholder"]


def test_a_high_risk_says_how_much_why_who_and_of_which_class() -> None:
    grave = replace(full(ai_act="high"), risk="high")
    assert not_admitted(grave) == []
    bare = [gap.name for gap in not_admitted(replace(grave, intake={}))]
    assert bare == ["intake.value", "intake.stages", "intake.ai_act", "intake.need", "intake.organisation"]
    half = not_admitted(replace(grave, intake=grave.intake | {"stages": FULL["stages"][:2]}))
    assert [gap.text for gap in half] == ["nobody named for prove, approve, roll out, operate"]


@pytest.mark.requirement("ORG-15")
@pytest.mark.parametrize("advanced", [{"complexity": "high"}, {"output": "text"}, {"output": "actions"}])
def test_advanced_ai_waits_until_the_organisation_has_been_assessed(advanced: dict[str, str]) -> None:
    plain = full(organisation={})
    require_admission(plain)
    project = full(organisation={}, need=FULL["need"] | advanced)
    with pytest.raises(GateFailed, match="no answer: data, labels, process, people, after"):
        require_admission(project)
    half = FULL["organisation"] | {"process": None}
    (gap,) = not_admitted(full(organisation=half, need=FULL["need"] | advanced))
    assert (gap.name, gap.text) == ("intake.organisation", "no answer: process")
    assessed = full(need=FULL["need"] | advanced)
    require_admission(assessed)
    for answer in ("data", "process"):
        lacking = {"data": "none", "process": "ad_hoc"}[answer]
        poor = full(need=FULL["need"] | advanced, organisation=FULL["organisation"] | {answer: lacking})
        found = {one.name: one for one in said(poor) if one.area == "organisation"}
        before = {one.name: one for one in said(assessed) if one.area == "organisation"}
        assert score([*found.values()]).points < score([*before.values()]).points, "the assessment says it"


def test_a_practice_that_the_law_forbids_is_not_admitted_at_any_risk() -> None:
    (gap,) = not_admitted(full(ai_act="prohibited"))
    assert gap.name == "intake.ai_act"


@pytest.mark.parametrize(
    "text", ["a lot", "12 EUR", "0 EUR in 12 months", "5 EUR in 0 months", "-5 EUR in 1 month"]
)
def test_an_expected_value_is_a_number_a_unit_and_a_time(text: str) -> None:
    with pytest.raises(InvalidInput, match="12000 EUR in 12 months"):
        read_expected(text)
    assert read_expected(" 2.5 hours a week in 1 month ") == ValueCase(
        expected=2.5, unit="hours a week", months=1
    )


def test_a_high_risk_is_not_begun_without_a_stated_value() -> None:
    with pytest.raises(InvalidInput, match="--kpi TEXT --expected TEXT --why TEXT"):
        promised({"value": "fair prices"}, target="price", metric="mae", risk="high")


@pytest.mark.requirement("ORG-05")
@pytest.mark.parametrize(
    ("need", "gaps"),
    [
        (None, ["intake.need"]),
        (FULL["need"] | {"why": "Assumed: it is hard."}, ["intake.need.why"]),
        (FULL["need"] | {"alternatives": []}, ["intake.need.alternatives"]),
        (FULL["need"], []),
    ],
)
def test_why_a_model_and_what_simpler_was_considered_is_said_before_the_first_build(
    need: dict[str, Any] | None, gaps: list[str]
) -> None:
    project = full(need=need)
    medium, low = replace(project, risk="medium"), replace(project, risk="low")
    high = replace(full(need=need, ai_act="high"), risk="high")
    assert [one.name for one in need_gaps(project)] == gaps
    for graver in (medium, high):
        if not gaps:
            require_admission(graver, is_first=True)
            continue
        with pytest.raises(GateFailed, match="model, is not said") as refused:
            require_admission(graver, is_first=True)
        assert all(f"{gap}: " in str(refused.value) for gap in gaps)
    require_admission(low, is_first=True)
    require_admission(medium, is_first=False)
    for one in (low, medium, high):
        shown = {aspect.name: aspect for aspect in said(one) if aspect.area == "need"}
        missing = [name for name in ("why a model", "alternatives") if shown[name].status != "there"]
        assert bool(missing) == bool(gaps), "the gap is shown at every tier"
        assert all(shown[name].next_step for name in missing)


@pytest.mark.requirement("ORG-05")
def test_what_init_has_assumed_of_the_need_is_shown_as_assumed_and_no_high_risk_is_begun_on_it() -> None:
    promise = promised({}, target="price", metric="mae", risk="medium")
    assert promise.need.why.startswith("Assumed: ")
    assert [one.name for one in promise.need.alternatives] == ["the simplest model"]
    project = full(need=to_plain(promise.need))
    project = replace(project, governance=replace(make_governance(), assumed=promise.assumed))
    require_admission(replace(project, risk="medium"), is_first=True)
    found = {one.name: one for one in said(project)}
    assert (found["why a model"].status, found["why a model"].evidence) == (
        "partly",
        "assumed by headrace init",
    )
    assert [gap.name for gap in need_gaps(replace(project, risk="high"))] == ["intake.need.why"]
    unlisted = replace(project, governance=make_governance())
    assert [gap.text for gap in need_gaps(unlisted)] == ["a placeholder"]


def test_a_simpler_way_is_a_kind_a_name_and_what_it_reached() -> None:
    given = {"why": "prices miss", "complexity": "high", "simpler": "rule list price: MAE 2100 EUR"}
    need = promised(given, target="price", metric="mae", risk="medium").need
    assert (need.why, need.complexity) == ("prices miss", "high")
    assert need.alternatives[0] == Alternative(name="list price", kind="rule", reached="MAE 2100 EUR")
    for text in ("list price: MAE 2100", "rule list price", "rule : MAE 2100"):
        with pytest.raises(InvalidInput, match="'rule list price: MAE 2100 EUR'. Kinds: nothing, people"):
            promised(given | {"simpler": text}, target="price", metric="mae", risk="medium")
    with pytest.raises(InvalidInput, match="Expected one of low, medium, high"):
        promised(given | {"complexity": "huge"}, target="price", metric="mae", risk="medium")


@pytest.mark.requirement("ORG-02")
def test_every_stage_has_owners_from_both_sides_and_criteria_for_its_hand_off() -> None:
    assert set(CRITERIA) == set(STAGES)
    for project, named in ((make_project(), False), (full(), True)):
        stages = stages_of(project)
        assert [stage.name for stage in stages] == list(STAGES)
        assert all(stage.named is named for stage in stages)
        assert all(stage.business and stage.engineering and stage.checked for stage in stages)
    assert stages_of(full())[0].engineering == "Ben"
    assert stages_of(full())[0].agreed == ("Both have said yes.",)


def test_what_stood_in_a_store_before_has_no_intake() -> None:
    assert intake_of(make_project()).value is None
    assert Governance().assumed == ()
