"""Signing keys as files: whole or not there, and readable by their owner only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import InvalidInput
from headrace.store.disk import sync_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def made_key(path: Path, *, signs: str, then: str) -> Ed25519PrivateKey:
    """The private key in ``path``, made on first use.

    Args:
        signs: what it signs, for messages.
        then: what follows when it is deleted, for messages.

    Raises:
        InvalidInput: the folder cannot be written, or the file is readable by others or no such key.
    """
    try:
        return _read(path, signs, then)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read ({error.strerror}). Run as the user who owns it."
        ) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_key(path, new_pem(), only_if_absent=True)
    except OSError as error:
        raise InvalidInput(
            f"{path.parent} cannot hold the key that signs {signs} ({error.strerror}). "
            "Make it writable for this user, or choose another folder with HEADRACE_HOME."
        ) from error
    return _read(path, signs, then)


def write_key(path: Path, content: bytes, *, only_if_absent: bool = False) -> None:
    """Write everything under a temporary name, then give it its name: a crash never leaves half a key,
    and of two processes at once that make the first key one wins."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if only_if_absent:
            os.link(temporary, path)
        else:
            Path(temporary).replace(path)
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink(missing_ok=True)
    sync_folder(path.parent)


def new_pem() -> bytes:
    """A new private key, as a file holds it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """The public half of ``key``, as a file holds it."""
    from cryptography.hazmat.primitives import serialization

    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _read(path: Path, signs: str, then: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        pem = file.read()
    if mode & 0o077:
        raise InvalidInput(
            f"{path} is open to other users (mode {mode:04o}, expected 0600): anybody could sign {signs}. "
            f"Delete it, so that a new one is made, {then}."
        )
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"{path} holds no Ed25519 private key. Delete it, so that a new one is made.")
    return key
