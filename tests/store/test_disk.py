from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headrace.core.errors import InvalidInput
from headrace.store.disk import disk_refused, folder_of, hold, locked, make_folder


@pytest.mark.parametrize("name", ["a", "cars/predictions", "a.b/c_d-e=1"])
def test_a_path_of_plain_names_is_a_folder(tmp_path: Path, name: str) -> None:
    assert folder_of(tmp_path, name, "A table") == tmp_path / name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc", "a/", "a//b", "a/../b", ".a", "a b", "a\x00", "ü", "a\n"]
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="A table cannot be called"):
        folder_of(tmp_path, name, "A table")


def test_folders_are_for_this_user_only(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "mounted read-only"),
        (errno.EACCES, "change the owner"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_what_the_disk_refused_is_told_with_what_to_do(code: int, advice: str) -> None:
    error = disk_refused("append to", Path("/x"), OSError(code, "the reason"))
    assert str(error).startswith("Could not append to /x: the reason. Nothing was acknowledged. ")
    assert advice in str(error)


def test_a_locked_folder_is_held_by_one_thread(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(50):
            with locked(tmp_path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (200, 1)


def test_a_file_is_held_until_its_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import sys; from pathlib import Path; from headrace.store.disk import hold\n"
        "print(hold(Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert not hold(path)
        other.kill()
    assert hold(path)
    assert not hold(path)
