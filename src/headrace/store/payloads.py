"""What somebody sent or is to get, as text in a record: in clear, or sealed under the project's key."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from headrace.core.errors import InternalError
from headrace.core.ports import DataKeys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_CLEAR, _SEALED = "clear:", "sealed:"
_NONCE_BYTES = 12


class Payloads:
    """Seals texts as a project's streams and tables are (AES-256-GCM), each for the place that it is kept at.

    Example::

        kept = payloads.seal("cars", "job 0198c0de", '{"mileage": [1.0]}')
        payloads.open("cars", "job 0198c0de", kept)
    """

    def __init__(self, keys: DataKeys) -> None:
        self._keys = keys

    def seal(self, project: str, place: str, text: str) -> str:
        """``text`` as it may be kept.

        Raises:
            Unavailable: the project's key cannot be read.
        """
        key_id = self._keys.current(_name(project))
        if key_id is None:
            return f"{_CLEAR}{text}"
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher(project, key_id, place).encrypt(nonce, text.encode(), place.encode())
        return f"{_SEALED}{key_id}:{base64.b64encode(sealed).decode()}"

    def open(self, project: str, place: str, kept: str) -> str:
        """The text that :meth:`seal` was given.

        Raises:
            Unavailable: its key cannot be read.
            InternalError: it was altered, or belongs to another place.
        """
        from cryptography.exceptions import InvalidTag

        if kept.startswith(_CLEAR):
            return kept.removeprefix(_CLEAR)
        key_id, _, text = kept.removeprefix(_SEALED).partition(":")
        sealed = base64.b64decode(text)
        nonce, content = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher(project, key_id, place).decrypt(nonce, content, place.encode()).decode()
        except InvalidTag as error:
            raise InternalError(
                f"What is kept of {place} was altered, or was written elsewhere. Restore it from a backup."
            ) from error

    def _cipher(self, project: str, key_id: str, place: str) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._keys.key(_name(project), key_id, place))


def _name(project: str) -> str:
    return f"{project}/predictions"
