"""All models by value and risk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.business.portfolio import portfolio
from headrace.app.composition import App, open_app
from headrace.testing import make_project, make_settings
from tests.web.promised import add_promised
from tests.web.seed import seed


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home")) as opened:
        yield opened


def _hoped(app: App, name: str, expected: float, unit: str = "EUR") -> None:
    intake = {"value": {"expected": expected, "unit": unit}}
    app.store.projects.save(replace(make_project(name=name), intake=intake), f"/nowhere/{name}")


@pytest.mark.requirement("ORG-09")
def test_the_most_valuable_comes_first_and_what_was_realised_outweighs_a_promise(app: App) -> None:
    add_promised(app, "measured")
    _hoped(app, "hoped", 20_000)
    _hoped(app, "dreamt", 900_000)
    _hoped(app, "hours", 10**9, "hours")
    app.store.projects.save(make_project(name="unsaid"), "/nowhere/unsaid")
    found = portfolio(app, app.me())
    assert [(one.project, one.rank) for one in found] == [
        ("dreamt", 1), ("measured", 2), ("hoped", 3), ("hours", 1), ("unsaid", None),
    ]  # fmt: skip
    measured = found[1]
    assert measured.conclusion == "above"
    assert measured.worth_a_year is not None
    assert measured.worth_a_year > 12_000 - 8_000, "more than was promised after its cost"
    assert "realised at" in measured.why
    assert "more than promised" in measured.why
    assert found[2].why == "promised 20,000 EUR a year; realised: unmeasured"
    assert "cannot be ranked" in found[-1].why


def test_one_charter_that_cannot_be_read_takes_no_other_line_away(app: App) -> None:
    _hoped(app, "hoped", 20_000)
    kept = replace(make_project(name="older"), intake={"value": {"expected": "much"}})
    app.store.projects.save(kept, "/nowhere/older")
    first, last = portfolio(app, app.me())
    assert (first.project, first.rank) == ("hoped", 1)
    assert (last.project, last.rank, last.promised) == ("older", None, None)
    assert "cannot be read" in last.why


@pytest.mark.requirement("GOV-05")
def test_developed_and_deployed_models_are_shown_with_their_risk(app: App) -> None:
    seed(app)
    app.store.projects.save(make_project(name="loans", risk="high"), "/nowhere/loans")
    found = {one.project: one for one in portfolio(app, app.me())}
    assert set(found) == {"flight-delay", "cars", "tsa-passengers", "loans"}
    assert (found["loans"].risk, found["loans"].stage, found["loans"].live) == ("high", "declare", None)
    flights = found["flight-delay"]
    assert (flights.stage, flights.health, flights.owner) == ("operate", "degraded", "Ada Byron")
