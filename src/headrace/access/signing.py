"""Signatures of releases: made with a key of their own when a release is made, checked before it is used.

What is signed is the release's id and its digest. Whoever can write to the database or to the artefacts, but
not to the folder of keys, can change neither the manifest nor the package without being noticed.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headrace.access.key_files import made_key, new_pem, public_pem, write_key
from headrace.access.keys import kid_of
from headrace.core.canonical import canonical_json, digest_of
from headrace.core.errors import Conflict, InvalidInput
from headrace.core.release import Release
from headrace.store.disk import locked

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE = "releases.ed25519.pem"
_PUBLIC = "releases"
_THEN = "and put back its public half in 'releases', so that releases signed so far stay valid"


class PublicKey(NamedTuple):
    """A key that releases are verified with.

    Attributes:
        name: derived from the key (RFC 7638).
        signs: whether it is the one that signs today; the others only verify what they signed.
    """

    name: str
    signs: bool
    pem: str


class Signatures:
    """Signs releases, and verifies what this or an earlier key of the same home has signed.

    Args:
        folder: of the keys; made on first use, with a first key.

    Example::

        signature = signatures.sign(release)
        signatures.verify(replace(release, signature=signature))  # the key's name
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sign(self, release: Release) -> str:
        """The signature: the key's name and the bytes in base64, with a colon between them.

        Raises:
            InvalidInput: the key cannot be made or used.
        """
        key = self._key()
        signed = key.sign(_message(release))
        return f"{kid_of(key.public_key())}:{base64.urlsafe_b64encode(signed).decode()}"

    def verify(self, release: Release) -> str:
        """The name of the key that has signed ``release``.

        Raises:
            Conflict: the release has no signature, another one, or is not what was signed.
        """
        from cryptography.exceptions import InvalidSignature

        said = f"Release {release.id} is not what was signed"
        again = "Do not use it: build it again with headrace run, or restore the database from a backup."
        if digest_of(release.manifest) != release.digest or release.author != release.manifest.author:
            raise Conflict(f"{said}: its manifest does not have the digest {release.digest[:12]}. {again}")
        if not release.signature:
            raise Conflict(f"{said}: it carries no signature. {again}")
        name, _, text = release.signature.partition(":")
        key = self._public().get(name)
        if key is None:
            raise Conflict(
                f"{said}: its signature names the key {name[:43]!r}, which this home never had. {again}"
            )
        try:
            key.verify(base64.b64decode(text, altchars=b"-_", validate=True), _message(release))
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise Conflict(f"{said}: its signature belongs to something else. {again}") from error
        return name

    def public_keys(self) -> list[PublicKey]:
        """Every key that verifies, the one that signs first."""
        from cryptography.hazmat.primitives import serialization

        own = kid_of(self._key().public_key())
        form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        found = [
            PublicKey(name, name == own, key.public_bytes(*form).decode())
            for name, key in self._public().items()
        ]
        return sorted(found, key=lambda key: (not key.signs, key.name))

    def rotate(self) -> str:
        """Sign with a new key from now on; returns its name. What the old one signed stays valid."""
        self._key()
        with locked(self._folder):
            self._keep_public(self._key())
            write_key(self._folder / KEY_FILE, new_pem())
        return kid_of(self._key().public_key())

    def _key(self) -> Ed25519PrivateKey:
        key = made_key(self._folder / KEY_FILE, signs="releases", then=_THEN)
        self._keep_public(key)
        return key

    def _keep_public(self, key: Ed25519PrivateKey) -> None:
        path = self._folder / _PUBLIC / f"{kid_of(key.public_key())}.pem"
        if path.is_file():
            return
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            write_key(path, public_pem(key), only_if_absent=True)
        except OSError as error:
            raise InvalidInput(
                f"{path.parent} cannot hold public keys ({error.strerror}). Make it writable for this user."
            ) from error

    def _public(self) -> dict[str, Ed25519PublicKey]:
        """Every public key by its name. One whose file is called otherwise, or is no key, is none of ours."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        found = {}
        for path in sorted((self._folder / _PUBLIC).glob("*.pem")):
            try:
                key = serialization.load_pem_public_key(path.read_bytes())
            except ValueError:
                continue
            if isinstance(key, Ed25519PublicKey) and kid_of(key) == path.stem:
                found[path.stem] = key
        return found


def _message(release: Release) -> bytes:
    return canonical_json({"digest": release.digest, "release": release.id, "signed": "headrace release 1"})
