"""What people may do about tokens and keys: hand out, revoke, rotate. Each is written down first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Unpack

from headrace.access.tokens import Bound, Issued
from headrace.app.composition import App
from headrace.core.errors import InvalidInput
from headrace.core.identity import MAIN, Principal


@dataclass(frozen=True, kw_only=True)
class Revoked:
    """What was ended: one token, the tokens of a run, or all that ``principal`` had at that moment."""

    principal: str
    at: datetime
    token: str | None = None
    run: str | None = None


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
    app.store.audit.append(principal.name, "token.revoke", f"principal:{name}", what)
    at = app.clock.now()
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
