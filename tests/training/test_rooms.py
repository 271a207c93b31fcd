from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.training.rooms import own_folder


def test_a_folder_lasts_as_long_as_its_work(tmp_path: Path) -> None:
    with own_folder(tmp_path / "scratch", "work-") as one, own_folder(tmp_path / "scratch", "work-") as other:
        assert one != other
        assert one.is_dir()
        assert other.is_dir()
    assert not list((tmp_path / "scratch").iterdir())
    with pytest.raises(ValueError, match="work"), own_folder(tmp_path / "scratch", "work-"):
        raise ValueError("work")
    assert not list((tmp_path / "scratch").iterdir())


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from headrace.training.rooms import own_folder\n"
        "with own_folder(Path(sys.argv[1]), 'work-') as folder:\n"
        "    (folder / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "half").exists()
    (tmp_path / "kept").mkdir()
    with own_folder(tmp_path, "work-") as mine:
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["kept", mine.name])
