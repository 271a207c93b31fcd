"""Signatures of releases: made with a key of their own when a release is made, checked before it is used.

What is signed is the release's id and its digest. Whoever can write to the database or to the artefacts, but
not to the folder of keys, can change neither the manifest nor the package without being noticed.
"""

from __future__ import annotations

from pathlib import Path

from headrace.access.key_ring import BadSignature, KeyRing, PublicKey
from headrace.core.canonical import canonical_json, digest_of
from headrace.core.errors import Conflict
from headrace.core.release import Release

KEY_FILE = "releases.ed25519.pem"
"""Where the key lies in the folder of keys."""


class Signatures:
    """Signs releases, and verifies what this or an earlier key of the same home has signed.

    Args:
        folder: of the keys; made on first use, with a first key.

    Attributes:
        stages: public keys of other installations, whose releases may be brought here.

    Example::

        signature = signatures.sign(release)
        signatures.verify(replace(release, signature=signature))  # the key's name
    """

    def __init__(self, folder: Path) -> None:
        self._ring = KeyRing(folder, "releases")
        self.stages = KeyRing(folder, "stages")

    def sign(self, release: Release) -> str:
        """The signature: the key's name and the bytes in base64, with a colon between them.

        Raises:
            InvalidInput: the key cannot be made or used.
        """
        return self._ring.sign(_message(release))

    def verify(self, release: Release) -> str:
        """The name of the key that has signed ``release``.

        Raises:
            Conflict: the release has no signature, another one, or is not what was signed.
        """
        said = f"Release {release.id} is not what was signed"
        again = "Do not use it: build it again with headrace run, or restore the database from a backup."
        if digest_of(release.manifest) != release.digest or release.author != release.manifest.author:
            raise Conflict(f"{said}: its manifest does not have the digest {release.digest[:12]}. {again}")
        try:
            return self._ring.verify(release.signature, _message(release))
        except BadSignature as error:
            raise Conflict(f"{said}: {error}. {again}") from error

    def sign_bundle(self, digest: str) -> str:
        """The signature of a release that leaves for another installation, by the digest of its index."""
        return self._ring.sign(_bundled(digest))

    def verify_bundle(self, signature: str, digest: str) -> str:
        """The name of the key that has signed a bundle: of this home, or of a stage that is trusted here.

        Raises:
            BadSignature: none of them has.
        """
        ring = self._ring if self._ring.knows(signature) else self.stages
        return ring.verify(signature, _bundled(digest))

    def public_keys(self) -> list[PublicKey]:
        """Every key that verifies, the one that signs first."""
        return self._ring.public_keys()

    def rotate(self) -> str:
        """Sign with a new key from now on; returns its name. What the old one signed stays valid."""
        return self._ring.rotate()


def _message(release: Release) -> bytes:
    return canonical_json({"digest": release.digest, "release": release.id, "signed": "headrace release 1"})


def _bundled(digest: str) -> bytes:
    return canonical_json({"index": digest, "signed": "headrace bundle 1"})
