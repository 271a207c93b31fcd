"""Refresh tokens: each is good once, and one that comes twice ends all that came of the same sign-in."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from headrace.access.credentials import GrantRefused, ended, is_over
from headrace.access.incidents import Incidents
from headrace.access.revocations import Revocations
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, Unavailable
from headrace.core.identity import Credential, Principal
from headrace.core.ids import derived_id, new_id
from headrace.core.ports import Clock, RecordStore

FAMILY_S = 43_200
"""How long a sign-in can be prolonged."""
REPEAT_S = 30
"""For how long a used token may be repeated by a client that never got the answer."""
_RANDOM_BYTES = 32
_SIGN_IN = "Sign in again, or get a new token as before."


class Refreshing(NamedTuple):
    """A new refresh token, whose it is and which family it belongs to."""

    text: str
    name: str
    family: str


class RefreshTokens:
    """Families of refresh tokens. At any moment one token of a family is good.

    A token is used by replacing it: the successor is recorded, then the token is marked as used. A client
    whose answer was lost, because the server died or the line broke, may repeat the token within 30 s as
    long as nobody has used the successor; it gets another one, and the lost one is dead. Whatever else comes
    twice has been stolen or lost: the whole family ends, with every token that came of it.

    Example::

        first = refreshing.start(ann)
        second = refreshing.use(first.text)
    """

    def __init__(
        self,
        credentials: RecordStore[Credential],
        incidents: Incidents,
        revocations: Revocations,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._incidents = incidents
        self._revocations = revocations
        self._clock = clock

    def start(self, principal: Principal, origin: Credential | None = None) -> Refreshing:
        """The first token of a new family, which lives 12 hours, and no longer than ``origin`` is live."""
        now = self._clock.now()
        about: dict[str, Any] = {"generation": self._revocations.generation(principal.name)}
        first = Credential(
            id="",
            workspace=principal.workspace,
            subject=principal.name,
            kind="refresh",
            created_at=now,
            expires_at=now + timedelta(seconds=FAMILY_S),
            family=new_id(now),
            data=about if origin is None else about | {"origin": origin.id},
        )
        return self._add(first)

    def use(self, text: str, client_id: str | None = None) -> Refreshing:
        """The successor of ``text``, which is worth nothing from now on.

        Args:
            client_id: who says that it is theirs; None: nobody says.

        Raises:
            GrantRefused: it is none, it is somebody else's, its family has ended, or it came twice.
            Unavailable: another request uses it at this very moment.
        """
        record = self.find(text)
        if record is None or client_id not in (None, record.subject):
            raise GrantRefused("invalid_grant", f"That is no refresh token of yours. {_SIGN_IN}")
        self._check_family(record)
        try:
            return self._replace(record)
        except Conflict as error:
            raise Unavailable(
                "Another request uses this refresh token at this moment. Use it once, then its successor."
            ) from error

    def find(self, text: str) -> Credential | None:
        """The record of a refresh token, whatever has become of it."""
        record = self._credentials.find(_id_of(text))
        return record if record is not None and record.kind == "refresh" else None

    def end(self, record: Credential) -> None:
        """End the family of a refresh token, and every token that came of it. Ending again is no error."""
        self._revocations.end_family(record)
        for one in self._credentials.list(subject=record.subject, state="live"):
            if one.kind == "refresh" and one.family == record.family:
                with suppress(Conflict):
                    self._credentials.change(ended(one))

    def _check_family(self, record: Credential) -> None:
        now = self._clock.now()
        origin = record.data.get("origin")
        begun_by = None if origin is None else self._credentials.get(str(origin))
        if begun_by is not None and (begun_by.state != "live" or is_over(begun_by, now)):
            raise GrantRefused("invalid_grant", f"What the sign-in rested on has ended. {_SIGN_IN}")
        if is_over(record, now) or self._revocations.reaches(
            record.subject,
            record.created_at.timestamp(),
            record.data.get("generation", 0),
            family=record.family,
        ):
            raise GrantRefused("invalid_grant", f"The refresh token has ended. {_SIGN_IN}")

    def _replace(self, record: Credential) -> Refreshing:
        now = self._clock.now()
        lost = None if record.state == "live" else self._lost_successor(record, now)
        if record.state != "live" and lost is None:
            self._report(record)
            raise GrantRefused(
                "invalid_grant",
                f"The refresh token came a second time: all tokens of that sign-in have ended. {_SIGN_IN}",
            )
        successor = self._add(following(record, now))
        try:
            if lost is not None:
                # Dead before its replacement is out: two good tokens of one family would hide a theft.
                self._credentials.change(ended(lost))
            self._credentials.change(spent(record, _id_of(successor.text), now))
        except Conflict:
            self._credentials.change(ended(self._credentials.get(_id_of(successor.text))))
            raise
        return successor

    def _lost_successor(self, record: Credential, now: datetime) -> Credential | None:
        """The successor of a used token, if that may be repeated."""
        if record.state != "used" or record.used_at is None:
            return None
        if now - record.used_at > timedelta(seconds=REPEAT_S):
            return None
        successor = self._credentials.find(str(record.data["successor"]))
        return successor if successor is not None and successor.state == "live" else None

    def _report(self, record: Credential) -> None:
        """Somebody has a copy: end the family first, then say so."""
        self.end(record)
        self._incidents.open(
            "token_reuse",
            record.subject,
            record.workspace,
            title=f"A refresh token of {record.subject} came twice",
            evidence={"family": record.family, "credential": record.id},
        )

    def _add(self, record: Credential) -> Refreshing:
        text = f"hrr_{secrets.token_urlsafe(_RANDOM_BYTES)}"
        self._credentials.add(replace(record, id=_id_of(text)))
        return Refreshing(text, record.subject, record.family)


def following(record: Credential, now: datetime) -> Credential:
    """What succeeds ``record``, still without an id."""
    kept = {name: value for name, value in record.data.items() if name in ("origin", "generation")}
    return replace(record, id="", created_at=now, state="live", revision=0, used_at=None, data=kept)


def spent(record: Credential, successor: str, now: datetime) -> Credential:
    """The refresh token after it was used, for the first time or again."""
    return replace(
        record,
        state="used",
        used_at=record.used_at or now,
        revision=record.revision + 1,
        data=record.data | {"successor": successor},
    )


def _id_of(text: str) -> str:
    """What a token is found by: derived from its hash, which is all that is kept of it."""
    return derived_id("refresh", digest_bytes(text.encode("utf-8", "surrogatepass")))
