from __future__ import annotations

import base64
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headrace.access.keys import KEY_FILE, Keys, kid_of, signing_key
from headrace.access.tokens import MAX_TTL_S
from headrace.core.errors import InvalidInput
from headrace.core.ports import Epoch
from headrace.store.epoch import SharedEpoch
from headrace.testing import FakeClock, MemoryEpoch

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


def _keys(folder: Path, clock: FakeClock, epoch: Epoch | None = None) -> Keys:
    return Keys(folder, epoch or MemoryEpoch(), clock)


def test_the_name_of_a_key_is_its_thumbprint() -> None:
    # The example of RFC 8037, appendix A.
    public = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert kid_of(Ed25519PublicKey.from_public_bytes(public)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.requirement("MCP-03")
def test_after_a_rotation_the_new_key_signs_and_the_old_one_verifies_until_its_tokens_have_ended(
    tmp_path: Path,
) -> None:
    clock, epoch = FakeClock(), MemoryEpoch()
    keys = _keys(tmp_path, clock, epoch)
    old = keys.now()
    new = keys.rotate()
    assert keys.now().kid == new != old.kid
    assert set(keys.now().public) == {new, old.kid}
    clock.advance(MAX_TTL_S + 59)
    assert old.kid in keys.now().public
    clock.advance(2)
    assert set(keys.now().public) == {new}
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_rotation_destroys_the_old_private_key(tmp_path: Path) -> None:
    private = signing_key(tmp_path)
    secret = private.private_bytes_raw()
    _keys(tmp_path, FakeClock()).rotate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert secret not in path.read_bytes()
        assert pem != path.read_bytes()


def test_another_process_signs_with_the_new_key_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    ours, theirs = (SharedEpoch(tmp_path / "epoch") for _ in range(2))
    here, there = _keys(tmp_path / "keys", clock, ours), _keys(tmp_path / "keys", clock, theirs)
    assert here.now().kid == there.now().kid
    new = here.rotate()
    assert there.now().kid == new
    ours.close()
    theirs.close()


def test_a_rotation_that_was_killed_half_way_leaves_the_old_key_signing(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = _keys(tmp_path, clock)
    old = keys.now().kid
    pem = (tmp_path / KEY_FILE).read_bytes()
    keys.rotate()
    (tmp_path / KEY_FILE).write_bytes(pem)  # as if the process had died before the last step
    again = _keys(tmp_path, clock)
    assert again.now().kid == old
    assert set(again.now().public) == {old}
    new = again.rotate()
    assert set(again.now().public) == {old, new}


def test_two_rotations_at_once_lose_no_key(tmp_path: Path) -> None:
    clock = FakeClock()
    first = _keys(tmp_path, clock).now().kid
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: _keys(tmp_path, clock).rotate(), range(4)))
    assert set(_keys(tmp_path, clock).now().public) >= {first, *made}


def test_a_retired_key_that_is_not_what_it_says_is_refused(tmp_path: Path) -> None:
    keys = _keys(tmp_path, FakeClock())
    keys.rotate()
    (retired,) = tmp_path.glob("*.public")
    retired.write_bytes(b"not a key")
    with pytest.raises(InvalidInput, match="rotation"):
        _keys(tmp_path, FakeClock()).now()


def test_the_published_keys_hold_no_private_part(tmp_path: Path) -> None:
    keys = _keys(tmp_path, FakeClock())
    keys.rotate()
    published = keys.jwks()["keys"]
    assert len(published) == 2
    assert {key["kid"] for key in published} == set(keys.now().public)
    assert all(set(key) == {"kty", "crv", "x", "kid", "alg", "use"} for key in published)
