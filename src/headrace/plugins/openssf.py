"""Model signatures in the OpenSSF format, which other tools verify. Needs ``headrace[security]``."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from headrace.core.errors import Conflict, InvalidInput

BUNDLE = "model.sig"
KEY_FILE = "models.p256.pem"


def sign_folder(folder: Path, keys: Path) -> Path:
    """Write the bundle ``model.sig`` into ``folder``; returns the file of the public key, beside the folder.

    The format knows elliptic curves of NIST only, so models are signed with a P-256 key of their own. It is
    made on first use in ``keys``, readable by its owner only.

    Raises:
        InvalidInput: the extra is not installed, or the key cannot be used.
    """
    signing, hashing = _library("signing"), _library("hashing")
    private = keys / KEY_FILE
    _make_key(private)
    if private.stat().st_mode & 0o077:
        raise InvalidInput(f"{private} is open to other users: anybody could sign models. Delete it.")
    ignored = hashing.Config().set_ignored_paths(paths=[BUNDLE], ignore_git_paths=True)
    config = signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(ignored)
    config.sign(folder, folder / BUNDLE)
    public = folder.with_name(f"{folder.name}.pub")
    public.write_bytes(_public_half(private))
    return public


def verify_folder(folder: Path, public_key: Path) -> None:
    """Return if the files in ``folder`` are those that its bundle says the key has signed.

    Raises:
        Conflict: they are not.
        InvalidInput: the extra is not installed.
    """
    verifying, hashing = _library("verifying"), _library("hashing")
    ignored = hashing.Config().set_ignored_paths(paths=[BUNDLE], ignore_git_paths=True)
    config = verifying.Config().use_elliptic_key_verifier(public_key=public_key).set_hashing_config(ignored)
    try:
        config.verify(folder, folder / BUNDLE)
    except Exception as error:  # the library has an exception type for each way a bundle can be wrong
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise Conflict(f"{folder} is not what was signed: {reason}. Do not load it.") from error


def _library(part: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{part}")
    except ImportError as error:
        raise InvalidInput(
            "OpenSSF model signatures need the extra: pip install 'headrace[security]'."
        ) from error


def _make_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _public_half(private: Path) -> bytes:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(private.read_bytes(), password=None)
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*form)
