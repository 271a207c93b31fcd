from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

from headrace.core.ports import Transaction
from headrace.store.delta_log import sync_version
from headrace.store.tables import DeltaTables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of three versions, each with its writer's position; then the machine started anew."""
    for n in range(3):
        _append(tmp_path, n)
    (tmp_path / "t" / ".headrace-boot").write_text("the boot before")
    return tmp_path


def _append(folder: Path, n: int) -> int:
    return DeltaTables(folder).append("t", {"n": np.array([float(n)])}, transaction=Transaction("w", n + 1))


def _numbers(folder: Path) -> list[float]:
    return list(DeltaTables(folder).query("SELECT n FROM t ORDER BY n", {"t": ("t", None)})["n"])


def _newest_file(folder: Path) -> Path:
    before = set(DeltaTable(folder / "t", version=1).file_uris())
    (path,) = set(DeltaTable(folder / "t").file_uris()) - before
    return Path(path)


def _log(folder: Path, version: int) -> Path:
    return folder / "t" / "_delta_log" / f"{version:020}.json"


def test_what_is_taken_back_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    _newest_file(folder).write_bytes(b"")
    _numbers(folder)
    assert "version 2 was not whole" in caplog.text


def test_a_whole_table_is_left_alone(folder: Path) -> None:
    assert _numbers(folder) == [0.0, 1.0, 2.0]
    assert _log(folder, 2).exists()
    assert (folder / "t" / ".headrace-boot").read_text() != "the boot before"


@pytest.mark.parametrize("damage", ["empty", "short", "zeros", "gone"])
@pytest.mark.requirement("DAT-05")
def test_rows_that_a_power_failure_tore_are_taken_back_with_their_position(folder: Path, damage: str) -> None:
    path = _newest_file(folder)
    size_bytes = path.stat().st_size
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "short": b"PAR1", "zeros": bytes(size_bytes)}[damage])
    assert DeltaTables(folder).position("t", "w") == 2
    assert _numbers(folder) == [0.0, 1.0]
    assert _append(folder, 2) == 2
    assert _append(folder, 2) == 2
    assert _numbers(folder) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("content", [b"", b'{"commitInfo":', bytes(300)], ids=["empty", "short", "zeros"])
def test_a_log_entry_that_a_power_failure_tore_is_taken_back(folder: Path, content: bytes) -> None:
    _log(folder, 2).write_bytes(content)
    assert _append(folder, 2) == 2
    assert _numbers(folder) == [0.0, 1.0, 2.0]


def test_a_table_whose_creation_was_torn_can_be_created_again(tmp_path: Path) -> None:
    _append(tmp_path, 0)
    (tmp_path / "t" / ".headrace-boot").unlink()
    _log(tmp_path, 0).write_bytes(b"")
    assert DeltaTables(tmp_path).version("t") is None
    assert _append(tmp_path, 0) == 0
    assert _numbers(tmp_path) == [0.0]


def test_a_checkpoint_of_the_torn_version_goes_with_it(folder: Path) -> None:
    table = DeltaTable(folder / "t")
    table.create_checkpoint()
    assert list((folder / "t" / "_delta_log").glob("*.checkpoint*"))
    _newest_file(folder).write_bytes(b"")
    assert _numbers(folder) == [0.0, 1.0]
    assert not list((folder / "t" / "_delta_log").glob("*checkpoint*"))


def test_within_one_boot_nothing_is_taken_back(folder: Path) -> None:
    """A damaged file is then no power failure: it must be seen, not hidden."""
    assert _numbers(folder) == [0.0, 1.0, 2.0]
    _newest_file(folder).write_bytes(b"")
    with pytest.raises(Exception, match="did not run"):
        _numbers(folder)
    assert _log(folder, 2).exists()


def test_a_version_whose_log_another_tool_cleaned_needs_no_sync(folder: Path) -> None:
    sync_version(folder / "t", 99)
