from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from headrace.access.keys import KEY_FILE, signing_key
from headrace.core.errors import InvalidInput

_CHILD = """
import sys
from pathlib import Path
from headrace.access.keys import signing_key
sys.stdin.readline()
sys.stdout.write(signing_key(Path(sys.argv[1])).public_key().public_bytes_raw().hex())
"""


def _public(folder: Path) -> bytes:
    return signing_key(folder).public_key().public_bytes_raw()


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "keys"
    assert _public(folder) == _public(folder)
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_many_threads_end_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: _public(tmp_path), range(16)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_two_processes_at_once_end_with_one_key(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    keys = {child.communicate(timeout=30)[0] for child in children}
    assert keys == {_public(tmp_path).hex()}


def test_a_key_open_to_others_is_refused(tmp_path: Path) -> None:
    signing_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(InvalidInput, match="mode 0644, expected 0600"):
        signing_key(tmp_path)


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    path.write_text("hello")
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="no Ed25519 private key"):
        signing_key(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    path = tmp_path / KEY_FILE
    path.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="no Ed25519 private key"):
        signing_key(tmp_path)


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="HEADRACE_HOME"):
        signing_key(tmp_path / "file" / "keys")


def test_a_folder_without_write_permission_says_what_to_do(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("needs an ordinary user: root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="HEADRACE_HOME"):
        signing_key(tmp_path)
