"""What was begun and waits for its other half: a challenge, or the key of an app without its first code."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

from headrace.access.vault import Vault
from headrace.core.canonical import digest_bytes
from headrace.core.identity import Expiring
from headrace.core.ports import Clock, ExpiringStore

_Value = TypeVar("_Value")


class Pending(Generic[_Value]):
    """Values by key, each for ``ttl_s`` seconds and to be taken once, in whichever process asks.

    Kept sealed: whoever reads the database learns nothing that they could finish.

    Args:
        kind: what they are called in the store; values of one kind are of one type, ``value``.
        max_kept: how many wait at a time; the oldest makes room.
    """

    def __init__(
        self,
        expiring: ExpiringStore,
        vault: Vault,
        clock: Clock,
        *,
        kind: str,
        value: type[_Value],
        ttl_s: float = 600.0,
        max_kept: int = 1_000,
    ) -> None:
        self._expiring = expiring
        self._vault = vault
        self._clock = clock
        self._kind = kind
        self._decoder = msgspec.json.Decoder(value)
        self._ttl_s = ttl_s
        self._max_kept = max_kept

    def put(self, key: str, value: _Value) -> None:
        """Keep ``value``; an earlier one under this key is gone."""
        kept = Expiring(
            kind=self._kind,
            key=_digest(key),
            value=self._vault.seal(msgspec.json.encode(value), owner=key),
            ends_at=self._clock.now() + timedelta(seconds=self._ttl_s),
        )
        self._expiring.change(kept.kind, kept.key, lambda _: kept, most=self._max_kept)

    def take(self, key: str) -> _Value | None:
        """The value under ``key``, which is gone from now on; None if there is none, or it is too old."""
        return self._opened(key, self._expiring.take(self._kind, _digest(key)))

    def look(self, key: str) -> _Value | None:
        """The value under ``key``, which stays."""
        return self._opened(key, self._expiring.find(self._kind, _digest(key)))

    def _opened(self, key: str, kept: Expiring | None) -> _Value | None:
        if kept is None:
            return None
        return self._decoder.decode(self._vault.open(kept.value, owner=key))


def _digest(key: str) -> str:
    return digest_bytes(key.encode("utf-8", "surrogatepass"))
