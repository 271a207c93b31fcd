"""What people may do about tokens, secrets and keys: hand out, revoke, rotate; each is written down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Unpack

from headrace.access.credentials import (
    DEFAULT_DAYS,
    UNUSED_DAYS,
    NewSecret,
    check_service,
    find_own,
)
from headrace.access.incidents import SYSTEM
from headrace.access.refresh import Refreshing
from headrace.access.tickets import Tickets
from headrace.access.tokens import Bound, Issued
from headrace.app.composition import App
from headrace.app.overviews.fleet import server_address
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.identity import MAIN, Credential, Principal


@dataclass(frozen=True, kw_only=True)
class Revoked:
    """What was ended: one token, the tokens of a run, or all that ``principal`` had at that moment."""

    principal: str
    at: datetime
    token: str | None = None
    run: str | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What may be told about a credential: no secret, and no hash of one.

    Attributes:
        about: issuer, audience and subject of an outside identity.
    """

    id: str
    principal: str
    kind: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    about: dict[str, str]


def issue_token(app: App, principal: Principal, name: str, **bound: Unpack[Bound]) -> Issued:
    """A token for ``name``: oneself, an agent that one owns, or with ``access.write`` anybody.

    Raises:
        Denied: ``principal`` is neither of these, or no person.
        InvalidInput: it would live too long, or is for an agent and bound to nothing.
    """
    _require(app, principal, name)
    return hand_out(app, principal.name, app.identities.resolve(name), **bound)


def _require(app: App, principal: Principal, name: str) -> None:
    """Tokens are for people to hand out and end: their own, those of agents that they own, or as an admin."""
    resource = app.access.resources.describe(f"principal:{name}", principal)
    known = app.store.principals.find(name)
    answering = () if known is None else (known.owner if known.kind == "agent" else known.name,)
    owned = replace(resource, authors=tuple(name for name in answering if name is not None))
    if not app.gatekeeper.allows(principal, "token.issue", owned):
        app.gatekeeper.require(principal, "access.write", resource)


def hand_out(app: App, actor: str, principal: Principal, **bound: Unpack[Bound]) -> Issued:
    """A token for somebody who has proved who they are; every one that leaves is in the audit log."""
    issued = app.tokens.mint(principal, **bound)
    detail = {"token": issued.id, "until": f"{issued.expires_at:%Y-%m-%dT%H:%M:%SZ}"}
    more = {name: bound.get(name) for name in ("run", "tools", "family")}
    app.store.audit.append(
        actor,
        "token.issue",
        f"principal:{principal.name}",
        detail | {name: value for name, value in more.items() if value is not None},
    )
    return issued


def sign_in_link(app: App, me: Principal) -> str:
    """A link to a server that is up, which signs ``me`` in once, within ten minutes; it is in the audit log.

    Raises:
        Denied: ``me`` is no person.
        NotFound: no server of this home is up.
    """
    if me.kind != "person":
        raise Denied(f"{me.name!r} is a {me.kind}. Only people sign in; programs send their token.")
    url = server_address(app)
    if url is None:
        raise NotFound(
            f"No server is up in {app.settings.home}. Start one with 'headrace up', or set HEADRACE_HOME to "
            "the home of the one that is."
        )
    app.store.audit.append(me.name, "session.issue", f"principal:{me.name}", {})
    return url + Tickets(app.store.expiring, app.clock).path(me.name)


def issue_refresh_token(app: App, principal: Principal) -> tuple[Issued, Refreshing]:
    """A token for oneself, and a refresh token with which a program prolongs it for up to 12 hours.

    Raises:
        Denied: ``principal`` is no person.
    """
    _require(app, principal, principal.name)
    begun = app.access.refreshing.start(principal)
    return hand_out(app, principal.name, principal, family=begun.family), begun


def new_secret(app: App, principal: Principal, name: str, *, days: int = DEFAULT_DAYS) -> NewSecret:
    """A secret by which the service ``name`` gets tokens; it is told once, here.

    Raises:
        Denied: ``principal`` has no ``access.write`` there.
        InvalidInput: ``name`` is no service, or ``days`` is not between 1 and 365.
        Conflict: it has two secrets already.
    """
    app.gatekeeper.require(principal, "access.write", f"principal:{name}")
    service = app.identities.resolve(name)
    check_service(service)
    with app.store.transaction():
        app.store.audit.append(principal.name, "secret.new", f"principal:{name}", {"days": days})
        return app.access.secrets.new(service, days=days)


