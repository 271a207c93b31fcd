"""Commands that only read: what they print as JSON and as text, in a full home and in an empty one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Cli, Ended
from tests.web.seed import AUDITOR, VIEWER, Seeded

Full = Callable[..., Ended]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ("release ls", {"id", "project", "digest", "manifest", "state", "author", "created_at", "reason"}),
        ("model ls flight-delay", set()),
        ("model runs flight-delay", {"id", "variant", "state", "metrics", "error", "package", "timings_s"}),
        ("monitor findings flight-delay", {"id", "kind", "title", "evidence", "size", "window", "feature"}),
        ("monitor performance flight-delay", {"name", "value", "n_rows", "window", "interval", "release_id"}),
        ("monitor estimates flight-delay", {"name", "value", "n_rows", "window", "interval", "detail"}),
        ("project ls", {"name", "task", "owner", "gates", "variants", "rollout", "monitors", "triggers"}),
        (
            "project lead-times",
            {"project", "releases", "typical_s", "stages", "target_s", "late", "replacements", "stalled"},
        ),
        ("data ls flight-delay", {"id", "digest", "raw", "n_rows", "columns", "source"}),
        ("access user ls", {"name", "kind", "roles", "created_at"}),
    ],
)
def test_a_list_is_a_json_list_of_records(full: Full, arguments: str, keys: set[str]) -> None:
    ended = full(*arguments.split(), "--json")
    assert ended.code == 0, ended.error
    assert isinstance(ended.json, list)
    assert all(keys <= set(record) for record in ended.json)
    assert ended.json or not keys


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("release ls", "SUBJECT"),
        ("release ls cars", "model:cars@1"),
        ("model runs flight-delay", "lightgbm"),
        ("monitor findings flight-delay", "data_drift"),
        ("monitor findings flight-delay", "data_drift       an input no longer looks as it did in training"),
        (
            "monitor findings cars",
            "Inputs are not compared yet: none of its windows has closed. A window closes when",
        ),
        (
            "monitor findings tsa-passengers",
            "Nothing of tsa-passengers is live, so that nothing is watched.",
        ),
        ("monitor performance flight-delay", "90 % INTERVAL"),
        ("monitor estimates flight-delay", "no: 14 % of the rows"),
        ("monitor traffic flight-delay", "departure-board"),
        ("monitor answers flight-delay", "No full hour of answers has been looked at yet."),
        ("monitor segments flight-delay", "origin: JFK"),
        ("monitor segments tsa-passengers", "Nothing was measured by segment"),
        ("monitor trends flight-delay", "CHANGE A WINDOW"),
        ("monitor trends tsa-passengers", "No trend yet"),
        ("serve level", "No full hour has been counted yet"),
        ("release reviews", "Nothing live is reviewed"),
        ("project ls", "tsa-passengers"),
        ("project lead-times", "BY PEOPLE"),
        ("project lead-times tsa-passengers", "No release yet"),
        ("project lead-times --stalled-days 1e-9", "flight-delay has stalled: flight-delay@4 is in 'decide'"),
        ("data ls flight-delay", "ROWS"),
        ("access user ls", "validator"),
        ("status", "flight-delay"),
    ],
)
def test_a_list_is_a_table_for_people(full: Full, arguments: str, shown: str) -> None:
    ended = full(*arguments.split())
    assert ended.code == 0, ended.error
    assert shown in ended.out


def test_one_release_with_all_its_evidence(full: Full, known: Seeded) -> None:
    report: dict[str, Any] = full("release", "show", known.live, "--json").json
    assert set(report) >= {"release", "verdicts", "approvals", "rollout"}
    assert report["release"]["id"] == known.live
    assert all(verdict["outcome"] == "passed" for verdict in report["verdicts"])
    assert report["approvals"][0]["approver"] == "grace"
    assert report["approvals"][0]["digest"] == report["release"]["digest"]
    text = full("release", "show", report["release"]["digest"][:10]).out
    assert report["release"]["digest"] in text
    assert "by grace at" in text
    for verdict in report["verdicts"]:
        assert verdict["gate"] in text


def test_only_one_project_when_asked(full: Full) -> None:
    assert {release["project"] for release in full("release", "ls", "cars", "--json").json} == {"cars"}


def test_status_says_what_is_live_and_what_waits(full: Full, known: Seeded) -> None:
    said = full("status", "--json").json
    assert said["server"] is None
    glances = {glance["name"]: glance for glance in said["projects"]}
    assert glances["flight-delay"]["live_id"] == known.live
    assert glances["flight-delay"]["waiting"] == [known.waiting]
    assert glances["tsa-passengers"]["live"] is None
    assert next(glance["name"] for glance in said["projects"]) == "flight-delay", "a person is needed there"
    text = full("status").out
    assert "Models   1 needs someone, 1 is watched, 0 are fine, 1 is not live" in text
    assert "flight-delay@4 waits for a decision (and 1 more)" in text
    assert glances["cars"]["uncompared"] == "inputs are not compared yet: none of its windows has closed"
    assert glances["flight-delay"]["uncompared"] == glances["tsa-passengers"]["uncompared"] == ""
    found = full("status", "no-such-word").out
    assert "No project is like that." in found
    assert "flight-delay" not in full("status", "--state", "watch").out
    assert full("status", "--state", "ill").code == 2


def test_the_audit_log_is_for_auditors(full: Full) -> None:
    entries = full("audit", "ls", "--as", AUDITOR, "--json").json
    numbers = [entry["sequence"] for entry in entries]
    assert numbers == sorted(numbers)
    assert (
        full("audit", "ls", "--limit", "2", "--as", AUDITOR, "--json").json == entries[-2:]
        or len(entries) == 50
    )
    assert full("audit", "verify", "--as", AUDITOR, "--json").json["intact"] is True
    assert "chain intact" in full("audit", "verify", "--as", AUDITOR).out
    refused = full("audit", "ls", "--as", VIEWER)
    assert refused.code == 2
    assert "audit.read" in refused.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("release", "show", "nonsense"), "There is no release 'nonsense'"),
        (("release", "ls", "nothing"), "nothing"),
        (("model", "ls", "nothing"), "nothing"),
        (("model", "lineage", "cars"), "is no reference"),
        (("model", "lineage", "cars@x"), "Versions are numbers"),
        (("model", "lineage", "cars@99"), "99"),
        (("model", "rebuild", "nothing@1"), "nothing"),
        (("monitor", "findings", "nothing"), "nothing"),
        (("monitor", "watch"), "No project is named (known: cars, flight-delay, tsa-passengers). Name one"),
        (("monitor", "performance", "nothing"), "nothing"),
        (("data", "ls", "nothing"), "nothing"),
        (("status", "--as", "nobody"), "nobody"),
    ],
)
def test_what_is_not_there_is_the_callers_mistake(
    full: Full, arguments: tuple[str, ...], message: str
) -> None:
    ended = full(*arguments)
    assert ended.code == 2
    assert message in ended.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("release ls", "No release yet. Make one with 'headrace run'."),
        ("project ls", "No project yet. Make one with 'headrace init'."),
        ("status", "No project yet"),
    ],
)
def test_an_empty_home_says_how_to_begin(cli: Cli, arguments: str, said: str) -> None:
    assert said in cli(*arguments.split()).out
    empty = cli(*arguments.split(), "--json").json
    counts = {"act": 0, "watch": 0, "fine": 0, "idle": 0}
    overview: dict[str, Any] = {"server": None, "lost": [], "counts": counts, "projects": [], "differs": {}}
    overview["unreleased"] = {}
    assert empty == (overview if arguments == "status" else [])


def test_the_schema_of_the_charter_is_json(cli: Cli) -> None:
    schema = cli("project", "schema").json
    assert {"name", "data", "gates"} <= set(schema["properties"])
    contract = cli("project", "schema", "--contract").json
    assert {"consumer", "interactions"} <= set(contract["properties"])
    assert not cli.home.exists()


def test_what_two_releases_cannot_both_be_asked_is_said(full: Full, known: Seeded) -> None:
    """The seeded flights have no record and a model of cars: there is nothing to ask again."""
    ended = full("release", "examples", known.waiting)
    assert ended.code == 0, ended.error
    assert ended.out.startswith("They cannot be shown: ")
    as_json = full("release", "examples", known.waiting, "--json").json
    assert (as_json["release"], as_json["against"], as_json["rows"]) == (known.waiting, known.live, [])
    alone = full("release", "examples", known.live)
    assert alone.out == "Nothing else is live: there is nothing to hold its answers against.\n"
