from __future__ import annotations

import pytest

from tests.cli.conftest import Cli


@pytest.mark.requirement("IDN-01")
def test_everybody_is_listed_with_what_is_wrong(cli: Cli) -> None:
    agent = ("--kind", "agent", "--owner", "bob", "--purpose", "reads\x1b[2Kpapers")
    cli("access", "user", "add", "bob", "--role", "developer")
    cli("access", "user", "add", "scout", "--role", "viewer", *agent)
    cli("access", "user", "expire", "bob")
    listed = cli("access", "inventory")
    lines = {line.split()[0]: line for line in listed.out.splitlines()}
    assert lines["ada"].endswith("no_second_factor")
    assert lines["bob"].endswith("expired")
    assert lines["scout"].endswith("orphaned")
    shown = cli("access", "user", "show", "scout").out
    assert "nobody answers for scout (owner: bob)" in shown
    assert "--owner NAME" in shown
    assert "reads\\x1b[2Kpapers" in shown
    found = {one["principal"]["name"]: one for one in cli("access", "inventory", "--json").json}
    assert "project.read" in found["scout"]["reach"][0]["actions"]
    assert found["bob"]["reach"] == []


@pytest.mark.requirement("IDN-03")
def test_roles_that_nobody_would_miss(cli: Cli) -> None:
    assert cli("access", "unused").out.startswith("Every role was needed")
    assert cli("access", "unused", "--json").json == []


def test_it_is_not_for_everybody(cli: Cli) -> None:
    cli("access", "user", "add", "bob", "--role", "developer")
    for command in (("inventory",), ("unused",), ("user", "show", "ada")):
        assert "may not access.read" in cli("access", *command, "--as", "bob").error
    assert "no identity 'nobody'" in cli("access", "user", "show", "nobody").error
