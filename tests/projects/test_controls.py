"""The rules of a workspace: what it does not name is inherited, and what contradicts itself is refused."""

from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.projects.compliance import Facts, examine
from headrace.projects.controls import ALWAYS, CONTROLS, house_rules, read_rules
from headrace.projects.risk import TIERS
from headrace.testing import make_project


def test_headraces_own_rules_get_stricter_with_the_tier() -> None:
    rules = house_rules().rules
    tiers = [set(rules.tier(risk).controls) for risk in TIERS]
    assert tiers[0] < tiers[1] < tiers[2]
    assert [rules.tier(risk).approvals for risk in TIERS] == [1, 1, 2]


@pytest.mark.requirement("GOV-17")
def test_a_workspaces_text_changes_what_it_names_and_inherits_the_rest() -> None:
    rules = read_rules("forbidden_inputs: [gender]\nlow: {approvals: 2, controls: [commit]}\n"
                       "medium: {approvals: 2, controls: [commit]}\n")  # fmt: skip
    assert rules.forbidden_inputs == ("gender",)
    assert rules.tier("low").approvals == 2
    assert set(rules.tier("low").controls) == {*ALWAYS, "commit"}, "these cannot be taken away"
    assert rules.tier("high") == house_rules().rules.tier("high")
    assert rules.limits == house_rules().rules.limits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text of the rules is empty"),
        ("forbiden_inputs: [gender]", "line 1, column 1: unknown key 'forbiden_inputs'"),
        ("low: {controls: [magic]}", "line 1, column 18: 'magic' is no control"),
        ("high: {approvals: 0}", "line 1, column 8: approvals is 0: expected 1 to 5"),
        ("high: {approvals: 50}", "approvals is 50"),
        ("low: {controls: [canary]}\nmedium: {controls: [documentation]}", "medium lacks canary"),
        ("low: {approvals: 2}\nmedium: {approvals: 1}", "medium asks for fewer than 2 approvals"),
        ("limits: {min_rows: many}", "limits.min_rows: .*integer"),
        ("low: [", "is not YAML"),
    ],
)
def test_rules_that_cannot_be_used_are_refused_with_their_place(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_rules(text)


def test_every_control_is_looked_at() -> None:
    rules = read_rules(f"high: {{approvals: 2, controls: [{', '.join(CONTROLS)}]}}")
    in_force = type(house_rules())(rules=rules, version=1, digest="d", text="")
    found = examine(Facts(project=make_project(risk="high"), in_force=in_force), {})
    assert {one.control for one in found.findings} == set(CONTROLS)
