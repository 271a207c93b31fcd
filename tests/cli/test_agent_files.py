"""``headrace llm files``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.core.release import Route, Subject
from headrace.gateway.prompts import MEDIA_TYPE, Prompt
from headrace.testing import make_project, make_settings
from headrace.testing.factories import make_manifest, make_release
from tests.cli.conftest import Cli


@pytest.mark.requirement("PRM-06")
def test_files_of_a_release_are_listed_with_their_sizes_and_written_out(cli: Cli, tmp_path: Path) -> None:
    prompt = Prompt(template="", models=("local/small",), agent_files={"AGENTS.md": "Be kind. " * 5})
    declared = make_project(
        name="support", task="text_generation", llm={"agent_files": {"at_start": 40, "skill": 60}}
    )
    with open_app(make_settings(cli.home)) as app:
        app.store.projects.save(declared, "")
        package = app.store.artifacts.put(prompt.to_bytes(), MEDIA_TYPE)
        subject = Subject(ref="prompt:support@1", package=package)
        made = make_release(manifest=make_manifest(project="support", subject=subject, charter=declared))
        signed = app.store.releases.add(replace(made, signature=app.access.signatures.sign(made)))
        app.store.rollouts.set_route(Route(project="support", live=signed.id, revision=0))
    shown = cli("llm", "files", "support")
    assert shown.code == 0, shown.error
    assert "too long" in shown.out
    assert "45 characters before the first call, of at most 40" in shown.out
    to = tmp_path / "agent"
    found = cli("llm", "files", "support@1", "--to", str(to), "--json").json
    assert (found["release"], found["at_start"], found["limits"]["at_start"]) == (signed.id, 45, 40)
    assert found["files"][0] == {
        "path": "AGENTS.md", "read": "at start", "characters": 45, "at_start": 45,
    }  # fmt: skip
    assert (to / "AGENTS.md").read_text() == prompt.agent_files["AGENTS.md"]
    assert "is there already" in cli("llm", "files", "support", "--to", str(to)).error
