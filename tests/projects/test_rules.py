from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.core.project import (
    AlertRoute,
    AlertSpec,
    Column,
    DataSpec,
    Delivery,
    FeatureSpec,
    KpiSpec,
    Owner,
    ReviewSpec,
)
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


def test_a_feature_set_brings_declared_inputs_that_come_from_nowhere_else() -> None:
    inputs = tuple(Column(name=name, role="numeric") for name in ("km", "wind"))
    offers = FeatureSpec(name="offers", source="o.csv", columns=("wind",), key="car", time="since")
    sets = (offers, replace(offers, columns=("rain", "wind")), replace(offers, name="inputs", columns=()))
    data = DataSpec(source="cars.csv", target="price", columns=inputs, features=sets)
    found = {(broken.loc, broken.text) for broken in broken_rules(make_project(data=data))}
    place = ("data", "features")
    assert found == {
        (place, "feature sets are joined at each row's time: name it as data.time"),
        ((*place, 1, "name"), "'offers' is the name of another feature set; give each its own"),
        ((*place, 1, "columns", 0), "'rain' is none of data.columns, which say what each input is"),
        ((*place, 1, "columns", 1), "'wind' comes from 'offers' already"),
        ((*place, 2, "name"), "'inputs' is the name of the project's own table; give each its own"),
        ((*place, 2, "columns"), "name the inputs that come from there"),
    }
    fine = replace(data, time="sold", features=(offers,))
    assert list(broken_rules(make_project(data=fine))) == []
    (key,) = broken_rules(make_project(data=replace(fine, key="wind")))
    assert key.text == "'wind' is a key, a time or the target; it cannot be a feature too"


@pytest.mark.parametrize(
    ("changes", "place", "said"),
    [
        ({"targets": {"max_age_s": 60}}, ("data", "targets", "max_age_s"), "name their column as data.time"),
        (
            {"targets": {"min_rows": -1}},
            ("data", "targets", "min_rows"),
            "min_rows is -1: expected 0",
        ),
        ({"targets": {"max_cost": 5}}, ("data", "targets", "max_cost"), "max_cost needs prices"),
        ({"prices": {"gb": float("nan")}}, ("data", "prices", "gb"), "gb is nan: expected 0 or more"),
    ],
)
def test_targets_that_nothing_can_keep_are_named(
    changes: dict[str, Any], place: tuple[str, ...], said: str
) -> None:
    project = make_project()
    (broken,) = broken_rules(replace(project, data=replace(project.data, time=None, **changes)))
    assert broken.loc == place
    assert said in broken.text


def test_only_an_image_is_recorded_by_its_measures() -> None:
    project = make_project()
    columns = (*project.data.columns, Column(name="photo", role="image"))
    asked = {"photo": "measure", columns[0].name: "measure"}
    privacy = replace(project.privacy, fields=asked)  # type: ignore[arg-type]
    (broken,) = broken_rules(replace(project, data=replace(project.data, columns=columns), privacy=privacy))
    assert broken.loc == ("privacy", "fields", columns[0].name)
    assert "is no image" in broken.text


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        ({"target_days": 0.0}, "target_days is 0.0: expected days, more than 0"),
        ({"stalled_days": float("nan")}, "stalled_days is nan: expected days"),
        ({"machine_hour_price": -1.0}, "machine_hour_price is -1.0: expected a price"),
        ({"person_step_price": float("inf")}, "person_step_price is inf: expected a price"),
    ],
)
def test_a_delivery_that_means_nothing_is_named(delivery: dict[Delivery, float], said: str) -> None:
    (broken,) = broken_rules(make_project(delivery=delivery))
    assert broken.loc == ("delivery", *delivery)
    assert said in broken.text
