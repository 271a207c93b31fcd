"""Small secrets that have to be read again and so cannot be hashed: sealed with a key on disk."""

from __future__ import annotations

import base64
import os
import tempfile
from functools import cached_property
from pathlib import Path

from headrace.core.errors import InternalError, InvalidInput

KEY_FILE = "vault.key"
_KEY_BYTES, _NONCE_BYTES = 32, 12


class Vault:
    """Seals with AES-256-GCM. The key is made on first use, in a file that only its owner may read.

    Args:
        folder: where the key is kept.

    Example::

        vault = Vault(home / "keys")
        vault.open(vault.seal(b"secret", owner="ann"), owner="ann")  # b"secret"
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE

    def seal(self, secret: bytes, *, owner: str) -> str:
        """``secret`` as text that says nothing, and that opens for the same ``owner`` only."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + AESGCM(self._key).encrypt(nonce, secret, owner.encode())).decode()

    def open(self, sealed: str, *, owner: str) -> bytes:
        """What was sealed.

        Raises:
            InternalError: it was altered, belongs to another owner, or was sealed with another key.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            raw = base64.b64decode(sealed, validate=True)
            return AESGCM(self._key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError) as error:
            raise InternalError(
                f"A secret of {owner!r} cannot be opened with {self._path}: it was altered, or sealed with "
                "another key. Put the old key file back, or have the secret made again."
            ) from error

    @cached_property
    def _key(self) -> bytes:
        try:
            if not self._path.exists():
                self._create()
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                key = file.read()
        except OSError as error:
            raise InvalidInput(
                f"{self._path} cannot be used ({error.strerror}). Make it readable for this user, or choose "
                "another folder with HEADRACE_HOME."
            ) from error
        if mode & 0o077:
            raise InvalidInput(
                f"{self._path} is open to other users (mode {mode:04o}, expected 0600): they may have read "
                "it. Close it with chmod 600, and have every second factor made again."
            )
        if len(key) != _KEY_BYTES:
            raise InvalidInput(
                f"{self._path} holds {len(key)} bytes, expected {_KEY_BYTES}. Put the right file back."
            )
        return key

    def _create(self) -> None:
        """Under a temporary name first: of two processes one wins, and a crash leaves no half a key."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, self._path)
        except FileExistsError:
            return
        finally:
            Path(temporary).unlink()
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
