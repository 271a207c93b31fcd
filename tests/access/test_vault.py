from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.vault import KEY_FILE, Vault
from headrace.core.errors import InternalError, InvalidInput


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@given(secret=st.binary(max_size=100), owner=st.text(max_size=20))
def test_what_is_sealed_opens_for_its_owner_and_says_nothing(folder: Path, secret: bytes, owner: str) -> None:
    sealed = Vault(folder).seal(secret, owner=owner)
    assert Vault(folder).open(sealed, owner=owner) == secret
    assert Vault(folder).seal(secret, owner=owner) != sealed
    with pytest.raises(InternalError):
        Vault(folder).open(sealed, owner=owner + "x")


@given(at=st.integers(0, 60), by=st.sampled_from("AB+/="))
def test_an_altered_secret_does_not_open(folder: Path, at: int, by: str) -> None:
    sealed = Vault(folder).seal(b"a secret of some length", owner="ann")
    altered = sealed[:at] + by + sealed[at + 1 :]
    if altered != sealed:
        with pytest.raises(InternalError, match="cannot be opened"):
            Vault(folder).open(altered, owner="ann")


@pytest.mark.parametrize("sealed", ["", "x", "é", "AAAA"])
def test_what_was_never_sealed_does_not_open(folder: Path, sealed: str) -> None:
    with pytest.raises(InternalError):
        Vault(folder).open(sealed, owner="ann")


def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    Vault(tmp_path / "keys").seal(b"", owner="ann")
    path = tmp_path / "keys" / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="open to other users"):
        Vault(tmp_path / "keys").seal(b"", owner="ann")


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    path.touch(0o600)
    path.write_bytes(b"short")
    with pytest.raises(InvalidInput, match="holds 5 bytes"):
        Vault(tmp_path).seal(b"", owner="ann")


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").touch()
    with pytest.raises(InvalidInput, match="cannot be used"):
        Vault(tmp_path / "keys").seal(b"", owner="ann")
