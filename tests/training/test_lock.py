from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput, NotFound
from headrace.store.artifacts import FolderArtifacts
from headrace.training.archives import unpack_files
from headrace.training.lock import (
    archive_code,
    code_digest,
    environment_differences,
    environment_lock,
    git_commit,
    is_archived,
    unpack_code,
)
from tests.training.examples import write_project


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_project(tmp_path / "cars")
    for name in (
        "headrace.yaml",
        "queries/rides.sql",
        "tests/test_cars.py",
        "tests/expected.json",
        "AGENTS.md",
        "skills/tow/SKILL.md",
        "data/cars.csv",
        "data/.skills/x.md",
        "notes.txt",
        "__pycache__/project.cpython-311.pyc",
        ".venv/lib/x.py",
        "env/pyvenv.cfg",
        "env/lib/y.py",
        ".git/config",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    return folder


@pytest.mark.requirement("EXP-01")
def test_code_and_tests_are_kept_but_no_data(
    artifacts: FolderArtifacts, folder: Path, tmp_path: Path
) -> None:
    kept = archive_code(folder, artifacts)
    names = set(unpack_files(artifacts.get(kept.digest), "It"))
    assert names == {
        "project.py",
        "headrace.yaml",
        "queries/rides.sql",
        "tests/test_cars.py",
        "tests/expected.json",
        "AGENTS.md",
        "skills/tow/SKILL.md",
    }
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.relative_to(folder).as_posix() for path in files if is_archived(folder, path)} == names
    unpack_code(artifacts.get(kept.digest), tmp_path / "again")
    assert (tmp_path / "again/project.py").read_bytes() == (folder / "project.py").read_bytes()
    assert code_digest(tmp_path / "again") == kept.digest == code_digest(folder)


def test_the_digest_follows_the_content_alone(folder: Path, tmp_path: Path) -> None:
    before = code_digest(folder)
    (folder / "data/cars.csv").write_text("other")
    (folder / "project.py").touch()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert code_digest(folder) == code_digest(copy) == before
    (copy / "tests/test_cars.py").write_text("y = 2\n")
    assert code_digest(copy) != before


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    before = code_digest(folder)
    (tmp_path / "secret.py").write_text("KEY = 1\n")
    (folder / "secret.py").symlink_to(tmp_path / "secret.py")
    assert code_digest(folder) == before


def test_no_code_and_large_files_are_named(artifacts: FolderArtifacts, folder: Path, tmp_path: Path) -> None:
    assert code_digest(tmp_path / "nowhere") is None
    with pytest.raises(NotFound, match="no code"):
        archive_code(tmp_path / "nowhere", artifacts)
    (folder / "tests/big.parquet").write_bytes(bytes(1_000_001))
    with pytest.raises(InvalidInput, match=r"big\.parquet has 1,000,001 bytes"):
        archive_code(folder, artifacts)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}\.py", fullmatch=True), st.text(max_size=50), min_size=1, max_size=4
    )
)
def test_any_code_comes_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("code")
    artifacts = FolderArtifacts(folder / ".artifacts")
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    again = tmp_path_factory.mktemp("again")
    unpack_code(artifacts.get(archive_code(folder, artifacts).digest), again)
    assert {path.name: path.read_bytes().decode() for path in again.iterdir()} == files


def test_the_environment_lists_packages_and_differences(artifacts: FolderArtifacts) -> None:
    kept = environment_lock(artifacts)
    assert environment_lock(artifacts) == kept
    lock = json.loads(artifacts.get(kept.digest))
    assert lock["packages"]["numpy"]
    assert lock["packages"]["scikit-learn"]
    assert environment_differences(artifacts.get(kept.digest)) == []
    lock["packages"]["numpy"] = "1.0"
    lock["packages"]["gone"] = "2.0"
    lock["python"] = "3.9.0"
    differences = environment_differences(json.dumps(lock).encode())
    assert [line.split(" then")[0] for line in differences] == ["python: 3.9.0", "gone: 2.0", "numpy: 1.0"]
    assert "gone: 2.0 then, absent now" in differences


def test_the_commit_says_when_files_differ(folder: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git: it is not on PATH")
    shutil.rmtree(folder / ".git")
    assert git_commit(folder) is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True)
    commit = git_commit(folder)
    assert commit is not None
    assert len(commit) == 40
    (folder / "project.py").write_text("changed = True\n")
    assert git_commit(folder) == f"{commit}+changes"
