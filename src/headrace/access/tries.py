"""How often somebody may guess, at all servers together, without shutting out whoever knows the secret."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import NamedTuple

import msgspec

from headrace.access.networks import Place
from headrace.core.canonical import digest_of
from headrace.core.errors import Unavailable
from headrace.core.identity import Expiring
from headrace.core.ports import Clock, ExpiringStore

MOST = 10
"""Wrong guesses at one name from one address within a window; after these nothing is heard from there."""
MOST_OVER_ALL = 100
"""Wrong guesses at one name from everywhere, or from one address at every name. After these nothing is heard
but from networks that the right secret has come from before."""
WINDOW_S = 300.0
_GUESSES, _FAMILIAR = "guesses", "familiar"
_FAMILIAR_FOR, _FAMILIAR_AGAIN = timedelta(days=30), timedelta(days=29)
_MAX_WINDOWS = 10_000
_MAX_ADDRESSES = 1_000
_ELSEWHERE = ""


class TooManyTries(Unavailable):
    """Too many wrong guesses; ``retry_after_s`` says when the next one is heard."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _Window(NamedTuple):
    """Wrong guesses by address, and for how long they count."""

    by: dict[str, int]
    left_s: int

    def of(self, address: str) -> int:
        """How many came from ``address``; beyond a thousand addresses the others count together."""
        return self.by.get(_slot(self.by, address), 0)

    @property
    def total(self) -> int:
        """How many came from everywhere."""
        return sum(self.by.values())


class Tries:
    """Wrong guesses in windows of five minutes. A window begins with the first one and ends by itself.

    Example::

        tries.check("ci", place)  # raises TooManyTries
        tries.wrong("ci", place)  # or tries.right("ci", place)
    """

    def __init__(self, expiring: ExpiringStore, clock: Clock) -> None:
        self._expiring = expiring
        self._clock = clock

    def check(self, name: str, place: Place) -> None:
        """Return if ``name`` may be guessed from there for now.

        Raises:
            TooManyTries: it may not.
        """
        at_name, from_there = self._window(_at(name)), self._window(_from(place))
        if at_name.of(place.address) >= MOST:
            raise _too_many(name, at_name)
        for window in (at_name, from_there):
            if window.total >= MOST_OVER_ALL and not self._is_familiar(name, place):
                raise _too_many(name, window)

    def wrong(self, name: str, place: Place) -> bool:
        """Count one; whether it was the last that a window takes for this name."""
        here = self._count("name", _at(name), place.address)
        self._count("address", _from(place), place.address)
        return here.of(place.address) == MOST or here.total == MOST_OVER_ALL

    def right(self, name: str, place: Place) -> None:
        """Note that the secret came from this network; written once a day at most."""
        key, now = _pair(name, place), self._clock.now()
        known = self._expiring.find(_FAMILIAR, key)
        if known is None or known.ends_at - now <= _FAMILIAR_AGAIN:
            kept = Expiring(kind=_FAMILIAR, key=key, subject=name, value="", ends_at=now + _FAMILIAR_FOR)
            self._expiring.change(_FAMILIAR, key, lambda _: kept, most=_MAX_ADDRESSES)

    def _is_familiar(self, name: str, place: Place) -> bool:
        return self._expiring.find(_FAMILIAR, _pair(name, place)) is not None

    def _window(self, key: str) -> _Window:
        return self._read(self._expiring.find(_GUESSES, key))

    def _count(self, subject: str, key: str, address: str) -> _Window:
        def more(standing: Expiring | None) -> Expiring:
            by = self._read(standing).by
            slot = _slot(by, address)
            ends_at = (
                self._clock.now() + timedelta(seconds=WINDOW_S) if standing is None else standing.ends_at
            )
            value = msgspec.json.encode(by | {slot: by.get(slot, 0) + 1}).decode()
            return Expiring(kind=_GUESSES, key=key, subject=subject, value=value, ends_at=ends_at)

        return self._read(self._expiring.change(_GUESSES, key, more, most=_MAX_WINDOWS))

    def _read(self, standing: Expiring | None) -> _Window:
        if standing is None:
            return _Window({}, 0)
        left_s = ceil((standing.ends_at - self._clock.now()).total_seconds())
        return _Window(msgspec.json.decode(standing.value, type=dict[str, int]), left_s)


def _at(name: str) -> str:
    return digest_of(["name", name])


def _from(place: Place) -> str:
    return digest_of(["address", place.address])


def _pair(name: str, place: Place) -> str:
    return digest_of([name, place.network])


def _slot(by: dict[str, int], address: str) -> str:
    return address if address in by or len(by) < _MAX_ADDRESSES else _ELSEWHERE


def _too_many(name: str, window: _Window) -> TooManyTries:
    return TooManyTries(
        f"Too many wrong secrets for {name[:80]!r}: none is heard from here for another {window.left_s} s.",
        window.left_s,
    )
