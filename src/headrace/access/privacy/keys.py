"""The secret of a workspace: a file readable by its owner only, made once, from which keys are derived."""

from __future__ import annotations

import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Literal

from headrace.core.errors import HeadraceError, Unavailable
from headrace.store.disk import write_once

_BYTES = 32
Use = Literal["hash", "token"]


class WorkspaceKeys:
    """Keys of each workspace, by what they are used for; one leaks nothing about another.

    Whoever loses the file ``privacy-<workspace>.key`` cannot join old hashes with new ones any more, nor
    restore tokens: back it up with the signing keys.

    Example::

        WorkspaceKeys(home / "keys").key("main", "hash")
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.key = lru_cache(maxsize=1000)(self._derived)

    def _derived(self, workspace: str, use: Use, size_bytes: int = 32) -> bytes:
        """The workspace's key for ``use``; the secret is made on first use.

        Raises:
            Unavailable: the file is readable by others, has another size, or cannot be read or made.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = f"headrace privacy {use}".encode()
        return HKDF(algorithm=SHA256(), length=size_bytes, salt=None, info=info).derive(
            self._secret(workspace)
        )

    def _secret(self, workspace: str) -> bytes:
        path = self._folder / f"privacy-{workspace}.key"
        try:
            if not path.exists():
                write_once(path, secrets.token_bytes(_BYTES))
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                secret = file.read()
        except (OSError, Unavailable) as error:
            reason = str(error) if isinstance(error, HeadraceError) else error.strerror
            raise Unavailable(
                f"{path} cannot be used ({reason}). Make it readable and its folder writable for this user."
            ) from error
        if mode & 0o077:
            raise Unavailable(
                f"{path} is open to other users (mode {mode:04o}, expected 0600): anybody could find out "
                "whom a hash stands for. Close it with chmod 600, or delete it: old hashes then join nothing "
                "new."
            )
        if len(secret) != _BYTES:
            raise Unavailable(
                f"{path} has {len(secret)} bytes, expected {_BYTES}. Restore it from a backup, or delete it: "
                "old hashes then join nothing new."
            )
        return secret
