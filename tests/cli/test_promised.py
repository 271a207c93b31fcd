"""What a project is to be worth, and whether it keeps that, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.testing import make_settings
from tests.cli.conftest import Cli, Ended
from tests.cli.test_doing import TABLE
from tests.web.promised import add_promised


def test_fit_asks_for_what_it_does_not_know_and_says_what_fits(cli: Cli) -> None:
    unknown = cli("project", "fit").out
    assert unknown.startswith("It cannot be said yet.")
    assert "--rules: how much of it can an expert write down" in unknown
    found = cli("project", "fit", "--output", "number", "--examples", "900", "--json").json
    assert found["recommendation"]["approach"] == "classical"
    assert found["recommendation"]["missing"] == ["rules"]


def test_in_a_project_fit_reads_the_charter_and_options_answer_otherwise(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("cars.csv").write_text(TABLE)
    assert cli("init", "cars", "--data", "cars.csv", "--target", "price").code == 0
    monkeypatch.chdir("cars")
    said = cli("project", "fit", "--examples", "900", "--json").json
    assert said["problem"]["output"] == "number"
    assert cli("project", "fit", "--rules", "all").out.startswith("A rule fits.")


def test_readiness_and_the_map_are_printed_and_as_json(full: Callable[..., Ended]) -> None:
    said = full("project", "readiness", "flight-delay")
    assert "flight-delay (model:flight-delay@2): " in said.out
    assert "evaluation, fairness: no groups are compared" in said.out
    found = full("project", "readiness", "flight-delay", "--json").json
    assert found["total"]["of"] == len(found["aspects"])
    assert found["gaps"] == sum(one["status"] != "there" for one in found["aspects"])
    stages = full("project", "map", "--json").json["stages"]
    assert sum(stage["n_projects"] for stage in stages) == 3
    assert "STAGE" in full("project", "map").out


def test_value_says_why_it_cannot_be_told(full: Callable[..., Ended]) -> None:
    said = full("project", "value", "flight-delay")
    assert said.out == "flight-delay: unmeasured. no number is expected: say how much in intake.value.\n"
    assert full("project", "value", "flight-delay", "--json").json["conclusion"] == "unmeasured"


def test_value_is_printed_by_month(cli: Cli) -> None:
    with open_app(make_settings(cli.home)) as opened:
        add_promised(opened)
    said = cli("project", "value", "promised").out
    assert said.startswith("promised: more than expected. ")
    assert "In EUR; intervals hold at 90% for one look." in said
    assert len(cli("project", "value", "promised", "--json").json["months"]) == 4


def test_the_portfolio_is_printed_with_risk_and_reason(full: Callable[..., Ended]) -> None:
    assert "cannot be ranked" in full("project", "portfolio").out
    assert {one["risk"] for one in full("project", "portfolio", "--json").json} <= {"low", "medium", "high"}
