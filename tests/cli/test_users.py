from __future__ import annotations

import pytest

from tests.cli.conftest import Cli

AGENT = ("--kind", "agent", "--owner", "ada", "--purpose", "reads papers")


@pytest.fixture
def staffed(cli: Cli) -> Cli:
    """Ada, who came first, and an agent of hers."""
    assert cli("access", "user", "add", "scout", "--role", "viewer", *AGENT, "--expires", "30d").code == 0
    return cli


@pytest.mark.requirement("IDN-06")
def test_an_agent_is_added_with_all_that_it_needs(staffed: Cli) -> None:
    listed = {p["name"]: p for p in staffed("access", "user", "ls", "--json").json}
    scout = listed["scout"]
    assert (scout["kind"], scout["owner"], scout["purpose"]) == ("agent", "ada", "reads papers")
    assert scout["expires_at"] > scout["created_at"]
    refused = staffed("access", "user", "add", "rover", "--role", "viewer", "--kind", "agent")
    assert refused.code == 2
    assert "needs an owner" in refused.error


@pytest.mark.requirement("IDN-08")
def test_an_identity_goes_through_its_life(staffed: Cli) -> None:
    user = ("access", "user")
    assert staffed(*user, "review", "scout", "--next", "60d").out.startswith("scout is reviewed again by")
    assert staffed(*user, "freeze", "scout", "--why", "odd").out == "scout is frozen.\n"
    assert "is frozen: odd" in staffed("status", "--as", "scout").error
    assert staffed(*user, "unfreeze", "scout").out == "scout may act again.\n"
    assert staffed("status", "--as", "scout").code == 0
    assert staffed(*user, "expire", "scout").out.startswith("scout ends on")
    assert "has expired" in staffed("status", "--as", "scout").error
    assert staffed(*user, "expire", "scout", "--in", "10d").code == 0
    staffed(*user, "add", "scout", "--role", "viewer", "--role", "operator")
    assert staffed(*user, "remove-role", "scout", "--role", "viewer").out == "scout is operator.\n"


def test_nobody_changes_their_own(staffed: Cli) -> None:
    for command in (
        ("add", "ada", "--role", "validator"),
        ("remove-role", "ada", "--role", "operator"),
        ("expire", "ada", "--in", "90d"),
        ("review", "ada"),
        ("unfreeze", "ada"),
    ):
        ended = staffed("access", "user", *command)
        assert ended.code == 2
        assert "Nobody changes their own" in ended.error


def test_another_workspace_is_set_up_by_admins_of_main_and_run_by_its_own(staffed: Cli) -> None:
    user = ("access", "user")
    assert staffed(*user, "add", "zoe", "--role", "admin", "--workspace", "lab").code == 0
    assert staffed(*user, "add", "max", "--role", "developer", "--as", "zoe").code == 0
    names = [p["name"] for p in staffed(*user, "ls", "--json", "--as", "zoe").json]
    assert names == ["zoe", "max"]
    assert "zoe" not in staffed(*user, "ls").out
    for wrong in (
        (*user, "add", "mole", "--role", "admin", "--workspace", "main", "--as", "zoe"),
        (*user, "freeze", "scout", "--why", "not mine", "--as", "zoe"),
        (*user, "freeze", "max", "--why", "theirs to do"),
    ):
        ended = staffed(*wrong)
        assert ended.code == 2
        assert "another workspace" in ended.error


def test_who_may_not_add_to_another_workspace_reads_whom_to_ask(staffed: Cli) -> None:
    user = ("access", "user", "add")
    assert staffed(*user, "zoe", "--role", "admin", "--workspace", "lab").code == 0
    assert staffed(*user, "ida", "--role", "admin", "--workspace", "den").code == 0
    assert staffed(*user, "dev", "--role", "developer").code == 0
    new = ("max", "--role", "developer", "--workspace")
    again = staffed(*user, *new, "lab").error
    assert again.endswith("is for its own administrators. Ask zoe."), again
    inside = staffed(*user, *new, "lab", "--as", "dev").error
    assert f"set up by an administrator of 'main' ({staffed.user}). Ask them." in inside
    assert "zoe" not in inside, "who is in another workspace is not theirs to know"
    there, missing = (staffed(*user, *new, where, "--as", "ida").error for where in ("lab", "nowhere"))
    assert there.endswith("set up by an administrator of 'main'. Ask them."), there
    assert staffed.user not in there
    assert there.replace("lab", "@") == missing.replace("nowhere", "@")
    assert staffed("access", "user", "expire", "zoe", "--as", "zoe").code != 0
    assert staffed(*user, "lou", "--role", "admin", "--as", "zoe").code == 0
    assert staffed("access", "user", "freeze", "zoe", "--why", "left", "--as", "lou").code == 0
    assert staffed(*user, *new, "lab").error.endswith("Ask lou."), "who can do nothing is not to be asked"
    taken = staffed(*user, "dev", "--role", "admin", "--workspace", "pit").error
    assert "'dev' is known already" in taken


def test_a_name_of_another_workspace_keeps_nobody_from_seeing_their_own(staffed: Cli) -> None:
    assert staffed("access", "user", "add", "all", "--role", "admin", "--workspace", "lab").code == 0
    assert "scout" in staffed("access", "user", "ls").out


def test_what_is_no_kind_or_moment_is_refused(staffed: Cli) -> None:
    user = ("access", "user")
    assert (
        "Expected person, service or agent"
        in staffed(*user, "add", "x", "--role", "viewer", "--kind", "cat").error
    )
    for wrong in ("soon", "-1d", "2026-02-30", "99999d99"):
        assert "is no moment" in staffed(*user, "expire", "scout", "--in", wrong).error


@pytest.mark.requirement("IDN-10")
def test_what_somebody_typed_cannot_forge_a_line(staffed: Cli) -> None:
    ended = staffed("access", "user", "add", "bob\x1b[2K\nroot", "--role", "admin")
    assert ended.code == 2
    assert "\x1b" not in ended.error
