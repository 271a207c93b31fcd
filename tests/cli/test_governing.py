"""Rules, waivers and the catalogue on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.app.operations import declare
from headrace.core.project import ReviewSpec
from headrace.projects.charter import load_project
from headrace.testing import make_project, make_settings
from tests.app.fleet import add_model
from tests.cli.conftest import Cli
from tests.cli.test_doing import TABLE

ANSWERS = (
    "--affected", "buyers", "--harms", "a wrong price", "--fairness", "cars only", "--security", "none known",
)  # fmt: skip


@pytest.fixture
def table() -> Path:
    path = Path("cars.csv")
    path.write_text(TABLE)
    return path


@pytest.mark.requirement("GOV-11")
def test_init_takes_the_answers_and_lists_what_it_assumed(cli: Cli, table: Path) -> None:
    made = ("init", "cars", "--data", str(table), "--target", "price", *ANSWERS)
    ended = cli(*made, "--answer", "impact=material", "--contact", "ann@example.org")
    assert ended.code == 0, ended.error
    charter = Path("cars/headrace.yaml").read_text()
    assert 'affected: "buyers"' in charter
    assert "impact: material" in charter
    assert "assumed: [hypothesis, kpi, need, automation, scale, reversible, personal_data]" in charter


@pytest.mark.requirement("GOV-11")
@pytest.mark.requirement("GOV-12")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--risk", "high"), "A high risk takes no assumptions about people. Answer them: --affected"),
        (("--answer", "impact"), "Expected NAME=VALUE"),
        (("--answer", "impact=huge"), "Expected one of minor, material, serious"),
        (("--contact", "ask around"), "e-mail address, a URL or a telephone number"),
    ],
)
def test_init_refuses_what_it_cannot_use(cli: Cli, table: Path, more: tuple[str, ...], message: str) -> None:
    ended = cli("init", "cars", "--data", str(table), "--target", "price", *more)
    assert ended.code == 2
    assert message in ended.error
    assert not Path("cars").exists()


@pytest.mark.requirement("GOV-03")
@pytest.mark.requirement("GOV-17")
def test_check_holds_the_project_against_the_rules_of_its_workspace(
    cli: Cli, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("init", "cars", "--data", str(table), "--target", "price")
    Path("rules.yaml").write_text("forbidden_inputs: [YEAR]\n")
    assert cli("access", "user", "add", "vic", "--role", "validator").code == 0
    shown = cli("project", "controls", "show", "--json").json
    assert (shown["version"], shown["rules"]["high"]["approvals"]) == (0, 2)
    proposed = cli("project", "controls", "propose", "rules.yaml")
    assert "Next: headrace project controls approve 1 --as NAME" in proposed.out
    assert cli("project", "controls", "approve", "1").code == 2, "not one's own"
    assert cli("project", "controls", "approve", "1", "--as", "vic").code == 0
    assert cli("project", "controls", "ls", "--json").json[0]["state"] == "live"
    assert cli("project", "controls", "show").out.startswith("# version 1")
    assert cli("project", "controls", "show", "1").out == "forbidden_inputs: [YEAR]\n"
    assert cli("project", "controls", "show", "0", "--json").json["state"] == "superseded"
    assert "-forbidden_inputs: [YEAR]" in cli("project", "controls", "diff", "0").out
    assert cli("project", "controls", "diff", "1").out == "Nothing.\n"
    back = cli("project", "controls", "revert", "--json").json
    assert (back["version"], back["comment"]) == (2, "back to version 0, the default")
    monkeypatch.chdir("cars")
    checked = cli("check")
    assert checked.code == 3
    assert "not met    inputs             inputs: year" in checked.out
    assert "next: give year the role ignored" in checked.out
    found = cli("check", "--json").json["compliance"]["findings"]
    assert {one["control"]: one["status"] for one in found}["inputs"] == "not met"


def test_rules_that_cannot_be_read_are_refused(cli: Cli) -> None:
    assert "cannot be read" in cli("project", "controls", "propose", "gone.yaml").error
    Path("rules.yaml").write_text("low: {controls: [magic]}\n")
    assert (
        "line 1, column 18: 'magic' is no control"
        in cli("project", "controls", "propose", "rules.yaml").error
    )


@pytest.mark.requirement("GOV-04")
def test_a_waiver_from_wish_to_end(cli: Cli, table: Path) -> None:
    cli("init", "cars", "--data", str(table), "--target", "price")
    with open_app(make_settings(cli.home)) as app:
        declare(app, app.me(), Path("cars"))
        app.identities.add("grace", ["validator"], actor="ada")
    asked = cli("project", "waive", "cars", "--rule", "gate:flight_check", "--reason", "r", "--size", "small")
    assert asked.code == 4, asked.error
    assert "It needs one validator. Next: headrace project agree" in asked.error
    one = next(w for w in cli("project", "waivers", "cars", "--json").json if w["waiver"]["reason"] == "r")
    number = one["waiver"]["id"]
    assert cli("project", "agree", number).code == 2
    agreed = cli("project", "agree", number, "--as", "grace", "--json")
    assert (agreed.code, agreed.json["state"]) == (0, "granted"), agreed.error
    assert "yes" in cli("project", "waivers").out
    assert cli("project", "unwaive", number).out == f"Waiver {number} of gate:flight_check is ended.\n"
    again = cli("project", "waive", "cars", "--rule", "gate:model", "--reason", "r2")
    other = next(w for w in cli("project", "waivers", "--json").json if w["waiver"]["reason"] == "r2")
    assert again.code == 4
    refused = cli("project", "refuse", other["waiver"]["id"], "--as", "grace", "--comment", "no")
    assert "is refused" in refused.out
    assert "cannot be waived" in cli("project", "waive", "cars", "--rule", "x", "--reason", "r").error


@pytest.mark.requirement("DAT-02")
def test_a_source_is_found_shown_and_read(full: Cli) -> None:
    listed = full("data", "catalogue", "--json").json
    assert "cars" in [one["name"] for one in listed]
    assert full("data", "catalogue", "no", "such", "words").out.startswith("No data source")
    assert "ask " in full("data", "show", "cars").out
    assert full("data", "show", "cars", "--json").json["owner"] == "Ada"
    assert full("data", "read", "gone").code == 2


@pytest.mark.requirement("GOV-12")
def test_whom_to_call(full: Cli) -> None:
    assert full("project", "owner", "project:cars").out == "project:cars: call Ada at ada@example.org\n"
    assert full("project", "owner", "project:cars", "--json").json["contact"] == "ada@example.org"


@pytest.mark.requirement("GOV-15")
def test_a_review_is_recorded_and_listed(cli: Cli, tmp_path: Path) -> None:
    with open_app(make_settings(cli.home)) as app:
        app.identities.add("grace", ["validator"], actor=app.me().name)
        project = make_project(review=ReviewSpec(every_days=30))
        live = add_model(app, project, app.clock.now())
    assert "overdue" in cli("release", "reviews").out, "it went live 80 days ago"
    said = ("--as", "grace", "--looked-at", "drift is small")
    assert cli("release", "review", live[:30], "--outcome", "fine", *said).code == 2
    made = cli("release", "review", live, "--outcome", "fit", *said)
    assert made.code == 0, made.error
    assert "cars@1 was found fit by grace" in made.out
    assert "Attached: 0 findings, 4 measurements." in made.out
    found = cli("release", "reviews", "cars", "--json").json
    assert (found["due"][0]["overdue"], found["reviews"][0]["looked_at"]) == (False, "drift is small")
    assert "drift is small" in cli("release", "reviews", "cars").out


@pytest.mark.requirement("TPL-09")
def test_an_engineer_is_guided_to_algorithms_evaluation_and_monitoring_and_told_why(
    cli: Cli, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ("init", "cars", "--data", str(table), "--target", "price")
    assert cli(*usual).code == 0
    guided = ("--explain", "yes", "--truth", "none", "--answers", "40")
    ended = cli("init", "vans", *usual[2:], *guided)
    assert ended.code == 0, ended.error
    cars, vans = (load_project(Path(name)) for name in ("cars", "vans"))
    assert [one.trainer for one in cars.variants] == ["baseline", "linear", "lightgbm"]
    assert [one.trainer for one in vans.variants] == ["baseline", "linear"], "a weighted sum explains itself"
    assert vans.monitors.window_s == 8 * 86_400, "300 answers at 40 a day"
    assert vans.rollout.min_requests == 7
    assert "performance" in {one.when for one in cars.triggers}
    assert {one.when for one in vans.triggers} == {"drift", "schedule", "code"}, (
        "there is no truth to wait for"
    )
    for said in (
        "algorithm: linear. Because adds up",
        "evaluation: mae. Because",
        "windows of 8 days",
        "no trees",
    ):
        assert said in ended.out
    refused = cli("init", "bikes", *usual[2:], "--explain", "perhaps")
    assert (refused.code, Path("bikes").exists()) == (2, False)
    assert "Expected yes or no" in refused.error
    monkeypatch.chdir("vans")
    listed = cli("project", "choices", "--json").json
    assert {one["about"] for one in listed} == {"algorithm", "evaluation", "monitoring", "rollout"}
    assert "lightgbm" not in {one["chosen"] for one in listed}
    assert all(one["why"] and one["key"] for one in listed)
