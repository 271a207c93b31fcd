"""The key that signs tokens: one file, readable by its owner only, made once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE = "tokens.ed25519.pem"


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """The private key kept in ``folder``, made on first use.

    Raises:
        InvalidInput: the folder cannot be written, or the file is readable by others or no such key.
    """
    path = folder / KEY_FILE
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read ({error.strerror}). Run as the user who owns it."
        ) from error
    try:
        _create(path)
    except OSError as error:
        raise InvalidInput(
            f"{folder} cannot hold the key that signs tokens ({error.strerror}). "
            "Make it writable for this user, or choose another folder with HEADRACE_HOME."
        ) from error
    return _read(path)


def _create(path: Path) -> None:
    """Write the whole key under a temporary name, then give it its name only if nobody else has:
    of two processes at once one wins, and a crash never leaves half a key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        pem = file.read()
    if mode & 0o077:
        raise InvalidInput(
            f"{path} is open to other users (mode {mode:04o}, expected 0600): anybody could sign tokens. "
            "Delete it, so that a new one is made, and tokens issued so far end."
        )
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"{path} holds no Ed25519 private key. Delete it, so that a new one is made.")
    return key
