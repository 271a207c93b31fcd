"""What instructs an agent, as releases have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.llm.agent_files import agent_files, compared, write_agent_files
from headrace.core.errors import Conflict, Denied, NotFound, Unavailable
from headrace.core.release import Route, Subject
from headrace.gateway.prompts import MEDIA_TYPE, Prompt
from headrace.testing import make_settings
from headrace.testing.factories import make_manifest, make_project, make_release

SKILL = "---\nname: refunds\ndescription: How money is given back.\n---\nAsk for the order.\n"
FIRST = Prompt(template="", models=("local/small",), agent_files={"AGENTS.md": "Be kind.", "old.md": "So."})
SECOND = replace(FIRST, agent_files={"AGENTS.md": "Be kind and brief.", "skills/refunds/SKILL.md": SKILL})


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """Two versions, of which the first is live."""
    with open_app(make_settings(tmp_path / "home")) as found:
        found.me()
        live = release(found, FIRST, "1")
        release(found, SECOND, "2")
        found.store.rollouts.set_route(Route(project="support", live=live, revision=0))
        yield found


def release(app: App, prompt: Prompt, version: str) -> str:
    limits = {"agent_files": {"at_start": 40, "skill": 60}}
    declared = make_project(name="support", task="text_generation", llm=limits)
    app.store.projects.save(declared, "")
    package = app.store.artifacts.put(prompt.to_bytes(), MEDIA_TYPE)
    subject = Subject(ref=f"prompt:support@{version}", package=package)
    made = make_release(manifest=make_manifest(project="support", subject=subject, charter=declared))
    return app.store.releases.add(replace(made, signature=app.access.signatures.sign(made))).id


@pytest.mark.requirement("PRM-06")
def test_the_live_version_is_listed_unless_another_is_named(app: App) -> None:
    live, second = agent_files(app, app.me(), "support"), agent_files(app, app.me(), "support@2")
    assert [one.path for one in live.files] == ["AGENTS.md", "old.md"]
    assert (live.version.version, live.at_start) == ("1", 11)
    assert [(one.path, second.is_over(one)) for one in second.files] == [
        ("AGENTS.md", False),
        ("skills/refunds/SKILL.md", True),
    ]
    with pytest.raises(NotFound, match="no version '9'"):
        agent_files(app, app.me(), "support@9")
    with pytest.raises(Denied):
        agent_files(app, replace(app.me(), name="eve", roles=()), "support")


@pytest.mark.requirement("PRM-06")
def test_two_versions_are_compared_file_by_file() -> None:
    assert [(one.file.path, one.since, one.grown) for one in compared(FIRST, SECOND)] == [
        ("AGENTS.md", "changed", len(" and brief")),
        ("old.md", "gone", -3),
        ("skills/refunds/SKILL.md", "new", len(SKILL)),
    ]
    assert {one.since for one in compared(FIRST, FIRST)} == {"same"}


@pytest.mark.requirement("PRM-06")
def test_they_are_written_out_as_they_were_signed(app: App, tmp_path: Path) -> None:
    written = tmp_path / "agent"
    write_agent_files(app, app.me(), "support@2", written)
    found = {path.relative_to(written).as_posix(): path for path in written.rglob("*.md")}
    assert {name: path.read_text() for name, path in found.items()} == SECOND.agent_files
    with pytest.raises(Conflict, match="is there already"):
        write_agent_files(app, app.me(), "support@2", written)
    app.store.artifacts.path(package_of(app, "2")).write_bytes(FIRST.to_bytes())
    with pytest.raises(Conflict, match="not what was signed"):
        write_agent_files(app, app.me(), "support@2", tmp_path / "again")


def test_a_folder_is_whole_or_is_not_there(app: App, tmp_path: Path) -> None:
    twice = {"AGENTS.md": "Be kind.", "AGENTS.md/more.md": "Be brief."}  # a file cannot be a folder too
    release(app, replace(FIRST, agent_files=twice), "4")
    with pytest.raises(Unavailable):
        write_agent_files(app, app.me(), "support@4", tmp_path / "agent")
    assert list(tmp_path.glob("*agent*")) == []


def test_a_prompt_that_names_none_writes_none(app: App, tmp_path: Path) -> None:
    release(app, replace(FIRST, agent_files={}), "3")
    with pytest.raises(NotFound, match="No file instructs an agent in support@3"):
        write_agent_files(app, app.me(), "support@3", tmp_path / "agent")


def package_of(app: App, version: str) -> str:
    subjects = [one.manifest.subject for one in app.store.releases.list("support")]
    return next(one.package.digest for one in subjects if one.ref == f"prompt:support@{version}")
