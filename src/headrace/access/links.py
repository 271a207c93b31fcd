"""Which person somebody at an OpenID provider is here."""

from __future__ import annotations

from dataclasses import replace

from headrace.core.errors import Conflict, NotFound
from headrace.core.identity import Credential, Principal
from headrace.core.ids import derived_id
from headrace.core.ports import Clock, RecordStore


class Links:
    """Links from (issuer, subject) to a person; an e-mail address would do less: it is given to others.

    Example::

        links.add(ann, "https://login.example", "00u1x2")
        links.find("https://login.example", "00u1x2")  # "ann"
    """

    def __init__(self, credentials: RecordStore[Credential], clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock

    def find(self, issuer: str, subject: str) -> str | None:
        """The person who is linked, if anybody is."""
        kept = self._credentials.find(_id(issuer, subject))
        return kept.subject if kept is not None and kept.state == "live" else None

    def of(self, name: str) -> list[Credential]:
        """The links of ``name``, oldest first."""
        live = self._credentials.list(subject=name, state="live")
        return [one for one in live if one.kind == "external"]

    def add(self, principal: Principal, issuer: str, subject: str) -> Credential:
        """Let whoever the provider calls ``subject`` sign in as ``principal``.

        Raises:
            Conflict: they are linked to somebody else, or were: a link never changes hands.
        """
        kept = self._credentials.add(
            Credential(
                id=_id(issuer, subject),
                workspace=principal.workspace,
                subject=principal.name,
                kind="external",
                created_at=self._clock.now(),
                expires_at=None,
                data={"issuer": issuer, "subject": subject},
            )
        )
        if kept.subject != principal.name:
            raise Conflict(
                f"{subject!r} of {issuer} is linked to {kept.subject!r}, or was. A link never changes hands: "
                "what is in the record would get another author."
            )
        if kept.state != "live":
            kept = self._credentials.change(replace(kept, state="live", revision=kept.revision + 1))
        return kept

    def end(self, name: str, issuer: str, subject: str) -> None:
        """Let them no longer sign in. Raises NotFound when there is no such link."""
        kept = self._credentials.find(_id(issuer, subject))
        if kept is None or kept.state != "live" or kept.subject != name:
            raise NotFound(f"{name!r} is not linked to {subject!r} of {issuer}.")
        self._credentials.change(replace(kept, state="revoked", revision=kept.revision + 1))


def _id(issuer: str, subject: str) -> str:
    return derived_id("external", issuer, subject)
