"""A key that signs one kind of thing, and the public halves of every key that ever did."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headrace.access.key_files import made_key, new_pem, public_pem, write_key
from headrace.access.keys import kid_of
from headrace.core.errors import Conflict, InvalidInput
from headrace.store.disk import locked

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_LAST = "last.json"


class PublicKey(NamedTuple):
    """A key that verifies.

    Attributes:
        name: derived from the key (RFC 7638).
        signs: whether it is the one that signs today; the others only verify what they signed.
    """

    name: str
    signs: bool
    pem: str


class BadSignature(Conflict):
    """What is there is not what was signed; the message says why, to follow a colon."""


class KeyRing:
    """Signs with Ed25519 (RFC 8032), and verifies what this or an earlier key of the same home has signed.

    Args:
        folder: of the keys; made on first use, with a first key.
        what: is signed, such as ``"releases"``; also the name of the key's file and of the folder of its
            public halves.

    Example::

        signature = ring.sign(b"statement")
        ring.verify(signature, b"statement")  # the key's name
    """

    def __init__(self, folder: Path, what: str) -> None:
        self._folder = folder
        self._what = what
        self._file = folder / f"{what}.ed25519.pem"

    def sign(self, message: bytes) -> str:
        """The signature: the key's name and the bytes in base64, with a colon between them.

        Raises:
            InvalidInput: the key cannot be made or used.
        """
        key = self._key()
        return f"{kid_of(key.public_key())}:{base64.urlsafe_b64encode(key.sign(message)).decode()}"

    def verify(self, signature: str, message: bytes) -> str:
        """The name of the key that has signed ``message``.

        Raises:
            BadSignature: there is no signature, or another one.
        """
        from cryptography.exceptions import InvalidSignature

        if not signature:
            raise BadSignature("it carries no signature")
        name, _, text = signature.partition(":")
        key = self._public().get(name)
        if key is None:
            raise BadSignature(f"its signature names the key {name[:43]!r}, which this home never had")
        try:
            key.verify(base64.b64decode(text, altchars=b"-_", validate=True), message)
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise BadSignature("its signature belongs to something else") from error
        return name

    def knows(self, signature: str) -> bool:
        """Whether it names a key that verifies here."""
        return signature.partition(":")[0] in self._public()

    def public_keys(self) -> list[PublicKey]:
        """Every key that verifies, the one that signs first."""
        own = kid_of(self._key().public_key())
        return sorted(self._named(own), key=lambda key: (not key.signs, key.name))

    def accepted(self) -> list[PublicKey]:
        """Every key that verifies, where none signs: those of others, by their names."""
        return sorted(self._named(""), key=lambda key: key.name)

    def accept(self, pem: bytes) -> str:
        """Verify from now on what the private half of this public key signs; returns the key's name.

        Raises:
            InvalidInput: it is no public Ed25519 key in PEM, or the folder of the keys cannot be written.
        """
        key = _public_key(pem)
        self._write_public(kid_of(key), _pem(key))
        return kid_of(key)

    def refuse(self, name: str) -> bool:
        """Verify nothing by this key any more; whether it was there."""
        if name not in self._public():
            return False
        (self._folder / self._what / f"{name}.pem").unlink(missing_ok=True)
        return True

    def rotate(self) -> str:
        """Sign with a new key from now on; returns its name. What the old one signed stays valid."""
        self._key()
        with locked(self._folder):
            self._keep_public(self._key())
            write_key(self._file, new_pem())
        return kid_of(self._key().public_key())

    def keep(self, statement: bytes) -> None:
        """Remember, where the key is, what was signed last.

        Raises:
            InvalidInput: the folder of the keys cannot be written.
        """
        try:
            write_key(self._folder / self._what / _LAST, statement)
        except OSError as error:
            raise InvalidInput(
                f"{self._folder} cannot hold what was signed last ({error.strerror}). "
                "Make it writable for this user."
            ) from error

    def kept(self) -> bytes | None:
        """What was signed last, as far as it was remembered."""
        try:
            return (self._folder / self._what / _LAST).read_bytes()
        except FileNotFoundError:
            return None

    def _key(self) -> Ed25519PrivateKey:
        then = f"and put back its public half in {self._what!r}: what it has signed stays valid by that"
        key = made_key(self._file, signs=self._what, then=then)
        self._keep_public(key)
        return key

    def _named(self, own: str) -> list[PublicKey]:
        return [PublicKey(name, name == own, _pem(key).decode()) for name, key in self._public().items()]

    def _keep_public(self, key: Ed25519PrivateKey) -> None:
        self._write_public(kid_of(key.public_key()), public_pem(key))

    def _write_public(self, name: str, pem: bytes) -> None:
        path = self._folder / self._what / f"{name}.pem"
        if path.is_file():
            return
        try:
            path.parent.mkdir(exist_ok=True, parents=True, mode=0o700)
            write_key(path, pem, only_if_absent=True)
        except OSError as error:
            raise InvalidInput(
                f"{path.parent} cannot hold public keys ({error.strerror}). Make it writable for this user."
            ) from error

    def _public(self) -> dict[str, Ed25519PublicKey]:
        """Every public key by its name. One whose file is called otherwise, or is no key, is none of ours."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        found = {}
        for path in sorted((self._folder / self._what).glob("*.pem")):
            try:
                key = serialization.load_pem_public_key(path.read_bytes())
            except ValueError:
                continue
            if isinstance(key, Ed25519PublicKey) and kid_of(key) == path.stem:
                found[path.stem] = key
        return found


def _pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(*form)


def name_of(pem: bytes) -> str:
    """The name of a public key. Raises as :meth:`KeyRing.accept` does."""
    return kid_of(_public_key(pem))


def _public_key(pem: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput(
            "This is no public Ed25519 key in PEM. Expected what 'headrace release keys show' prints where "
            "the releases come from."
        )
    return key
