"""Rendered files: written anew when the charter changes, never over what somebody has edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.core.errors import InvalidInput
from headrace.projects.rendered import RECORD, write_rendered

V1 = {"deploy/a.yaml": "a: 1\n", "b.sh": "echo 1\n"}
V2 = {"deploy/a.yaml": "a: 2\n", "b.sh": "echo 2\n"}


def text_of(folder: Path) -> dict[str, str]:
    return {path: (folder / path).read_text() for path in V1}


def test_what_nobody_has_touched_follows_the_charter(tmp_path: Path) -> None:
    assert write_rendered(tmp_path, V1, executable=["b.sh"]).written == list(V1)
    assert (tmp_path / "b.sh").stat().st_mode & 0o111
    assert not (tmp_path / "deploy/a.yaml").stat().st_mode & 0o111
    assert write_rendered(tmp_path, V1).same == list(V1)
    assert write_rendered(tmp_path, V2).written == list(V2)
    assert text_of(tmp_path) == V2


def test_what_somebody_has_edited_is_shown_and_left_alone(tmp_path: Path) -> None:
    write_rendered(tmp_path, V1)
    (tmp_path / "b.sh").write_text("echo mine\n")
    for _ in range(2):  # also the second time: to have shown it is no permission
        made = write_rendered(tmp_path, V2)
        assert list(made.edited) == ["b.sh"]
        assert "-echo mine\n+echo 2" in made.edited["b.sh"]
        assert text_of(tmp_path) == {"deploy/a.yaml": "a: 2\n", "b.sh": "echo mine\n"}
    assert write_rendered(tmp_path, V2, force=True).written == ["b.sh"]
    assert text_of(tmp_path) == V2
    assert write_rendered(tmp_path, V1).written == list(V1)


def test_a_file_that_was_there_before_counts_as_edited(tmp_path: Path) -> None:
    (tmp_path / "b.sh").write_bytes(b"\xff\xfe")
    assert list(write_rendered(tmp_path, V1).edited) == ["b.sh"]
    assert (tmp_path / "b.sh").read_bytes() == b"\xff\xfe"


def test_an_edit_that_equals_what_is_rendered_is_no_edit(tmp_path: Path) -> None:
    write_rendered(tmp_path, V1)
    (tmp_path / "b.sh").write_text(V2["b.sh"])
    assert write_rendered(tmp_path, V2).edited == {}
    assert write_rendered(tmp_path, V1).edited == {}


def test_a_file_that_was_removed_comes_back(tmp_path: Path) -> None:
    write_rendered(tmp_path, V1)
    (tmp_path / "b.sh").unlink()
    assert write_rendered(tmp_path, V1).written == ["b.sh"]


def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    (project / "deploy").symlink_to(tmp_path / "out")
    with pytest.raises(InvalidInput, match="leads out of"):
        write_rendered(project, V1)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("damaged", ["", "[]", "{", '"x"'])
def test_a_damaged_record_is_named_and_nothing_is_written(tmp_path: Path, damaged: str) -> None:
    write_rendered(tmp_path, V1)
    (tmp_path / RECORD).write_text(damaged)
    with pytest.raises(InvalidInput, match="cannot be read.*Restore it"):
        write_rendered(tmp_path, V2)
    assert text_of(tmp_path) == V1
