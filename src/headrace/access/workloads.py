"""Services that prove who they are by a token of another provider: a build system, a cloud, a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from headrace.access.credentials import DEFAULT_DAYS, GrantRefused, check_days, check_service, is_over
from headrace.access.providers import ALGORITHMS, Providers, check_address
from headrace.access.tokens import MAX_SKEW_S, MAX_TOKEN_CHARS
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.identity import Credential, Principal
from headrace.core.ids import derived_id
from headrace.core.ports import Clock, RecordStore

MAX_AGE_S = 86_400
"""How long an outside token may live. One for months is a static secret, whoever signs it."""
_REQUIRED = ["iss", "sub", "aud", "exp", "iat"]


class Workloads:
    """Trusts named subjects of outside OpenID providers; each is one service here.

    Example::

        workloads.trust(service, issuer="https://ci.example", audience="headrace", subject="repo:team/cars")
        workloads.check(assertion).subject  # the service's name
    """

    def __init__(self, credentials: RecordStore[Credential], clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._providers = Providers(clock)

    def trust(
        self, service: Principal, *, issuer: str, audience: str, subject: str, days: int = DEFAULT_DAYS
    ) -> Credential:
        """Let whoever has a token of ``issuer`` for ``audience`` about ``subject`` be ``service``.

        Raises:
            InvalidInput: it is no service, the issuer is no https address, or a part is empty.
            Conflict: it is trusted already.
        """
        check_service(service)
        check_days(days)
        check_address(issuer)
        if not audience.strip() or not subject.strip():
            raise InvalidInput("An outside identity needs an audience and a subject. Name both, exactly.")
        now, known = self._clock.now(), list(self._records(issuer, audience, subject))
        for before in known:
            if before.state == "live" and not is_over(before, now):
                raise Conflict(
                    f"{subject[:80]!r} of {issuer} is trusted already, as {before.subject!r}. End that "
                    f"first: headrace access secret revoke {before.subject} {before.id}."
                )
        return self._credentials.add(
            Credential(
                id=_id_of(issuer, audience, subject, len(known)),
                workspace=service.workspace,
                subject=service.name,
                kind="external",
                created_at=now,
                expires_at=now + timedelta(days=days),
                data={"issuer": issuer, "audience": audience, "subject": subject},
            )
        )

    def check(self, assertion: str) -> Credential:
        """The outside identity that ``assertion`` proves.

        Raises:
            GrantRefused: nobody here trusts it, it is not signed as it should be, or it is not valid now.
            Unavailable: its provider cannot be asked for its keys.
        """
        import jwt

        if len(assertion) > MAX_TOKEN_CHARS:
            raise _refused(f"it has {len(assertion)} characters, expected at most {MAX_TOKEN_CHARS}")
        try:
            said = jwt.decode(assertion, options={"verify_signature": False})
            header = jwt.get_unverified_header(assertion)
        except (jwt.PyJWTError, UnicodeError) as error:
            raise _refused(str(error)) from error
        trusted = self._trusted(said)
        issuer, audience = trusted.data["issuer"], trusted.data["audience"]
        try:
            claims = jwt.decode(
                assertion,
                self._providers.find(issuer, header.get("kid")),
                algorithms=list(ALGORITHMS),
                audience=audience,
                issuer=issuer,
                # The times are held against our own clock below.
                options={
                    "require": _REQUIRED,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, NotFound) as error:
            raise _refused(str(error)) from error
        self._check_times(claims)
        return trusted

    def _trusted(self, said: dict[str, Any]) -> Credential:
        """The trust that the token asks for; nothing that it says has been checked yet."""
        audiences = said.get("aud")
        for audience in audiences if isinstance(audiences, list) else [audiences]:
            named = (said.get("iss"), audience, said.get("sub"))
            if not all(isinstance(part, str) for part in named):
                continue
            for record in self._records(*map(str, named)):
                if record.state == "live" and not is_over(record, self._clock.now()):
                    return record
        raise _refused("nobody here trusts its issuer, audience and subject")

    def _check_times(self, claims: dict[str, Any]) -> None:
        try:
            issued_s, ends_s = float(claims["iat"]), float(claims["exp"])
            begins_s = float(claims.get("nbf", issued_s))
        except (TypeError, ValueError) as error:
            raise _refused("its times are no numbers") from error
        now_s = self._clock.now().timestamp()
        if not now_s < ends_s <= issued_s + MAX_AGE_S:
            raise _refused(f"it has expired, or lives longer than {MAX_AGE_S} s")
        if max(issued_s, begins_s) > now_s + MAX_SKEW_S:
            raise _refused("it is not valid yet")

    def _records(self, issuer: str, audience: str, subject: str) -> Iterator[Credential]:
        """Every trust there ever was in this subject, oldest first."""
        number = 0
        while (record := self._credentials.find(_id_of(issuer, audience, subject, number))) is not None:
            yield record
            number += 1


def _id_of(issuer: str, audience: str, subject: str, number: int) -> str:
    return derived_id("external", issuer, audience, subject, str(number))


def _refused(why: str) -> GrantRefused:
    return GrantRefused("invalid_grant", f"The outside token is not accepted: {why[:300]}.")
