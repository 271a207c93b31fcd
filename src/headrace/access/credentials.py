"""Secrets of services: made by us, shown once, kept as hashes, over by themselves."""

from __future__ import annotations

import re
import secrets
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from headrace.access.incidents import Incidents
from headrace.access.networks import NOWHERE, Place
from headrace.access.revocations import Revocations
from headrace.access.tries import Tries
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from headrace.core.identity import Credential, Principal
from headrace.core.ids import NAME_PATTERN, new_id
from headrace.core.ports import Clock, RecordStore

if TYPE_CHECKING:
    from argon2 import PasswordHasher

DEFAULT_DAYS = 90
MAX_DAYS = 365
MAX_LIVE = 2
"""One in use, and one that is about to take its place."""
UNUSED_DAYS = 30
"""A secret that nobody has used for so long is not needed."""
_RANDOM_BYTES = 32
_NOTED_EVERY = timedelta(hours=1)
_FORM = re.compile(r"hrs_(?P<id>[0-9a-f-]{36})_[A-Za-z0-9_-]{43}")
_AT_ONCE = 2

Refusal = Literal["invalid_client", "invalid_grant", "unauthorized_client"]


class GrantRefused(Unauthenticated):
    """No token for that; ``code`` is the protocol's word for why (RFC 6749, section 5.2)."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code


class NewSecret(NamedTuple):
    """A secret that nobody will be shown again, and the record of it."""

    text: str
    record: Credential


class Secrets:
    """The secrets by which services get tokens.

    Example::

        made = secrets.new(service, days=90)
        secrets.check(service.name, made.text)
    """

    def __init__(
        self,
        credentials: RecordStore[Credential],
        incidents: Incidents,
        revocations: Revocations,
        tries: Tries,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._incidents = incidents
        self._revocations = revocations
        self._clock = clock
        self._tries = tries
        self._hashing = threading.BoundedSemaphore(_AT_ONCE)  # a hash takes memory, and anybody may ask

    def new(self, service: Principal, *, days: int = DEFAULT_DAYS) -> NewSecret:
        """A secret of 32 random bytes that lives ``days`` days.

        Raises:
            InvalidInput: ``service`` is none, or ``days`` is not between 1 and 365.
            Conflict: it has two already.
        """
        check_service(service)
        check_days(days)
        live = self.live(service.name)
        if len(live) >= MAX_LIVE:
            raise Conflict(
                f"{service.name!r} has {len(live)} secrets, the most there can be. Revoke one first: "
                f"headrace access secret revoke {service.name} {live[0].id}."
            )
        now = self._clock.now()
        record_id = new_id(now)
        text = f"hrs_{record_id}_{secrets.token_urlsafe(_RANDOM_BYTES)}"
        record = Credential(
            id=record_id,
            workspace=service.workspace,
            subject=service.name,
            kind="secret",
            created_at=now,
            expires_at=now + timedelta(days=days),
            data={"hash": self._hasher.hash(text)},
        )
        return NewSecret(text, self._credentials.add(record))

    def live(self, name: str) -> list[Credential]:
        """The secrets of ``name`` that are heard, oldest first."""
        now = self._clock.now()
        live = self._credentials.list(subject=name, state="live")
        return [one for one in live if one.kind == "secret" and not is_over(one, now)]

    def check(self, client_id: str, text: str, place: Place = NOWHERE) -> Credential:
        """The secret that ``text`` is, if it is one of the service ``client_id``.

        Takes the same time for a service that does not exist: one hash is computed in any case.

        Raises:
            GrantRefused: it is not, or not any more.
            TooManyTries: ten wrong ones came from there within five minutes, or very many from everywhere.
        """
        guessed = client_id if NAME_PATTERN.fullmatch(client_id) else ""  # what no service can be called
        self._tries.check(guessed, place)
        form = _FORM.fullmatch(text)
        record = None if form is None else self._credentials.find(form["id"])
        if record is not None and not self._is_heard(record, client_id):
            record = None
        if self._matches(record, text) and record is not None:
            self._tries.right(guessed, place)
            return self._noted(record)
        if self._tries.wrong(guessed, place):
            self._raise_incident(guessed)
        raise GrantRefused(
            "invalid_client",
            "The client or its secret is not valid here. Look them up: headrace access secret ls NAME.",
        )

    def revoke(self, name: str, credential_id: str) -> Credential:
        """End a secret or an outside identity of ``name``, and the tokens that it got.

        Raises:
            NotFound: ``name`` has none with this id.
        """
        record = find_own(self._credentials, name, credential_id)
        if record.state == "live":
            record = self._credentials.change(ended(record))
        self._revocations.end_family(record)
        return record

    def unneeded(self) -> list[Credential]:
        """Live secrets that nobody has used for 30 days."""
        limit = self._clock.now() - timedelta(days=UNUSED_DAYS)
        return [
            one
            for one in self._credentials.list(state="live")
            if one.kind == "secret" and max(one.created_at, one.used_at or one.created_at) <= limit
        ]

    @cached_property
    def _hasher(self) -> PasswordHasher:
        """Cheap on purpose: 32 random bytes cannot be guessed, hashed however fast, and anybody may ask."""
        from argon2 import PasswordHasher

        return PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)

    @cached_property
    def _nobodys_hash(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe(_RANDOM_BYTES))

    def _is_heard(self, record: Credential, client_id: str) -> bool:
        now = self._clock.now()
        own = record.kind == "secret" and record.subject == client_id
        return own and record.state == "live" and not is_over(record, now)

    def _matches(self, record: Credential | None, text: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        hashed = self._nobodys_hash if record is None else record.data["hash"]
        with self._hashing:
            try:
                return self._hasher.verify(hashed, text)
            except (Argon2Error, InvalidHashError):
                return False

    def _noted(self, record: Credential) -> Credential:
        """Note the use, not every one: one write an hour is enough to know which secret is in use."""
        now = self._clock.now()
        if record.used_at is None or now - record.used_at >= _NOTED_EVERY:
            with suppress(Conflict):
                return self._credentials.change(replace(record, used_at=now, revision=record.revision + 1))
        return record

    def _raise_incident(self, client_id: str) -> None:
        known = self._credentials.list(subject=client_id)
        if known:  # whoever invents names must not fill the record with them
            self._incidents.open(
                "secret_guessing",
                client_id,
                known[-1].workspace,
                title=f"Too many wrong secrets for {client_id} within five minutes",
            )


def ended(record: Credential) -> Credential:
    """The credential after it was revoked."""
    return replace(record, state="revoked", revision=record.revision + 1)


def is_over(record: Credential, now: datetime) -> bool:
    """Whether its time is over; one without an end has none that is valid."""
    return record.expires_at is None or record.expires_at <= now


def find_own(credentials: RecordStore[Credential], name: str, credential_id: str) -> Credential:
    """The secret or outside identity of ``name`` with this id.

    Raises:
        NotFound: there is none.
    """
    record = credentials.find(credential_id)
    if record is None or record.subject != name or record.kind not in ("secret", "external"):
        raise NotFound(
            f"{name!r} has no secret {credential_id[:80]!r}. List them: headrace access secret ls {name}."
        )
    return record


def check_service(principal: Principal) -> None:
    """Raise InvalidInput unless ``principal`` is a service."""
    if principal.kind != "service":
        raise InvalidInput(
            f"{principal.name!r} is {_WHAT[principal.kind]}. Expected a service: "
            f"headrace access user add NAME --kind service."
        )


def check_days(days: int) -> None:
    """Raise InvalidInput unless a credential may live ``days`` days."""
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"A credential cannot live {days} days. Expected 1 to {MAX_DAYS}.")


_WHAT = {
    "person": "a person, who signs in",
    "agent": "an agent, whose owner issues its tokens for a run",
    "service": "a service",
}
