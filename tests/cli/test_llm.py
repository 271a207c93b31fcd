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


@pytest.mark.requirement("GRD-12")
def test_calls_are_stopped_and_resumed_with_who_and_why(cli: Cli) -> None:
    assert "Nothing was ever stopped" in cli("llm", "stops").out
    assert "headrace llm resume --all" in cli("llm", "stop", "--all", "--reason", "a leak").out
    (one,) = cli("llm", "stops", "--json").json
    assert (one["state"], one["by"], one["reason"]) == ("on", cli.user, "a leak")
    assert "one of the two" in cli("llm", "stop", "--reason", "r").error
    assert "one of the two" in cli("llm", "stop", "cars", "--all", "--reason", "r").error
    assert "made again" in cli("llm", "resume", "--all", "--reason", "mended").out
    assert "not stopped" in cli("llm", "resume", "--all", "--reason", "mended").error


@pytest.mark.requirement("GOV-07")
def test_the_acceptable_use_policy_is_published_and_acknowledged(cli: Cli) -> None:
    assert "Nobody has published" in cli("llm", "terms", "show").out
    for name, role in (("dev", "developer"), ("val", "validator")):
        assert cli("access", "user", "add", name, "--role", role).code == 0
    Path("terms.md").write_text("Send no passwords.\n")
    assert cli("llm", "terms", "propose", "terms.md", "--as", "dev").code == 0
    assert "in force" in cli("llm", "terms", "approve", "1", "--as", "val").out
    shown = cli("llm", "terms", "show")
    assert shown.out == "Send no passwords.\n"
    assert "llm terms acknowledge 1" in shown.error
    assert "version 1 is in force" in cli("llm", "terms", "acknowledge", "2").error
    assert "has acknowledged version 1" in cli("llm", "terms", "acknowledge", "1").out
    assert [one["subject"] for one in cli("llm", "terms", "who", "--json").json] == [cli.user]
    assert "access.read" in cli("llm", "terms", "who", "--as", "dev").error


def test_a_new_project_says_where_its_provider_belongs(cli: Cli) -> None:
    rows = "".join(f"May I return item {n}?,Within {n} days.\n" for n in range(1, 41))
    Path("questions.csv").write_text(f"question,expected\n{rows}", encoding="utf-8")
    asked = ("--template", "llm", "--data", "questions.csv", "--target", "expected", "--model", "local/small")
    made = cli("init", "support", *asked)
    (told,) = (line for line in made.out.splitlines() if line.startswith("Before it runs:"))
    assert f"no provider 'local' (has: none): declare it in {cli.home / 'providers.yaml'}" in told
    assert "headrace model provider ls" in told
    gaps = cli("init", "other", *asked, "--json").json["undeclared_models"]
    assert len(gaps) == 2, "each prompt asks it"
    cli.home.mkdir(exist_ok=True)
    (cli.home / "providers.yaml").write_text(
        "providers: {local: {url: 'http://127.0.0.1:9/v1', terms: {self_hosted: true}}}"
    )
    assert "Before it runs" not in cli("init", "third", *asked).out
    (cli.home / "providers.yaml").write_text("providers: [")
    broken = cli("init", "fourth", *asked)
    assert broken.code == 0, "the project is made all the same"
    assert "could not be looked up: " in broken.out
    assert "Before it runs" not in broken.out
    told_so = cli("init", "fifth", *asked, "--json").json
    assert told_so["undeclared_models"] == []
    assert "providers.yaml" in told_so["problem"]
