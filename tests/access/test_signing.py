from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.signing import KEY_FILE, Signatures
from headrace.core.canonical import digest_of
from headrace.core.errors import Conflict, InvalidInput
from headrace.core.release import Release
from headrace.testing import make_manifest, make_release


def signed(signatures: Signatures) -> Release:
    release = make_release()
    return replace(release, signature=signatures.sign(release))


def test_what_was_signed_is_verified_by_any_process_of_the_home(tmp_path: Path) -> None:
    release = signed(Signatures(tmp_path))
    name = Signatures(tmp_path).verify(release)
    assert [key.name for key in Signatures(tmp_path).public_keys()] == [name]
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_signing_again_is_the_same_signature(tmp_path: Path) -> None:
    release = make_release()
    assert Signatures(tmp_path).sign(release) == Signatures(tmp_path).sign(release)


def test_the_state_is_not_signed(tmp_path: Path) -> None:
    signatures = Signatures(tmp_path)
    assert signatures.verify(replace(signed(signatures), state="live", reason="promoted"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signature": ""}, "carries no signature"),
        ({"id": "another"}, "belongs to something else"),
        ({"digest": "0" * 64}, "does not have the digest"),
        ({"manifest": make_manifest(seed=7)}, "does not have the digest"),
        ({"author": "mallory"}, "does not have the digest"),
        ({"signature": "x" * 43 + ":AAAA"}, "which this home never had"),
    ],
)
def test_a_changed_release_is_refused(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    signatures = Signatures(tmp_path)
    with pytest.raises(Conflict, match=reason):
        signatures.verify(replace(signed(signatures), **change))  # type: ignore[arg-type]


def test_a_manifest_with_its_own_new_digest_is_refused(tmp_path: Path) -> None:
    signatures = Signatures(tmp_path)
    manifest = make_manifest(seed=7)
    with pytest.raises(Conflict, match="belongs to something else"):
        signatures.verify(replace(signed(signatures), manifest=manifest, digest=digest_of(manifest)))


def test_a_signature_of_another_home_is_refused(tmp_path: Path) -> None:
    signatures = Signatures(tmp_path / "ours")
    signatures.public_keys()
    with pytest.raises(Conflict, match="which this home never had"):
        signatures.verify(signed(Signatures(tmp_path / "theirs")))


@settings(max_examples=30, deadline=None)
@given(position=st.integers(44, 131), letter=st.sampled_from("AZaz09-_="))
def test_no_other_signature_fits(
    tmp_path_factory: pytest.TempPathFactory, position: int, letter: str
) -> None:
    signatures = Signatures(tmp_path_factory.getbasetemp() / "property")
    release = signed(signatures)
    text = release.signature
    altered = text[:position] + letter + text[position + 1 :]
    # The last letter of base64 holds bits that mean nothing: only another value is another signature.
    if altered == text or position >= len(text) - 3:
        return
    with pytest.raises(Conflict, match="belongs to something else"):
        signatures.verify(replace(release, signature=altered))


def test_after_a_rotation_the_new_key_signs_and_the_old_one_still_verifies(tmp_path: Path) -> None:
    signatures = Signatures(tmp_path)
    before = signed(signatures)
    old = signatures.verify(before)
    new = signatures.rotate()
    assert new != old
    assert signatures.verify(before) == old
    assert signatures.verify(signed(signatures)) == new
    assert [(key.name, key.signs) for key in signatures.public_keys()] == [(new, True), (old, False)]


def test_a_public_key_that_was_taken_away_verifies_no_more(tmp_path: Path) -> None:
    signatures = Signatures(tmp_path)
    before = signed(signatures)
    old = signatures.verify(before)
    signatures.rotate()
    (tmp_path / "releases" / f"{old}.pem").unlink()
    with pytest.raises(Conflict, match="which this home never had"):
        signatures.verify(before)


def test_a_key_under_another_keys_name_is_not_used(tmp_path: Path) -> None:
    ours, theirs = Signatures(tmp_path / "ours"), Signatures(tmp_path / "theirs")
    name = ours.verify(signed(ours))
    (tmp_path / "ours" / "releases" / f"{name}.pem").write_text(theirs.public_keys()[0].pem)
    with pytest.raises(Conflict, match="which this home never had"):
        ours.verify(signed(theirs))


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    signatures = Signatures(tmp_path)
    signatures.public_keys()
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(InvalidInput, match="anybody could sign releases"):
        signatures.sign(make_release())


@pytest.mark.requirement("REG-04")
def test_a_key_of_another_stage_verifies_bundles_and_no_release_until_it_is_refused(tmp_path: Path) -> None:
    there, here = Signatures(tmp_path / "there"), Signatures(tmp_path / "here")
    (key,) = there.public_keys()
    signature, digest = there.sign_bundle("digest"), "digest"
    with pytest.raises(Conflict, match="never had"):
        here.verify_bundle(signature, digest)
    assert here.stages.accept(key.pem.encode()) == key.name == there.verify_bundle(signature, digest)
    assert [(one.name, one.signs) for one in here.stages.accepted()] == [(key.name, False)]
    assert here.verify_bundle(signature, digest) == key.name
    with pytest.raises(Conflict, match="something else"):
        here.verify_bundle(signature, "another digest")
    with pytest.raises(Conflict, match="is not what was signed"):
        here.verify(signed(there))
    assert here.stages.refuse(key.name)
    assert not here.stages.refuse(key.name)
    with pytest.raises(Conflict, match="never had"):
        here.verify_bundle(signature, digest)


@pytest.mark.parametrize(
    "pem", [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_public_key_is_not_trusted(tmp_path: Path, pem: bytes) -> None:
    with pytest.raises(InvalidInput, match="no public Ed25519 key"):
        Signatures(tmp_path).stages.accept(pem)
