"""Governance of calls to language models on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

LIST = "allow:\n  - {models: [local/*], purposes: [support], data: [internal]}\n"


@pytest.mark.requirement("LGW-05")
def test_the_list_of_allowed_uses_is_proposed_by_one_and_approved_by_another(cli: Cli) -> None:
    assert "comes with Headrace" in cli("llm", "use", "show").out
    assert "nothing was proposed" in cli("llm", "use", "ls").out
    Path("uses.yaml").write_text(LIST)
    for name, role in (("dev", "developer"), ("val", "validator")):
        assert cli("access", "user", "add", name, "--role", role).code == 0
    proposed = cli("llm", "use", "propose", "uses.yaml", "--comment", "support only", "--as", "dev")
    assert "headrace llm use approve 1" in proposed.out, proposed.error
    assert "somebody else" in cli("llm", "use", "approve", "1", "--as", "dev").error
    assert "in force" in cli("llm", "use", "approve", "1", "--as", "val").out
    assert cli("llm", "use", "show").out == LIST
    Path("uses.yaml").write_text("allow: [{models: [gpt]}]")
    assert "line 1" in cli("llm", "use", "propose", "uses.yaml", "--as", "dev").error


def test_what_is_not_there_has_no_alternative(cli: Cli) -> None:
    for command in (("instead", "gone"), ("ask", "gone", "local/x", "--reason", "r")):
        assert "gone" in cli("llm", *command).error
