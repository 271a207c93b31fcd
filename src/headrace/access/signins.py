"""Sign-ins under way at an OpenID provider: the browser carries them, sealed, and each is finished once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from headrace.access.oidc import Attempt
from headrace.access.vault import Vault
from headrace.core.canonical import digest_bytes
from headrace.core.errors import InternalError, Unauthenticated
from headrace.core.identity import Expiring
from headrace.core.ports import Clock, ExpiringStore

WAIT_S = 600
"""For how long a sign-in waits for its answer."""
_OWNER, _KIND = "sign-in", "sign-in"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A sign-in at the provider, and the path where it goes on afterwards."""

    attempt: Attempt
    target: str
    until: datetime


class SignIns:
    """Sign-ins of people who have no identity yet.

    Nothing is kept until the answer comes, so whoever begins thousands of them fills no memory and no
    table, and the answer may come to any process. Only what was finished is remembered.

    Example::

        cookie = signins.begin(attempt, "/")
        signins.finish(cookie, attempt.state).target  # "/"; refused the second time
    """

    def __init__(self, expiring: ExpiringStore, vault: Vault, clock: Clock) -> None:
        self._expiring = expiring
        self._vault = vault
        self._clock = clock

    def begin(self, attempt: Attempt, target: str) -> str:
        """What the browser has to bring back: text for a cookie that says nothing to it."""
        until = self._clock.now() + timedelta(seconds=WAIT_S)
        begun = Begun(attempt=attempt, target=target, until=until)
        sealed = self._vault.seal(msgspec.json.encode(begun), owner=_OWNER)
        return sealed.translate(_TO_COOKIE).rstrip("=")

    def finish(self, cookie: str, state: str) -> Begun:
        """The sign-in that this browser has begun under ``state``; of two answers one is heard.

        Raises:
            Unauthenticated: it has not, its time is over, or it was finished already.
        """
        begun = self._opened(cookie)
        now = self._clock.now()
        if begun is None or begun.attempt.state != state or now >= begun.until or not self._spend(begun):
            raise Unauthenticated(
                "This sign-in was finished already, took more than ten minutes, or began in another browser. "
                "Start over."
            )
        return begun

    def _spend(self, begun: Begun) -> bool:
        """Whether this is the first answer, over all processes."""
        key, first = digest_bytes(begun.attempt.state.encode()), False

        def update(standing: Expiring | None) -> Expiring:
            nonlocal first
            first = standing is None
            return standing or Expiring(kind=_KIND, key=key, value="", ends_at=begun.until)

        self._expiring.change(_KIND, key, update)
        return first

    def _opened(self, cookie: str) -> Begun | None:
        sealed = cookie.translate(_FROM_COOKIE)
        try:
            opened = self._vault.open(sealed + "=" * (-len(sealed) % 4), owner=_OWNER)
            return _begun.decode(opened)
        except (InternalError, msgspec.DecodeError):
            return None


_begun = msgspec.json.Decoder(Begun)
_TO_COOKIE = str.maketrans("+/", "-_")
_FROM_COOKIE = str.maketrans("-_", "+/")
