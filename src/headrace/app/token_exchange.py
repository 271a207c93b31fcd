"""A secret, a refresh token or another provider's token becomes one of ours (RFC 6749, RFC 8693)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from headrace.access.credentials import GrantRefused
from headrace.access.networks import NOWHERE, Place
from headrace.app.composition import App
from headrace.app.credentials import hand_out
from headrace.core.errors import InvalidInput, NotFound, Unauthenticated
from headrace.core.identity import Principal

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
OUTSIDE_TYPES = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
OFFLINE = "offline_access"
"""The scope that asks for a refresh token (OpenID Connect Core, section 11)."""
GRANT_TYPES = ("client_credentials", "refresh_token", TOKEN_EXCHANGE)


class Client(NamedTuple):
    """Who asks: a name, and a secret unless it has none, and from where."""

    id: str
    secret: str | None
    place: Place = NOWHERE


class UnsupportedGrant(InvalidInput):
    """A grant type that is not served here."""


@dataclass(frozen=True, kw_only=True)
class Granted:
    """The answer of a token endpoint, in the protocol's own names."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str | None = None
    scope: str | None = None
    issued_token_type: str | None = None


def exchange(app: App, form: Mapping[str, str], client: Client | None) -> Granted:
    """One of our tokens for what ``form`` presents.

    Raises:
        UnsupportedGrant: it is of another kind.
        InvalidInput: a field is missing.
        GrantRefused: what is presented is not valid.
        TooManyTries: too many wrong secrets came for this client.
        Unavailable: the outside provider does not answer, or the same refresh token is being used elsewhere.
    """
    match form.get("grant_type"):
        case "client_credentials":
            return _by_secret(app, client)
        case "refresh_token":
            return _by_refresh(app, _field(form, "refresh_token"), client)
        case grant_type if grant_type == TOKEN_EXCHANGE:
            return _by_outside(app, form, client)
        case other:
            raise UnsupportedGrant(
                f"The grant_type is {(other or '')[:80]!r}. Expected one of {', '.join(GRANT_TYPES)}."
            )


def give_back(app: App, text: str) -> None:
    """End a token of ours that nobody needs any more; a refresh token with all of its sign-in (RFC 7009).

    Whoever holds it may end it. What is no token, or none any more, is no error: it is worth nothing already.
    """
    record = app.access.refreshing.find(text)
    if record is not None:
        about = {"family": record.family}
        with app.store.transaction():
            app.store.audit.append(record.subject, "token.revoke", f"principal:{record.subject}", about)
            app.access.refreshing.end(record)
        return
    try:
        speaking = app.gatekeeper.authenticate(f"Bearer {text}")
    except Unauthenticated:
        return
    if speaking.session is not None:
        jti = speaking.session.token
        with app.store.transaction():
            about = {"token": jti}
            app.store.audit.append(speaking.name, "token.revoke", f"principal:{speaking.name}", about)
            app.access.revocations.end(speaking, "token", jti)


def _by_secret(app: App, client: Client | None) -> Granted:
    """No refresh token: whoever has the secret needs none, and it would be one more thing to steal."""
    if client is None or client.secret is None:
        raise GrantRefused("invalid_client", "Send the client's id and secret, in the header or in the form.")
    record = app.access.secrets.check(client.id, client.secret, client.place)
    return _granted(app, _principal(app, record.subject), family=record.id)


def _by_refresh(app: App, text: str, client: Client | None) -> Granted:
    if client is not None and client.secret is not None:
        app.access.secrets.check(client.id, client.secret, client.place)
    used = app.access.refreshing.use(text, None if client is None else client.id)
    return _granted(app, _principal(app, used.name), family=used.family, refresh=used.text)


def _by_outside(app: App, form: Mapping[str, str], client: Client | None) -> Granted:
    kind = _field(form, "subject_token_type")
    if kind not in OUTSIDE_TYPES:
        raise InvalidInput(
            f"The subject_token_type is {kind[:80]!r}. Expected one of {', '.join(OUTSIDE_TYPES)}."
        )
    if client is not None and client.secret is not None:
        app.access.secrets.check(client.id, client.secret, client.place)
    trusted = app.access.workloads.check(_field(form, "subject_token"))
    if client is not None and client.id != trusted.subject:
        raise GrantRefused("invalid_grant", "The outside token is trusted for another client.")
    principal = _principal(app, trusted.subject)
    if OFFLINE in form.get("scope", "").split():
        begun = app.access.refreshing.start(principal, trusted)
        return _granted(
            app, principal, family=begun.family, refresh=begun.text, scope=OFFLINE, issued=ACCESS_TOKEN
        )
    return _granted(app, principal, family=trusted.id, issued=ACCESS_TOKEN)


def _principal(app: App, name: str) -> Principal:
    try:
        return app.identities.resolve(name)
    except (NotFound, Unauthenticated) as error:
        raise GrantRefused("invalid_grant", str(error)) from error


def _granted(
    app: App,
    principal: Principal,
    *,
    family: str,
    refresh: str | None = None,
    scope: str | None = None,
    issued: str | None = None,
) -> Granted:
    token = hand_out(app, principal.name, principal, family=family)
    return Granted(
        access_token=token.text,
        token_type="Bearer",
        expires_in=int((token.expires_at - app.clock.now()).total_seconds()),
        refresh_token=refresh,
        scope=scope,
        issued_token_type=issued,
    )


def _field(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise InvalidInput(f"The form has no {name}. Expected one.")
    return value
