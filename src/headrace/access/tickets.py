"""Links that sign one person in once, at whichever server; kept only as digests."""

from __future__ import annotations

import secrets
from datetime import timedelta

from headrace.core.canonical import digest_bytes
from headrace.core.identity import Expiring
from headrace.core.ports import Clock, ExpiringStore

TICKET_S = 600.0
_MAX_OF_ONE = 100
"""How many links one identity has at most."""
_RANDOM_BYTES = 32
_KIND = "ticket"


class Tickets:
    """Links that sign one person in once, within ten minutes, at whichever server.

    Example::

        tickets.redeem(tickets.issue("ann"))  # "ann"; None the second time
    """

    def __init__(self, expiring: ExpiringStore, clock: Clock) -> None:
        self._expiring = expiring
        self._clock = clock

    def issue(self, name: str) -> str:
        """A new ticket for the identity ``name``: 32 random bytes as URL-safe text."""
        text = secrets.token_urlsafe(_RANDOM_BYTES)
        ends_at = self._clock.now() + timedelta(seconds=TICKET_S)
        kept = Expiring(kind=_KIND, key=_digest(text), subject=name, value="", ends_at=ends_at)
        self._expiring.change(_KIND, kept.key, lambda _: kept, most=_MAX_OF_ONE)
        return text

    def path(self, name: str) -> str:
        """A path that signs the identity ``name`` in once, within ten minutes: ``/signin?ticket=...``."""
        return f"/signin?ticket={self.issue(name)}"

    def redeem(self, ticket: str) -> str | None:
        """The identity that ``ticket`` was issued to; from now on it is worth nothing."""
        found = self._expiring.take(_KIND, _digest(ticket))
        return None if found is None else found.subject


def _digest(text: str) -> str:
    return digest_bytes(text.encode())
