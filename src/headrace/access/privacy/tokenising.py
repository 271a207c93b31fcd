"""Reversible stand-ins: what is recognised in a text becomes a token that only its workspace can read.

There is no vault to lose or to leak. A token is the value itself, encrypted with the workspace's key in
AES-SIV (RFC 5297): equal values give equal tokens, so that rows can still be joined and counted.
"""

from __future__ import annotations

import base64
import binascii
import re

from headrace.access.privacy.recognisers import Kind, replace_found

_TOKEN = re.compile(r"<([A-Z_]{2,20}):([A-Za-z0-9_-]{22,4096})>")


class Tokeniser:
    """Makes and reads the tokens of one workspace.

    Args:
        key: 64 bytes, such as ``WorkspaceKeys.key(workspace, "token", 64)``.

    Example::

        tokeniser.restore(tokeniser.tokenise("Write to ada@example.org"))
    """

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        self._cipher = AESSIV(key)

    def tokenise(self, text: str) -> str:
        """``text`` with everything recognised as ``<EMAIL:...>``, ``<CARD:...>`` and so on."""
        return replace_found(text, self._token)

    def restore(self, text: str) -> str:
        """Undo :meth:`tokenise`; what is no token of this workspace stays as it is."""
        return _TOKEN.sub(self._value, text)

    def _token(self, kind: Kind, value: str) -> str:
        name = kind.upper()
        sealed = self._cipher.encrypt(value.encode("utf-8", "surrogatepass"), [name.encode()])
        return f"<{name}:{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}>"

    def _value(self, match: re.Match[str]) -> str:
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
            return self._cipher.decrypt(sealed, [match[1].encode()]).decode("utf-8", "surrogatepass")
        except (InvalidTag, binascii.Error, ValueError):
            return match[0]
