"""Passkeys (WebAuthn): a key in somebody's device or stick that signs for our own site only."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from headrace.access.incidents import Incidents
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Credential, Principal
from headrace.core.ids import derived_id
from headrace.core.ports import Clock, RecordStore

MAX_PASSKEYS = 10
_MAX_LABEL = 60


class Site(NamedTuple):
    """What passkeys are bound to: the name of our site, and the addresses of its pages."""

    name: str
    origins: tuple[str, ...]

    @classmethod
    def at(cls, host: str) -> Site:
        """The site at the value of a ``Host`` header. Only a loopback name goes without HTTPS.

        >>> Site.at("localhost:8000").origins
        ('https://localhost:8000', 'http://localhost:8000')

        Raises:
            InvalidInput: it is a number; passkeys need a name.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            pass
        else:
            raise InvalidInput(
                f"A passkey cannot be bound to {name}, which is a number. Open this page under a name, "
                "such as http://localhost:8000 on this machine."
            )
        local = name == "localhost" or name.endswith(".localhost")
        return cls(name, (f"https://{host}", f"http://{host}") if local else (f"https://{host}",))


class Ceremony(NamedTuple):
    """What the browser is asked for, and the random bytes that it has to sign."""

    options: dict[str, Any]
    challenge: bytes


class Passkeys:
    """Makes and checks passkeys; whoever uses one has to unlock it (user verification).

    Example::

        asked = passkeys.ask("ann", site)
        passkeys.check("ann", site, asked.challenge, answer)  # what her browser made of asked.options
    """

    def __init__(self, credentials: RecordStore[Credential], incidents: Incidents, clock: Clock) -> None:
        self._credentials = credentials
        self._incidents = incidents
        self._clock = clock

    def offer(self, principal: Principal, site: Site) -> Ceremony:
        """Begin to make a passkey.

        Raises:
            Conflict: there are ten already.
        """
        webauthn = _library()
        from webauthn.helpers import structs

        present = self._live(principal.name)
        if len(present) >= MAX_PASSKEYS:
            raise Conflict(f"{principal.name!r} has {MAX_PASSKEYS} passkeys. Remove one first.")
        options = webauthn.generate_registration_options(
            rp_id=site.name,
            rp_name="Headrace",
            user_name=principal.name,
            user_id=sha256(f"{principal.workspace}/{principal.name}".encode()).digest(),
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                user_verification=structs.UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=_descriptors(present),
        )
        return Ceremony(json.loads(webauthn.options_to_json(options)), options.challenge)

    def accept(
        self, principal: Principal, site: Site, challenge: bytes, answer: Mapping[str, Any], label: str
    ) -> Credential:
        """The passkey that the browser has made; not kept yet.

        Raises:
            Denied: the answer is not for this challenge, site and person, or was not unlocked.
        """
        webauthn = _library()
        try:
            made = webauthn.verify_registration_response(
                credential=dict(answer),
                expected_challenge=challenge,
                expected_rp_id=site.name,
                expected_origin=list(site.origins),
                require_user_verification=True,
            )
        except Exception as error:  # boundary: a library reads what a stranger sent
            raise Denied(f"That passkey cannot be added: {_reason(error)}. Try again.") from error
        now, key_id = self._clock.now(), _text(made.credential_id)
        return Credential(
            id=derived_id("passkey", key_id),
            workspace=principal.workspace,
            subject=principal.name,
            kind="passkey",
            created_at=now,
            expires_at=None,
            used_at=now,
            data={
                "label": " ".join(label.split())[:_MAX_LABEL] or "Passkey",
                "site": site.name,
                "key_id": key_id,
                "public_key": _text(made.credential_public_key),
                "count": made.sign_count,
            },
        )

    def ask(self, name: str, site: Site) -> Ceremony:
        """Begin a proof by one of the passkeys of ``name``.

        Raises:
            InvalidInput: there is none for this site.
        """
        webauthn = _library()
        from webauthn.helpers import structs

        present = [one for one in self._live(name) if one.data["site"] == site.name]
        if not present:
            raise InvalidInput(f"{name!r} has no passkey for {site.name}. Add one on the page /security.")
        options = webauthn.generate_authentication_options(
            rp_id=site.name,
            allow_credentials=_descriptors(present),
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        )
        return Ceremony(json.loads(webauthn.options_to_json(options)), options.challenge)

    def check(self, name: str, site: Site, challenge: bytes, answer: Mapping[str, Any]) -> None:
        """Return if one of the passkeys of ``name`` has signed ``challenge`` on this site.

        Raises:
            Denied: it has not; also when its counter went back, which is what a copy looks like.
        """
        webauthn = _library()
        used = next((one for one in self._live(name) if one.data["key_id"] == answer.get("id")), None)
        if used is None:
            raise Denied("That is none of your passkeys. Use one that is listed on the page /security.")
        try:
            proved = webauthn.verify_authentication_response(
                credential=dict(answer),
                expected_challenge=challenge,
                expected_rp_id=site.name,
                expected_origin=list(site.origins),
                credential_public_key=_bytes(used.data["public_key"]),
                credential_current_sign_count=0,  # the counter is compared below, where a copy is reported
                require_user_verification=True,
            )
        except Exception as error:  # boundary: a library reads what a stranger sent
            raise Denied(f"That proves nothing: {_reason(error)}. Try again.") from error
        count, known = proved.new_sign_count, used.data["count"]
        if (count or known) and count <= known:
            self._report_copy(used, count)
        now = self._clock.now()
        changed = replace(used, revision=used.revision + 1, used_at=now, data={**used.data, "count": count})
        try:
            self._credentials.change(changed)
        except Conflict as error:
            raise Denied("This passkey was used elsewhere at the same moment. Try again.") from error

    def _live(self, name: str) -> list[Credential]:
        return [one for one in self._credentials.list(subject=name, state="live") if one.kind == "passkey"]

    def _report_copy(self, used: Credential, count: int) -> None:
        self._incidents.open(
            "passkey_copied",
            used.subject,
            used.workspace,
            title=f"A passkey of {used.subject!r} may have been copied: its counter went back",
            raised_by="rule:second-factor",
            evidence={"credential": used.id, "count": count, "known": used.data["count"]},
        )
        raise Denied(
            "The counter of this passkey went back: there may be a copy of it. Use another one, and have "
            "somebody with the role admin look at the incident."
        )


def _library() -> Any:
    try:
        import webauthn
    except ImportError as error:
        raise InvalidInput("Passkeys need a library: pip install 'headrace[oidc]'.") from error
    return webauthn


def _descriptors(passkeys: Sequence[Credential]) -> list[Any]:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [PublicKeyCredentialDescriptor(id=_bytes(one.data["key_id"])) for one in passkeys]


def _reason(error: Exception) -> str:
    return str(error).rstrip(".")[:200] or type(error).__name__


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