def trust(
    app: App,
    principal: Principal,
    name: str,
    *,
    issuer: str,
    audience: str,
    subject: str,
    days: int = DEFAULT_DAYS,
) -> Known:
    """Let another provider's tokens for ``audience`` about ``subject`` speak for the service ``name``.

    Raises:
        Denied: ``principal`` has no ``access.write`` there.
        InvalidInput: ``name`` is no service, or the provider has no https address.
        Conflict: they speak for somebody already.
    """
    app.gatekeeper.require(principal, "access.write", f"principal:{name}")
    service = app.identities.resolve(name)
    check_service(service)
    about = {"issuer": issuer, "audience": audience, "subject": subject, "days": days}
    with app.store.transaction():
        app.store.audit.append(principal.name, "secret.trust", f"principal:{name}", about)
        made = app.access.workloads.trust(
            service, issuer=issuer, audience=audience, subject=subject, days=days
        )
    return _shown(made)


def credentials_of(app: App, principal: Principal, name: str) -> list[Known]:
    """Secrets and outside identities of the service ``name``, ended ones included, oldest first."""
    app.gatekeeper.require(principal, "access.read", f"principal:{name}")
    records = app.store.credentials.list(subject=name)
    return [_shown(record) for record in records if record.kind in ("secret", "external")]


def revoke_credential(app: App, principal: Principal, name: str, credential_id: str) -> Known:
    """End a secret or an outside identity of ``name``, with the tokens that it got.

    Raises:
        Denied: ``principal`` has no ``access.write`` there.
        NotFound: ``name`` has none with this id.
    """
    app.gatekeeper.require(principal, "access.write", f"principal:{name}")
    find_own(app.store.credentials, name, credential_id)
    about = {"credential": credential_id}
    with app.store.transaction():
        app.store.audit.append(principal.name, "secret.revoke", f"principal:{name}", about)
        return _shown(app.access.secrets.revoke(name, credential_id))


def revoke_unneeded(app: App) -> list[Known]:
    """End every secret that nobody has used for 30 days; the server does this now and then."""
    ended = []
    for record in app.access.secrets.unneeded():
        about = {"credential": record.id, "reason": f"unused for {UNUSED_DAYS} days"}
        with app.store.transaction():
            app.store.audit.append(SYSTEM, "secret.revoke", f"principal:{record.subject}", about)
            ended.append(_shown(app.access.secrets.revoke(record.subject, record.id)))
    return ended


def _shown(record: Credential) -> Known:
    about = {name: str(value) for name, value in record.data.items() if record.kind == "external"}
    return Known(
        id=record.id,
        principal=record.subject,
        kind=record.kind,
        state=record.state,
        created_at=record.created_at,
        expires_at=record.expires_at,
        used_at=record.used_at,
        about=about,
    )


def revoke_tokens(
    app: App, principal: Principal, name: str, *, token: str | None = None, run: str | None = None
) -> Revoked:
    """End one token of ``name``, those of a run, or all up to now; every worker refuses them at once.

    Secrets stay: with one, a service gets new tokens.

    Raises:
        Denied: it is not their own, nor their agent's, and they have no ``access.write`` there.
        NotFound: nobody is known by this name.
    """
    _require(app, principal, name)
    if token is not None and run is not None:
        raise InvalidInput("Got a token and a run. Expected one of them: revoke the other in another step.")
    whose = app.store.principals.get(name)
    revocations = app.access.revocations
    what = {name: value for name, value in (("token", token), ("run", run)) if value is not None}
    at = app.clock.now()
    with app.store.transaction():
        app.store.audit.append(principal.name, "token.revoke", f"principal:{name}", what)
        if token is not None:
            revocations.end(whose, "token", token)
        elif run is not None:
            revocations.end(whose, "run", run)
        else:
            at = revocations.end_all(whose)
    return Revoked(principal=name, at=at, token=token, run=run)


def rotate_keys(app: App, principal: Principal) -> str:
    """Sign with a new key from now on; returns its name. Tokens that are out stay valid until they end."""
    app.gatekeeper.require(principal, "access.write", f"workspace:{MAIN}")
    app.store.audit.append(
        principal.name, "keys.rotate", "keys:tokens", {"before": app.access.keys.now().kid}
    )
    return app.access.keys.rotate()


def key_names(app: App, principal: Principal) -> list[str]:
    """Names of the keys that verify, the signing one first."""
    app.gatekeeper.require(principal, "access.read", f"workspace:{MAIN}")
    keys = app.access.keys.now()
    return [keys.kid, *(kid for kid in keys.public if kid != keys.kid)]
