"""The keys by which providers know us."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.access.vault import Vault
from headrace.core.errors import InvalidInput
from headrace.core.ids import NAME_PATTERN
from headrace.gateway.llm.endpoints import FILE
from headrace.store.disk import locked, make_folder, sync_folder, write_file

KEYS_FILE = "provider-keys.json"
_ENV = "env:"
_OWNER = "provider-key:"


class ProviderKeys:
    """The keys by which providers know us, by name; sealed where they are kept, and never in a log.

    Args:
        folder: where they are kept, beside the vault's own key.
        environment: where names that begin with ``env:`` are looked up.
    """

    def __init__(self, folder: Path, vault: Vault, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._vault = vault
        self._environment = environment

    def get(self, name: str) -> str:
        """The key; for no name, no key.

        Raises:
            InvalidInput: there is none of this name.
        """
        if not name:
            return ""
        if name.startswith(_ENV):
            found = self._environment.get(name.removeprefix(_ENV), "")
            if not found:
                raise InvalidInput(f"The variable {name.removeprefix(_ENV)!r} is not set. {FILE} names it.")
            return found
        sealed = self._read().get(name)
        if sealed is None:
            raise InvalidInput(f"There is no key {name[:64]!r}, which {FILE} names. Put it into the vault.")
        return self._vault.open(sealed, owner=_OWNER + name).decode()

    def put(self, name: str, key: str) -> None:
        """Keep a key, in place of one of the same name; durable when it returns.

        Raises:
            InvalidInput: it is no key that a header can carry, or no name.
        """
        if not NAME_PATTERN.fullmatch(name):
            raise InvalidInput(f"{name[:64]!r} is no name of a key. Expected a lower-case letter, then more.")
        if not (key and key.isascii() and key.isprintable()) or " " in key:
            raise InvalidInput(f"The key {name!r} cannot be sent. Expected printable ASCII without spaces.")
        make_folder(self._folder)
        with locked(self._folder):
            self._write(self._read() | {name: self._vault.seal(key.encode(), owner=_OWNER + name)})

    def remove(self, name: str) -> bool:
        """Forget a key; whether it was there."""
        make_folder(self._folder)
        with locked(self._folder):
            kept = self._read()
            if kept.pop(name, None) is None:
                return False
            self._write(kept)
        return True

    def names(self) -> list[str]:
        """Of all keys that are kept."""
        return sorted(self._read())

    def _read(self) -> dict[str, str]:
        path = self._folder / KEYS_FILE
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return msgspec.json.decode(data, type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"{path} is broken ({error}). Put the old one back.") from error

    def _write(self, kept: dict[str, Any]) -> None:
        path, fresh = self._folder / KEYS_FILE, self._folder / f".new-{KEYS_FILE}"
        write_file(fresh, msgspec.json.encode(kept))
        fresh.replace(path)  # so that a crash leaves the old keys or the new ones
        sync_folder(self._folder)
