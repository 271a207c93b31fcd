from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import Conflict, InvalidInput
from headrace.plugins.openssf import BUNDLE, KEY_FILE, sign_folder, verify_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "weights").write_bytes(b"weights")
    (made / "release.json").write_text("{}")
    return made


def test_the_stock_verifier_accepts_what_was_signed(folder: Path, tmp_path: Path) -> None:
    verifying: Any = import_module("model_signing.verifying")
    public = sign_folder(folder, tmp_path / "keys")
    config = verifying.Config().use_elliptic_key_verifier(public_key=public)
    config.verify(folder, folder / BUNDLE)
    (folder / "weights").write_bytes(b"others")
    with pytest.raises(ValueError, match="mismatch"):
        verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, folder / BUNDLE)


def test_the_stock_command_accepts_what_was_signed(folder: Path, tmp_path: Path) -> None:
    public = sign_folder(folder, tmp_path / "keys")
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder), "--signature",
               str(folder / BUNDLE), "--public_key", str(public)]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("change", ["changed", "added", "removed", "bundle"])
def test_any_change_is_found(change: str, folder: Path, tmp_path: Path) -> None:
    public = sign_folder(folder, tmp_path / "keys")
    verify_folder(folder, public)
    if change == "changed":
        (folder / "weights").write_bytes(b"others")
    elif change == "added":
        (folder / "more").write_text("x")
    elif change == "removed":
        (folder / "weights").unlink()
    else:
        (folder / BUNDLE).write_text("{}")
    with pytest.raises(Conflict, match="is not what was signed"):
        verify_folder(folder, public)


def test_another_key_does_not_verify(folder: Path, tmp_path: Path) -> None:
    sign_folder(folder, tmp_path / "keys")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("a")
    with pytest.raises(Conflict, match="is not what was signed"):
        verify_folder(folder, sign_folder(other, tmp_path / "theirs"))


def test_the_key_is_kept_to_its_owner(folder: Path, tmp_path: Path) -> None:
    sign_folder(folder, tmp_path / "keys")
    key = tmp_path / "keys" / KEY_FILE
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [KEY_FILE]
    key.chmod(0o644)
    with pytest.raises(InvalidInput, match="open to other users"):
        sign_folder(folder, tmp_path / "keys")
    assert key.read_bytes() == before
