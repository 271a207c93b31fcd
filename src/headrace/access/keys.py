"""The keys that sign tokens: one that signs, and the public halves of those that did until a moment ago."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headrace.access.key_files import made_key, new_pem, public_pem, write_key
from headrace.access.memory import Memory
from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput
from headrace.core.ports import Clock, Epoch
from headrace.store.disk import locked

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE = "tokens.ed25519.pem"
OVERLAP_S = 960
"""How long a retired key still verifies: as long as its last token lives, and a minute for a process that
was about to sign when it was retired."""
_RETIRED = re.compile(r"(?P<kid>[A-Za-z0-9_-]{43})\.until-(?P<until_s>\d{1,12})\.public")
_ALL = "all"


@dataclass(frozen=True, kw_only=True)
class KeySet:
    """The keys at one moment.

    Attributes:
        kid: name of the key that signs, derived from its public half (RFC 7638).
        public: every key that verifies, by name.
    """

    kid: str
    private: Ed25519PrivateKey
    public: dict[str, Ed25519PublicKey]


class _Retired(NamedTuple):
    path: Path
    kid: str
    until_s: int


class Keys:
    """The signing keys in ``folder``, as they are at this moment in every process.

    Args:
        folder: made on first use, with a first key.

    Example::

        keys = Keys(home / "keys", store.epoch, clock)
        keys.rotate()
        keys.now().kid  # the new one; tokens that the old one has signed stay valid until they end
    """

    def __init__(self, folder: Path, epoch: Epoch, clock: Clock) -> None:
        self._folder = folder
        self._epoch = epoch
        self._clock = clock
        self._known = Memory(self._read, epoch, clock)

    def now(self) -> KeySet:
        """The keys; a first one is made where there is none.

        Raises:
            InvalidInput: the folder cannot be written, or a file is open to others or holds no such key.
        """
        return self._known.get(_ALL)

    def rotate(self) -> str:
        """Sign with a new key from now on; returns its name. The old private key is destroyed at once.

        Whenever the process dies, the key that signs verifies: first the old public half is kept, then the
        new key takes the old one's place.
        """
        signing_key(self._folder)
        with locked(self._folder):
            old = signing_key(self._folder)
            until_s = int(self._clock.now().timestamp()) + OVERLAP_S
            write_key(self._folder / f"{kid_of(old.public_key())}.until-{until_s}.public", public_pem(old))
            write_key(self._folder / KEY_FILE, new_pem())
        self._epoch.advance()
        return self.now().kid

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Every public key that verifies, as a JSON Web Key Set (RFC 7517, RFC 8037)."""
        return {
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "x": _text(key), "kid": kid, "alg": "EdDSA", "use": "sig"}
                for kid, key in self.now().public.items()
            ]
        }

    def _read(self, _: str) -> KeySet:
        private = signing_key(self._folder)
        own = private.public_key()
        now_s = self._clock.now().timestamp()
        public = {kid_of(own): own}
        for retired in _retired(self._folder):
            if retired.until_s <= now_s:
                retired.path.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError):  # another process found that its time is over
                public.setdefault(retired.kid, _read_public(retired))
        return KeySet(kid=kid_of(own), private=private, public=public)


def kid_of(key: Ed25519PublicKey) -> str:
    """The name of a key: its JSON Web Key thumbprint (RFC 7638)."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{_text(key)}"}}'
    digest = bytes.fromhex(digest_bytes(canonical.encode()))
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """The private key kept in ``folder``, made on first use.

    Raises:
        InvalidInput: the folder cannot be written, or the file is readable by others or no such key.
    """
    return made_key(folder / KEY_FILE, signs="tokens", then="and tokens issued so far end")


def _retired(folder: Path) -> list[_Retired]:
    found = []
    for path in sorted(folder.iterdir()):
        name = _RETIRED.fullmatch(path.name)
        if name is not None:
            found.append(_Retired(path, name["kid"], int(name["until_s"])))
    return found


def _read_public(retired: _Retired) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    path = retired.path
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey) or kid_of(key) != retired.kid or path.stat().st_mode & 0o077:
        raise InvalidInput(
            f"{path} is not the public key that a rotation left there. Delete it; tokens of that key end."
        )
    return key


def _text(key: Ed25519PublicKey) -> str:
    return base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()
