from __future__ import annotations

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def staffed(cli: Cli) -> Cli:
    """Ada came first, grace audits, vera looks."""
    for name, role in (("grace", "auditor"), ("vera", "viewer")):
        assert cli("access", "user", "add", name, "--role", role).code == 0
    return cli


@pytest.mark.requirement("IDN-10")
def test_anybody_flags_and_somebody_looks_into_it(staffed: Cli) -> None:
    why = "builds at night\x1b[2K\nroot"
    raised = staffed("access", "flag", "ada", "--why", why, "--as", "vera", "--json")
    assert raised.json["state"] == "open"
    assert raised.json["notes"][0]["text"] == why, "stored as it was typed"
    incident = ("access", "incident")
    known = raised.json["id"]
    assert known in staffed(*incident, "ls", "--as", "grace").out
    assert staffed(*incident, "ls").out == "Nothing suspicious that is open.\n", "ada is the one flagged"
    assert "There is no incident" in staffed(*incident, "show", known).error, "it is about them"
    assert "may not incident.work" in staffed(*incident, "ls", "--as", "vera").error

    assert staffed(*incident, "take", known[:13], "--as", "grace").out.endswith("investigating, by grace.\n")
    assert staffed(*incident, "note", known, "it was a backfill", "--as", "grace").code == 0
    shown = staffed(*incident, "show", known, "--as", "grace").out
    assert "it was a backfill" in shown
    assert "\x1b" not in shown
    assert "builds at night\\x1b[2K root" in shown
    assert staffed(*incident, "close", known, "--resolution", "a backfill", "--as", "grace").code == 0
    assert "Nothing suspicious" in staffed(*incident, "ls", "--as", "grace").out
    assert "closed" in staffed(*incident, "ls", "--all", "--as", "grace").out
    trail = [e["action"] for e in staffed("audit", "ls", "--json").json if "incident" in e["action"]]
    assert trail == [f"incident.{s}" for s in ("raise", "note", "take", "note", "close")]


def test_flagging_the_same_again_is_a_note_of_the_first(staffed: Cli) -> None:
    flag = ("access", "flag", "vera", "--json", "--why")
    first = staffed(*flag, "odd hours").json
    second = staffed(*flag, "odd models", "--as", "grace").json
    assert second["id"] == first["id"]
    assert [note["by"] for note in second["notes"]] == ["ada", "grace"]


def test_what_is_not_there_is_said_so(staffed: Cli) -> None:
    assert "no identity 'nobody'" in staffed("access", "flag", "nobody", "--why", "x").error
    assert "no incident 'abcdefgh'" in staffed("access", "incident", "show", "abcdefgh").error
    assert "needs a reason" in staffed("access", "flag", "vera", "--why", " ").error


@pytest.mark.requirement("IDN-05")
def test_somebody_who_gains_power_is_seen_by_those_who_watch(staffed: Cli) -> None:
    staffed("access", "user", "add", "vera", "--role", "viewer", "--role", "validator")
    staffed("access", "user", "add", "root", "--role", "admin")
    staffed("access", "user", "add", "max", "--role", "developer")
    found = staffed("access", "incident", "ls", "--json", "--as", "grace").json
    assert [(i["kind"], i["subject"], i["title"]) for i in found] == [
        ("escalation", "root", "root was made admin by ada"),
        ("escalation", "vera", "vera was made validator by ada"),
    ]
