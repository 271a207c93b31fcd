from __future__ import annotations

from typing import Any

import pytest

from headrace.core.project import AlertRoute, AlertSpec, KpiSpec, Owner, ReviewSpec
from headrace.projects.rules import broken_rules
from headrace.testing import make_project


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ({"channels": ("Ops Room",)}, "'Ops Room' is no channel's name"),
        ({"routes": (AlertRoute(kind="drift", channels=("ops",)),)}, "'drift' is no kind of finding"),
        ({"routes": (AlertRoute(above=-0.1, channels=("ops",)),)}, "alerts.routes.0.above is -0.1"),
        ({"routes": (AlertRoute(channels=("o-s",)),)}, "'o-s' is no channel's name"),
    ],
)
def test_alerts_that_could_not_be_told_are_named(alerts: dict[str, Any], said: str) -> None:
    (broken,) = broken_rules(make_project(alerts=AlertSpec(**alerts)))
    assert said in broken.text
    assert broken.loc[0] == "alerts"


def test_the_team_can_be_called() -> None:
    (broken,) = broken_rules(make_project(team=(Owner(name="Ben", contact="ask around"),)))
    assert broken.loc == ("team", 0, "contact")


def test_a_kpi_has_a_name_of_its_own_and_events_that_count() -> None:
    kpis = (
        KpiSpec(name="conversion", event="bought"),
        KpiSpec(name="conversion", event="bought"),
        KpiSpec(name="no name", event="paid"),
        KpiSpec(name="revenue", measure="per_answer"),
        KpiSpec(name="deviation", measure="deviation"),
    )
    found = [(broken.loc, broken.text) for broken in broken_rules(make_project(kpis=kpis))]
    assert found == [
        (("kpis", 1, "name"), "'conversion' is listed twice"),
        (("kpis", 2, "name"), "expected a KPI's name"),
        (("kpis", 3, "event"), "name the events that count, such as paid"),
    ]


@pytest.mark.parametrize("days", [0, -1, 1097])
def test_a_review_is_asked_for_within_three_years(days: int) -> None:
    (broken,) = broken_rules(make_project(review=ReviewSpec(every_days=days)))
    assert broken.loc == ("review", "every_days")
    assert f"is {days}: expected 1 to 1096 days" in broken.text
    assert list(broken_rules(make_project(review=ReviewSpec(every_days=1096)))) == []
