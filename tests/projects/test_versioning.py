"""A new project is under git without anybody asking; what is not for git stays out of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from headrace.app.starting import start_project
from headrace.core.errors import InvalidInput
from headrace.projects.versioning import first_commit, git, is_versioned, uncommitted


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which git knows nobody, as after it was installed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def started(tmp_path: Path, header: str = "id,x,y", row: str = "k{i},{i},{i}") -> Path:
    table = tmp_path / "table.csv"
    table.write_text("\n".join([header, *(row.format(i=i) for i in range(60))]) + "\n")
    parent = tmp_path / "work"
    parent.mkdir(exist_ok=True)
    made = start_project(
        parent, name="cars", data=table, target="y", time=None, key=None, forecasting=False,
        owner="Ann Lee", contact="ann@example.org",
    )  # fmt: skip
    return made.folder


def test_a_new_project_has_its_first_commit_by_its_owner(tmp_path: Path) -> None:
    folder = started(tmp_path)
    assert git(folder, "log", "--format=%an <%ae> %s") == "Ann Lee <ann@example.org> Made by headrace init\n"
    assert uncommitted(folder) == []
    kept = git(folder, "ls-files").splitlines()
    assert {
        "headrace.yaml",
        "project.py",
        "data/table.csv",
        "deploy/rendered.json",
        "deploy/roll-out",
    } <= set(kept)


def test_a_table_about_people_stays_out_of_git(tmp_path: Path) -> None:
    folder = started(tmp_path, "email,x,y", "p{i}@example.org,{i},{i}")
    assert (folder / "data/table.csv").is_file()
    assert "data/table.csv" not in git(folder, "ls-files").splitlines()
    assert uncommitted(folder) == []


def test_a_project_in_somebodys_repository_is_left_for_them_to_commit(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    git(tmp_path / "work", "init", "--quiet")
    folder = started(tmp_path)
    assert uncommitted(folder) != []
    assert not (folder / ".git").exists()
    assert first_commit(folder, "no", name="n", mail="n@localhost") is False


def test_nobodys_hooks_run(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    subprocess.run(["git", "config", "--global", "core.hooksPath", str(hooks)], check=True)
    assert uncommitted(started(tmp_path)) == []


def test_without_git_a_project_is_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = started(tmp_path)
    assert (folder / "headrace.yaml").is_file()
    assert not is_versioned(folder)
    with pytest.raises(InvalidInput, match="There is no git here"):
        git(folder, "status")
