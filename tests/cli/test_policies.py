from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

ACCESS = ("access",)
RULE = '\n@id("{name}") permit (principal in Role::"viewer", action == Action::"{action}", resource);\n'


@pytest.fixture
def staffed(cli: Cli) -> Cli:
    """Ada, who came first, and somebody who decides."""
    assert cli("access", "user", "add", "grace", "--role", "validator", "--role", "admin").code == 0
    return cli


@pytest.fixture
def file() -> Path:
    return Path("policy.cedar")


def shown(cli: Cli) -> str:
    return cli("access", "policy", "show").out


@pytest.mark.requirement("MCP-13")
def test_a_policy_is_changed_by_two_and_taken_back(staffed: Cli, file: Path) -> None:
    before = shown(staffed)
    file.write_text(before + RULE.format(name="viewers-see-traces", action="trace.read"))
    policy = ("access", "policy")
    proposed = staffed(*policy, "propose", str(file), "--comment", "asked for by support")
    assert proposed.out.startswith("Version 1 waits for somebody other than 'ada'.")
    assert '+@id("viewers-see-traces")' in staffed(*policy, "diff", "1").out
    own = staffed(*policy, "approve", "1")
    assert (own.code, "Nobody can decide on their own work" in own.error) == (2, True)
    assert staffed(*policy, "approve", "1", "--as", "grace").out == "Version 1 is in force.\n"
    assert shown(staffed) == file.read_text()
    listed = staffed(*policy, "ls", "--json").json
    assert [(t["version"], t["state"], t["author"], t["approver"]) for t in listed] == [
        (1, "live", "ada", "grace")
    ]
    assert staffed(*policy, "diff", "1").out == "Nothing.\n"
    staffed(*policy, "revert")
    assert staffed(*policy, "reject", "2", "--as", "grace").out == "Version 2 is refused.\n"
    assert "asked for by support" in staffed(*policy, "ls").out


def test_examples_are_tried_and_end_with_three_when_one_fails(staffed: Cli, file: Path) -> None:
    assert staffed("access", "test").out.startswith("All ")
    file.write_text("// example: allow person ann (viewer) predict project:cars\n" + shown(staffed))
    failed = staffed("access", "test", str(file))
    assert failed.code == 3
    assert "line 1: allow person ann (viewer) predict project:cars: got deny by no rule" in failed.error
    as_json = staffed("access", "test", str(file), "--json")
    assert (as_json.code, [f["line"] for f in as_json.json["failed"]]) == (3, [1])
    assert staffed("access", "policy", "propose", str(file)).code == 3
    assert "The default policy is in force" in staffed("access", "policy", "ls").out


@pytest.mark.parametrize("content", [b"permit (", b"\xff\xfe", b"x" * 400_001, b'@id("a") permit (a, b);'])
def test_what_is_no_policy_is_refused_in_one_sentence(staffed: Cli, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    for command in (("access", "test"), ("access", "policy", "propose")):
        ended = staffed(*command, str(file))
        assert ended.code == 2
        assert "polic" in ended.error


def test_a_decision_is_explained(staffed: Cli) -> None:
    allowed = staffed("access", "explain", "grace", "policy.decide", "policy:main").out
    assert "grace (roles: validator, admin) may policy.decide on policy:main." in allowed
    assert "Rule 'admin', line " in allowed
    assert "Roles that would suffice: validator, auditor, admin." in allowed
    denied = staffed("access", "explain", "grace", "tool.call", "tool:rm", "--argument", "path=/etc")
    assert "may not tool.call on tool:rm.\nNo rule permits it." in denied.out
    assert "Policy version 0 (" in denied.out
    found = staffed("access", "explain", "ada", "access.write", "principal:ada", "--json").json
    assert (found["allowed"], [rule["name"] for rule in found["rules"]]) == (False, ["own-rights"])


def test_what_somebody_may_is_listed(staffed: Cli) -> None:
    assert "workspace:main" in staffed("access", "may", "grace").out
    (reach,) = staffed("access", "may", "grace", "--json").json
    assert {"policy.decide", "access.write"} <= set(reach["actions"])
    refused = staffed("access", "may", "nobody")
    assert (refused.code, "There is no identity 'nobody'" in refused.error) == (2, True)


@pytest.mark.requirement("IDN-04")
def test_a_role_is_asked_for_approved_used_and_given_back(staffed: Cli) -> None:
    grant = ("access", "grant")
    assert staffed(*grant, "ls").out == "No grant.\n"
    asked = staffed(*grant, "ask", "validator", "workspace:main", "--reason", "friday", "--minutes", "30")
    assert "ada: validator on workspace:main, asked (grant " in asked.out
    (listed,) = staffed(*grant, "ls", "--json").json
    assert (listed["reason"], listed["duration_s"]) == ("friday", 1800)
    assert staffed(*grant, "approve", listed["id"]).code == 2
    assert ", active, until " in staffed(*grant, "approve", listed["id"], "--as", "grace").out
    assert "Grant " in staffed("access", "explain", "ada", "waiver.decide", "workspace:main").out
    assert ", ended (grant " in staffed(*grant, "end", listed["id"]).out
    again = staffed(*grant, "ask", "auditor", "workspace:main", "--reason", "look", "--json").json
    assert ", refused (" in staffed(*grant, "refuse", again["id"], "--as", "grace").out
    assert [g["state"] for g in staffed(*grant, "ls", "--json").json] == ["ended", "refused"]


@pytest.mark.requirement("IDN-05")
def test_an_emergency_leaves_an_incident(staffed: Cli) -> None:
    ended = staffed("access", "grant", "break-glass", "validator", "workspace:main", "--reason", "fire")
    assert "ada: validator on workspace:main, active" in ended.out
    assert "headrace access incident ls" in ended.out
    listed = staffed("access", "incident", "ls", "--as", "grace", "--json").json
    assert ("break_glass", "ada") in [(one["kind"], one["subject"]) for one in listed]
