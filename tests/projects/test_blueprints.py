"""A finished project as a template: what is its own becomes a question, all else stays."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.core.errors import Conflict, InvalidInput
from headrace.core.project import Column, Project
from headrace.projects.blueprints import Blueprint, make_blueprint
from headrace.projects.charter import load_project
from headrace.projects.scaffold import scaffold
from headrace.projects.versioning import commit_all, git, is_versioned, uncommitted
from headrace.testing import make_governance
from tests.projects.test_scaffold import outline

pytest.importorskip("copier", reason="needs Copier: pip install 'headrace[scaffold]'")


def made(parent: Path, **changes: Any) -> Path:
    table = parent / "given.csv"
    table.write_text("id,year,fuel type,price\n1,2017,petrol,9000\n", encoding="utf-8")
    return scaffold(parent, outline(**changes), table)


def blueprint(folder: Path, template: Path) -> Blueprint:
    """The template of what is in the folder now, once that is committed."""
    if not is_versioned(folder):
        git(folder, "init", "--quiet", "--initial-branch=main")
    if uncommitted(folder):
        commit_all(folder, "as it is")
    return make_blueprint(folder, template)


def from_template(parent: Path, template: Path, **changes: Any) -> Project:
    given = outline(**{"name": "vans", "owner": "Bo", "contact": "bo@example.org"} | changes)
    return load_project(scaffold(parent, given, parent / "given.csv", template=str(template)))


def test_the_next_project_has_its_own_names_data_and_owner_and_all_else_of_the_first(tmp_path: Path) -> None:
    folder = made(tmp_path, owner="Ann Lee", contact="ann@example.org")
    charter = folder / "headrace.yaml"
    charter.write_text(
        charter.read_text().replace("margin: 0.02 ", "margin: 0.07 ").replace("risk: medium", "risk: low")
    )
    (folder / "pricing.py").write_text("TARGET = 'price'\nKIND = f'{TARGET} of cars'\nPROJECT = \"cars\"\n")
    (folder / "data" / "more.csv").write_text("secret\n")
    template = blueprint(folder, tmp_path / "template")
    assert template.version == "v1"
    assert template.files == ["headrace.yaml", "pricing.py", "project.py", "tests/test_project.py"]
    text = "".join(path.read_text() for path in (tmp_path / "template" / "project").rglob("*.jinja"))
    assert not [
        word for word in ("Ann Lee", "ann@example.org", "secret", "given.csv", "fuel type") if word in text
    ]
    assert template.mentions == {"pricing.py:2": "KIND = f'{TARGET} of cars'"}

    data = replace(
        outline().data,
        target="rent",
        key=None,
        columns=(Column(name="seats", role="numeric"), Column(name="é\"{{ x }}'", role="categorical")),
    )
    governance = make_governance(harms="who drives a van", assumed=("contact",))
    next_one = from_template(tmp_path, tmp_path / "template", data=data, governance=governance)
    first = load_project(folder)
    assert next_one.data == data
    assert next_one.governance == governance
    assert (next_one.name, next_one.owner.name, next_one.owner.contact) == ("vans", "Bo", "bo@example.org")
    assert (next_one.risk, next_one.gates, next_one.variants) == ("low", first.gates, first.variants)
    assert (tmp_path / "vans" / "pricing.py").read_text().startswith('TARGET = "rent"\n')
    assert '"vans"' in (tmp_path / "vans" / "project.py").read_text()
    assert "name: vans" in (tmp_path / "vans/deploy/kubernetes/base/service.yaml").read_text()


def test_a_time_and_a_key_are_asked_for_although_the_first_project_had_none(tmp_path: Path) -> None:
    plain = replace(outline().data, key=None)
    blueprint(made(tmp_path, data=plain), tmp_path / "template")
    data = replace(plain, key="id", time="year")
    assert from_template(tmp_path, tmp_path / "template", data=data).data == data


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@settings(max_examples=10)
@given(words, words, words)
@example("[[= name =]]", "{{ name }}", "[[% if name %]]")
def test_any_word_of_a_table_survives_the_template(
    tmp_path_factory: pytest.TempPathFactory, target: str, owner: str, column: str
) -> None:
    if column == target:
        return
    parent = tmp_path_factory.mktemp("parent")
    blueprint(made(parent), parent / "template")
    data = replace(outline().data, target=target, key=None, columns=(Column(name=column, role="numeric"),))
    found = from_template(parent, parent / "template", data=data, owner=owner)
    assert (found.data, found.owner.name) == (data, owner)


def test_versions_follow_each_other_and_an_unchanged_project_makes_none(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert blueprint(folder, tmp_path / "template").version == "v1"
    assert blueprint(folder, tmp_path / "template").version is None
    (folder / "project.py").write_text((folder / "project.py").read_text() + "# more\n")
    assert blueprint(folder, tmp_path / "template").version == "v2"
    tags = subprocess.run(
        ["git", "-C", str(tmp_path / "template"), "tag"], capture_output=True, text=True, check=True
    )
    assert tags.stdout.split() == ["v1", "v2"]


def test_a_rendered_file_belongs_to_the_template_once_somebody_has_edited_it(tmp_path: Path) -> None:
    folder = made(tmp_path)
    dockerfile = folder / "deploy/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "# ours\n")
    assert "deploy/Dockerfile" in blueprint(folder, tmp_path / "template").files
    from_template(tmp_path, tmp_path / "template")
    assert (tmp_path / "vans/deploy/Dockerfile").read_text().endswith("# ours\n")


def test_what_cannot_become_a_template(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="exists and is no template"):
        blueprint(folder, tmp_path / "mine")
    with pytest.raises(InvalidInput, match="lies in the project"):
        blueprint(folder, folder / "template")
    (folder / "odd.py").write_text("x = '[[= y =]]'\n")
    with pytest.raises(InvalidInput, match="odd.py holds '\\[\\[='"):
        blueprint(folder, tmp_path / "template")
    (folder / "odd.py").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="odd.py is no text"):
        blueprint(folder, tmp_path / "template")
    assert not (tmp_path / "template").exists()


def test_a_template_has_neither_keys_nor_tables_nor_what_nobody_has_committed(tmp_path: Path) -> None:
    folder = made(tmp_path)
    with pytest.raises(InvalidInput, match="is not under git"):
        make_blueprint(folder, tmp_path / "template")
    (folder / ".gitignore").write_text("")
    (folder / ".env").write_text("API_KEY=hunter2\n")
    (folder / "labels.csv").write_text("id,price\n1,secret\n")
    blueprint(folder, tmp_path / "template")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="Not committed yet: notes.txt"):
        make_blueprint(folder, tmp_path / "template")
    text = "".join(path.read_text() for path in (tmp_path / "template" / "project").rglob("*.jinja"))
    assert not [word for word in ("hunter2", "secret", "mine") if word in text]


def test_somebody_elses_template_is_not_written_over(tmp_path: Path) -> None:
    folder, theirs = made(tmp_path), tmp_path / "theirs"
    (theirs / "project").mkdir(parents=True)
    (theirs / "copier.yml").write_text("_subdirectory: project\n")
    (theirs / "project" / "mine.txt").write_text("mine")
    git(tmp_path, "init", "--quiet")
    with pytest.raises(Conflict, match="is no template of a project"):
        blueprint(folder, theirs)
    assert (theirs / "project" / "mine.txt").read_text() == "mine"
    ours = tmp_path / "ours"
    blueprint(folder, ours)
    (ours / "project" / "mine.txt").write_text("mine")
    with pytest.raises(Conflict, match="Not committed in .*mine.txt"):
        blueprint(folder, ours)
    assert (ours / "project" / "mine.txt").read_text() == "mine"


def test_an_experts_own_template(tmp_path: Path) -> None:
    """Written by hand with Copier's own marks, without git: it fills, and has no version to upgrade from."""
    made(tmp_path)
    template = tmp_path / "by-hand"
    template.mkdir()
    (template / "copier.yml").write_text(
        yaml.safe_dump({"name": {"type": "str"}, "rounds": {"type": "int", "default": 7}})
    )
    (template / "extra.py.jinja").write_text(
        "NAME, ROUNDS, OWNER = '{{ name }}', {{ rounds }}, '{{ owner }}'\n"
    )
    with pytest.raises(InvalidInput, match="could never be upgraded. Add a file"):
        from_template(tmp_path, template)
    (template / "{{_copier_conf.answers_file}}.jinja").write_text("{{ _copier_answers | to_nice_yaml }}")
    from_template(tmp_path, template)
    # What it does not ask it does not know, now as at an upgrade.
    assert (tmp_path / "vans/extra.py").read_text() == "NAME, ROUNDS, OWNER = 'vans', 7, ''\n"


