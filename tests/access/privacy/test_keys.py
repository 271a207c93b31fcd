"""The secret of a workspace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.access.privacy.keys import WorkspaceKeys
from headrace.core.errors import Unavailable


def test_a_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    first = WorkspaceKeys(tmp_path / "keys").key("main", "hash")
    path = tmp_path / "keys" / "privacy-main.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert WorkspaceKeys(tmp_path / "keys").key("main", "hash") == first, "another process finds the same"
    assert first not in path.read_bytes(), "what is used is derived"


def test_each_workspace_and_each_use_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = WorkspaceKeys(tmp_path)
    made = {keys.key("main", "hash"), keys.key("main", "token"), keys.key("team", "hash")}
    assert len(made) == 3
    assert len(keys.key("main", "token", 64)) == 64


def test_processes_that_start_at_once_end_with_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: WorkspaceKeys(tmp_path).key("main", "hash"), range(16)))
    assert len(found) == 1


def test_a_key_file_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "privacy-main.key"
    WorkspaceKeys(tmp_path).key("main", "hash")
    path.chmod(0o640)
    with pytest.raises(Unavailable, match="open to other users.*chmod 600"):
        WorkspaceKeys(tmp_path).key("main", "hash")
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(Unavailable, match="5 bytes, expected 32"):
        WorkspaceKeys(tmp_path).key("main", "hash")
    path.unlink()
    path.mkdir()
    with pytest.raises(Unavailable, match="cannot be used"):
        WorkspaceKeys(tmp_path).key("main", "hash")
