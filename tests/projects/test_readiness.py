"""What a charter gives points for, and what it names as a gap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.projects.intake import STAGES
from headrace.projects.readiness import AREAS, said, score
from headrace.testing import make_governance, make_project
from tests.projects.test_intake import FULL, full


def test_a_full_intake_has_no_gap_but_what_is_only_half_done() -> None:
    found = said(full(need=FULL["need"] | {"examples": 900}))
    assert {one.name: one.status for one in found if one.status != "there"} == {"people who use it": "partly"}
    assert score(found).points == len(found) - 0.5
    assert {one.area for one in found} == set(AREAS[:5])


def test_of_a_bare_charter_each_gap_has_a_next_step_and_a_place_in_the_framework() -> None:
    found = said(make_project())
    assert all(one.next_step for one in found if one.status != "there")
    assert all(one.rmf.split()[0] in ("GOVERN", "MAP", "MEASURE", "MANAGE") for one in found)
    assert [one.name for one in found if one.status == "partly"] == list(STAGES)


@pytest.mark.parametrize(
    ("organisation", "status"),
    [({}, "not answered"), ({"labels": "none"}, "missing"), ({"labels": "routine"}, "there")],
)
def test_readiness_of_the_organisation_is_what_was_answered(
    organisation: dict[str, Any], status: str
) -> None:
    found = {one.name: one.status for one in said(full(organisation=organisation))}
    assert found["labels"] == status


def test_what_is_assumed_counts_half() -> None:
    governance = replace(make_governance(), assumed=("kpi",))
    found = {one.name: one.status for one in said(make_project(governance=governance))}
    assert (found["hypothesis"], found["KPI"]) == ("there", "partly")


def test_a_rule_that_would_do_is_a_gap() -> None:
    found = {one.name: one for one in said(full(need=FULL["need"] | {"rules": "all"}))}
    assert found["problem fit"].status == "partly"
    assert "add the simpler way as a variant" in found["problem fit"].next_step