def test_a_template_runs_no_commands(tmp_path: Path) -> None:
    made(tmp_path)
    template = tmp_path / "evil"
    template.mkdir()
    (template / "copier.yml").write_text(yaml.safe_dump({"_tasks": [f"touch {tmp_path / 'ran'}"]}))
    (template / "{{_copier_conf.answers_file}}.jinja").write_text("{{ _copier_answers | to_nice_yaml }}")
    with pytest.raises(InvalidInput, match="wants to run commands of its own"):
        from_template(tmp_path, template)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "vans").exists()


@pytest.mark.parametrize("subdirectory", ["project", ""])
def test_a_template_writes_nothing_that_git_would_run(tmp_path: Path, subdirectory: str) -> None:
    made(tmp_path)
    template = tmp_path / "evil"
    inner = template / subdirectory
    (inner / "{{ '.git' }}").mkdir(parents=True)
    (inner / "{{ '.git' }}" / "config.jinja").write_text(
        f'[core]\n\tfsmonitor = "touch {tmp_path / "ran"}; false"\n'
    )
    (inner / "{{_copier_conf.answers_file}}.jinja").write_text("{{ _copier_answers | to_nice_yaml }}")
    asked: dict[str, Any] = {"_exclude": []} | ({"_subdirectory": subdirectory} if subdirectory else {})
    (template / "copier.yml").write_text(yaml.safe_dump(asked))
    with pytest.raises(InvalidInput, match="which git would run"):
        from_template(tmp_path, template)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "vans").exists()


@pytest.mark.parametrize("source", ["nowhere", "--upload-pack=x", " "])
def test_no_template_there(tmp_path: Path, source: str) -> None:
    made(tmp_path)
    given = outline(name="vans")
    with pytest.raises(Exception, match="Expected a folder, or an address that git knows"):
        scaffold(tmp_path, given, tmp_path / "given.csv", template=source)
    assert not (tmp_path / "vans").exists()


def test_a_template_for_another_task_is_refused(tmp_path: Path) -> None:
    blueprint(made(tmp_path), tmp_path / "template")
    with pytest.raises(InvalidInput, match="is for regression, and 'price' asks for classification"):
        from_template(tmp_path, tmp_path / "template", task="classification", metric="log_loss")
