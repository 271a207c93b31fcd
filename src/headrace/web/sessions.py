"""Short sessions of browsers, shared by all servers and kept only as digests."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from headrace.access.memory import Memory
from headrace.core.canonical import digest_bytes
from headrace.core.identity import Expiring, Proof, Session
from headrace.core.ports import Clock, Epoch, ExpiringStore

MAX_AGE_S = 43_200.0
MAX_IDLE_S = 3_600.0
_NOTED_S = 60.0
"""How often at most it is written that a session is in use."""
_MAX_OF_ONE = 100
"""How many sessions one identity has at most."""
_RANDOM_BYTES = 32
_SESSION = "session"


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """One session: whose it is, what was proved in it, and the token that it began with, if any.

    Attributes:
        generation: of its owner's tokens when it began; the session ends with them.
    """

    name: str
    began_at: datetime
    used_at: datetime
    proved_until: datetime | None = None
    proof: Proof | None = None
    origin: dict[str, str] = field(default_factory=dict)
    generation: int = 0

    @property
    def ends_at(self) -> datetime:
        """From when on it is none any more, unless somebody uses it before."""
        return min(self.began_at + timedelta(seconds=MAX_AGE_S), self.used_at + timedelta(seconds=MAX_IDLE_S))


class Signed(NamedTuple):
    """Who is signed in, how they have proved it, and by which token, if they pasted one.

    Attributes:
        origin: what that token goes by: ``token``, ``family``, ``run``. The session ends with it.
        generation: how often all tokens of ``name`` had been ended when the session began.
    """

    name: str
    session: Session
    origin: Mapping[str, str]
    generation: int


class Sessions:
    """Who is signed in, at all servers of one database. A session ends after 12 hours or an idle hour.

    What was looked up is remembered until anybody's rights change, for a second at most.
    """

    def __init__(self, expiring: ExpiringStore, epoch: Epoch, clock: Clock) -> None:
        self._expiring = expiring
        self._epoch = epoch
        self._clock = clock
        self._known = Memory(self._look, epoch, clock)

    def open(self, name: str, token: Session | None = None, *, generation: int = 0) -> str:
        """Begin a session of the identity ``name``; returns the cookie's value.

        Args:
            token: what the token says that was pasted: the session ends with it.
            generation: how often all tokens of ``name`` have been ended so far.
        """
        text, now = secrets.token_urlsafe(_RANDOM_BYTES), self._clock.now()
        names = {} if token is None else {"token": token.token, "family": token.family, "run": token.run}
        origin = {what: value for what, value in names.items() if value is not None}
        kept = _Kept(name=name, began_at=now, used_at=now, origin=origin, generation=generation)
        self._change(_digest(text), lambda _: kept)
        return text

    def find(self, value: str | None, *, awake: bool = True) -> Signed | None:
        """The identity whose session ``value`` is, if it has not ended.

        Args:
            awake: a person asks, which counts against idleness; a page that refreshes itself does not.
        """
        if not value:
            return None
        key, now = _digest(value), self._clock.now()
        kept = self._known.get(key)
        if kept is None or now >= kept.ends_at:
            return None
        if awake and now - kept.used_at >= timedelta(seconds=_NOTED_S):
            self._change(key, lambda standing: standing and replace(standing, used_at=now))
            self._known.forget(key)
        session = Session(
            token=key[:16], began_at=kept.began_at, proved_until=kept.proved_until, proof=kept.proof
        )
        return Signed(kept.name, session, kept.origin, kept.generation)

    def prove(self, value: str | None, until: datetime, proof: Proof) -> bool:
        """Note that a second factor was shown in a session; False if there is no such session."""
        changed = self._change(
            _digest(value or ""),
            lambda standing: standing and replace(standing, proved_until=until, proof=proof),
        )
        self._epoch.advance()
        return changed is not None

    def close_all(self, name: str) -> int:
        """End every session of the identity ``name``; returns how many there were."""
        n_ended = self._expiring.remove(_SESSION, name)
        if n_ended:
            self._epoch.advance()
        return n_ended

    def close(self, value: str | None) -> None:
        """End a session; one that has ended already is no error."""
        if value and self._expiring.take(_SESSION, _digest(value)) is not None:
            self._epoch.advance()

    def _look(self, key: str) -> _Kept | None:
        found = self._expiring.find(_SESSION, key)
        return None if found is None else _read(found)

    def _change(self, key: str, update: Callable[[_Kept | None], _Kept | None]) -> Expiring | None:
        def changed(standing: Expiring | None) -> Expiring | None:
            kept = update(None if standing is None else _read(standing))
            if kept is None:
                return None
            text = msgspec.json.encode(kept).decode()
            return Expiring(kind=_SESSION, key=key, subject=kept.name, value=text, ends_at=kept.ends_at)

        return self._expiring.change(_SESSION, key, changed, most=_MAX_OF_ONE)


# Made here, where there is one thread: two that work out how to read a type at one moment crash the process.
_decoder = msgspec.json.Decoder(_Kept)


def _read(one: Expiring) -> _Kept:
    return _decoder.decode(one.value)


def _digest(text: str) -> str:
    return digest_bytes(text.encode("utf-8", "surrogatepass"))
