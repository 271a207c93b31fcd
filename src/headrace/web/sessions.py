"""Sign-in for browsers: one-time tickets and short sessions, both in memory and kept only as digests."""

from __future__ import annotations

import hmac
import secrets
import threading
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from headrace.core.identity import Proof, Session
from headrace.core.ports import Clock

TICKET_S = 600.0
MAX_AGE_S = 43_200.0
MAX_IDLE_S = 3_600.0
_MAX_TICKETS = 100
_MAX_SESSIONS = 1_000
_RANDOM_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """One ticket or session: whose it is, its moments on the monotonic clock, and what was proved in it."""

    digest: bytes
    name: str
    made_s: float
    used_s: float
    began_at: datetime
    proved_until: datetime | None = None
    proof: Proof | None = None


class Signed(NamedTuple):
    """Who is signed in, and how they have proved it."""

    name: str
    session: Session


class Tickets:
    """Links that sign one person in once, within ten minutes.

    Example::

        tickets.redeem(tickets.issue("ann"))  # "ann"; None the second time
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: list[_Kept] = []

    def issue(self, name: str) -> str:
        """A new ticket for the identity ``name``: 32 random bytes as URL-safe text."""
        text, kept = _new(name, self._clock)
        with self._lock:
            self._kept = [*self._kept[-(_MAX_TICKETS - 1) :], kept]
        return text

    def redeem(self, ticket: str) -> str | None:
        """The identity that ``ticket`` was issued to; from now on it is worth nothing."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._kept = [kept for kept in self._kept if now_s - kept.made_s < TICKET_S]
            found = _match(self._kept, ticket)
            if found is None:
                return None
            self._kept.remove(found)
            return found.name


class Sessions:
    """Who is signed in. A session ends after 12 hours, after an idle hour, or with the process.

    Each process has its own: behind several, a browser has to come back to the same one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[bytes, _Kept] = {}

    def open(self, name: str) -> str:
        """Begin a session of the identity ``name``; returns the cookie's value."""
        text, kept = _new(name, self._clock)
        with self._lock:
            if len(self._kept) >= _MAX_SESSIONS:
                self._kept.pop(min(self._kept.values(), key=lambda one: one.used_s).digest)
            self._kept[kept.digest] = kept
        return text

    def find(self, value: str | None, *, awake: bool = True) -> Signed | None:
        """The identity whose session ``value`` is, if it has not ended.

        Args:
            awake: a person asks, which counts against idleness; a page that refreshes itself does not.
        """
        if not value:
            return None
        digest, now_s = _digest(value), self._clock.monotonic_s()
        with self._lock:
            kept = self._kept.get(digest)
            if kept is None:
                return None
            if now_s - kept.made_s >= MAX_AGE_S or now_s - kept.used_s >= MAX_IDLE_S:
                del self._kept[digest]
                return None
            if awake:
                self._kept[digest] = replace(kept, used_s=now_s)
        session = Session(
            token=digest.hex()[:16], began_at=kept.began_at, proved_until=kept.proved_until, proof=kept.proof
        )
        return Signed(kept.name, session)

    def prove(self, value: str | None, until: datetime, proof: Proof) -> bool:
        """Note that a second factor was shown in a session; False if there is no such session."""
        digest = _digest(value or "")
        with self._lock:
            kept = self._kept.get(digest)
            if kept is not None:
                self._kept[digest] = replace(kept, proved_until=until, proof=proof)
        return kept is not None

    def close_all(self, name: str) -> int:
        """End every session of the identity ``name``; returns how many there were."""
        with self._lock:
            ended = [digest for digest, kept in self._kept.items() if kept.name == name]
            for digest in ended:
                del self._kept[digest]
        return len(ended)

    def close(self, value: str | None) -> None:
        """End a session; one that has ended already is no error."""
        with self._lock:
            self._kept.pop(_digest(value or ""), None)


def _new(name: str, clock: Clock) -> tuple[str, _Kept]:
    text, now_s = secrets.token_urlsafe(_RANDOM_BYTES), clock.monotonic_s()
    return text, _Kept(digest=_digest(text), name=name, made_s=now_s, used_s=now_s, began_at=clock.now())


def _match(all_kept: list[_Kept], text: str) -> _Kept | None:
    """The entry for ``text``; every entry is compared, so the time taken tells nothing."""
    digest, found = _digest(text), None
    for kept in all_kept:
        if hmac.compare_digest(kept.digest, digest):
            found = kept
    return found


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
