"""How people prove who they are: their second factors, and a fresh proof by one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from headrace.access.passkeys import Site
from headrace.access.second_factors import PROOF_S
from headrace.app.composition import App
from headrace.core.errors import Denied, HeadraceError, InvalidInput
from headrace.core.identity import Credential, Incident, Principal, Proof
from headrace.core.ids import new_id

FRESH_SIGN_IN_S = 600
"""How soon after signing in somebody has to add their first second factor."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A second factor without its secrets."""

    id: str
    owner: str
    kind: Proof
    label: str
    site: str
    created_at: datetime
    used_at: datetime | None


class Proved(NamedTuple):
    """A second factor was shown: which kind, and until when it counts as fresh."""

    until: datetime
    proof: Proof


class AppKey(NamedTuple):
    """The key for an authenticator app, and the link that apps read it from."""

    key: str
    link: str


def own_factors(app: App, me: Principal) -> list[Factor]:
    """The second factors of ``me``, oldest first."""
    return [_shown(one) for one in app.access.factors.list(me.name)]


def begin_app(app: App, me: Principal) -> None:
    """Make a key for an authenticator app; :func:`pending_app` shows it.

    Raises:
        ProofNeeded: there is a second factor, which has to be shown first.
        Denied: it would be the first one, and the sign-in is too long ago.
    """
    _may_add(app, me)
    app.access.factors.keys.put(_asked(me, "app"), app.access.factors.codes.new_key())


def pending_app(app: App, me: Principal) -> AppKey | None:
    """The key that waits for its first code, if there is one."""
    key = app.access.factors.keys.look(_asked(me, "app"))
    return None if key is None else AppKey(key, app.access.factors.codes.link(key, me.name))


def add_app(app: App, me: Principal, code: str) -> Proved:
    """Keep the key that :func:`begin_app` has made, once the app shows the right code for it.

    Raises:
        Denied: the code is wrong; the key goes on waiting.
    """
    _may_add(app, me)
    waiting = pending_app(app, me)
    if waiting is None:
        raise InvalidInput("No key waits for a code: it was used, or is older than ten minutes. Begin again.")
    _keep(app, me, app.access.factors.codes.accept(me, waiting.key, code))
    app.access.factors.keys.take(_asked(me, "app"))
    return _fresh(app, "code")


def offer_passkey(app: App, me: Principal, site: Site) -> dict[str, Any]:
    """What ``navigator.credentials.create`` is asked for. Raises as :func:`begin_app`."""
    _may_add(app, me)
    offered = app.access.factors.passkeys.offer(me, site)
    app.access.factors.challenges.put(_asked(me, "make"), offered.challenge)
    return offered.options


def add_passkey(app: App, me: Principal, site: Site, answer: Mapping[str, Any], label: str) -> Proved:
    """Keep the passkey that the browser has made for what :func:`offer_passkey` asked.

    Raises:
        Denied: it is for another challenge, site or person.
    """
    _may_add(app, me)
    challenge = _taken(app, me, "make")
    _keep(app, me, app.access.factors.passkeys.accept(me, site, challenge, answer, label))
    return _fresh(app, "passkey")


def remove_factor(app: App, me: Principal, factor_id: str) -> None:
    """End one of one's own second factors, which takes a proof by one that is there.

    Raises:
        ProofNeeded: there is no fresh proof, or it needs the passkey.
        NotFound: there is no such factor.
    """
    app.gatekeeper.require(me, "factor.write", f"principal:{me.name}")
    factor = app.access.factors.get(me.name, factor_id)
    with app.store.transaction():
        app.store.audit.append(me.name, "factor.remove", f"principal:{me.name}", _named(factor))
        app.access.factors.end(factor)
        app.store.epoch.advance()


def prove_by_code(app: App, me: Principal, code: str) -> Proved:
    """Show the code of one's app.

    Raises:
        Denied: it is wrong, was used already, or too many were wrong.
    """
    try:
        app.access.factors.codes.check(me.name, code)
    except Denied as error:
        _note_failure(app, me, "code", error)
        raise
    return _note_proof(app, me, "code")


def ask_passkey(app: App, me: Principal, site: Site) -> dict[str, Any]:
    """What ``navigator.credentials.get`` is asked for."""
    asked = app.access.factors.passkeys.ask(me.name, site)
    app.access.factors.challenges.put(_asked(me, "prove"), asked.challenge)
    return asked.options


def prove_by_passkey(app: App, me: Principal, site: Site, answer: Mapping[str, Any]) -> Proved:
    """Show one's passkey.

    Raises:
        Denied: it did not sign what :func:`ask_passkey` asked, here and now.
    """
    challenge = _taken(app, me, "prove")
    try:
        app.access.factors.passkeys.check(me.name, site, challenge, answer)
    except Denied as error:
        _note_failure(app, me, "passkey", error)
        raise
    return _note_proof(app, me, "passkey")


def factors_of(app: App, me: Principal, name: str | None = None) -> list[Factor]:
    """The second factors of somebody, or of everybody in one's workspace.

    Raises:
        NotFound: nobody is known by this name.
        Denied: ``me`` may not look at rights.
    """
    if name is not None:
        app.gatekeeper.require(me, "access.read", f"principal:{name}")
        app.store.principals.get(name)
        return [_shown(one) for one in app.access.factors.list(name)]
    app.gatekeeper.require(me, "access.read", f"workspace:{me.workspace}")
    people = [one.name for one in app.store.principals.list() if one.workspace == me.workspace]
    return [_shown(one) for person in people for one in app.access.factors.list(person)]


def reset_factors(app: App, me: Principal, name: str) -> int:
    """End all second factors of somebody else who has lost theirs; returns how many there were.

    Whoever can do this can take somebody's place, so it raises an incident.

    Raises:
        Denied: ``me`` may not, or it is their own identity.
        NotFound: nobody is known by this name.
    """
    app.gatekeeper.require(me, "factor.reset", f"principal:{name}")
    principal, factors = app.store.principals.get(name), app.access.factors.list(name)
    now = app.clock.now()
    detail = {"factors": [_named(factor) for factor in factors]}
    raised = Incident(
        id=new_id(now),
        workspace=principal.workspace,
        subject=name,
        kind="factor_reset",
        title=f"{me.name!r} has reset the second factors of {name!r}",
        raised_by=me.name,
        at=now,
        evidence=detail,
    )
    with app.store.transaction():
        app.store.audit.append(me.name, "factor.reset", f"principal:{name}", detail | {"incident": raised.id})
        for factor in factors:
            app.access.factors.end(factor)
        app.store.epoch.advance()
        app.store.incidents.add(raised)
    return len(factors)


def _may_add(app: App, me: Principal) -> None:
    app.gatekeeper.require(me, "factor.write", f"principal:{me.name}")
    if app.access.factors.list(me.name):
        return  # the rules have asked for a fresh proof already
    began_at = None if me.session is None else me.session.began_at
    if began_at is None or app.clock.now() - began_at > timedelta(seconds=FRESH_SIGN_IN_S):
        raise Denied(
            "A first second factor is added within ten minutes of signing in on these pages. "
            "Sign out, sign in again, and add it then."
        )


def _keep(app: App, me: Principal, factor: Credential) -> None:
    with app.store.transaction():
        app.store.audit.append(me.name, "factor.add", f"principal:{me.name}", _named(factor))
        app.access.factors.keep(factor)
        app.store.epoch.advance()


def _asked(me: Principal, purpose: str) -> str:
    """A challenge is for one purpose in one session."""
    return f"{purpose}:{me.name}:{'' if me.session is None else me.session.token}"


def _taken(app: App, me: Principal, purpose: str) -> bytes:
    challenge = app.access.factors.challenges.take(_asked(me, purpose))
    if challenge is None:
        raise Denied("That was answered already, or more than five minutes ago. Try again.")
    return challenge


def _fresh(app: App, proof: Proof) -> Proved:
    return Proved(app.clock.now() + timedelta(seconds=PROOF_S), proof)


def _note_proof(app: App, me: Principal, proof: Proof) -> Proved:
    app.store.audit.append(me.name, "proof.given", f"principal:{me.name}", {"proof": proof})
    return _fresh(app, proof)


def _note_failure(app: App, me: Principal, proof: Proof, error: HeadraceError) -> None:
    detail = {"proof": proof, "why": str(error)}
    app.store.audit.append(me.name, "proof.refused", f"principal:{me.name}", detail)


def _named(factor: Credential) -> dict[str, str]:
    return {"id": factor.id, "kind": factor.kind, "label": factor.data["label"]}


def _shown(factor: Credential) -> Factor:
    return Factor(
        id=factor.id,
        owner=factor.subject,
        kind="code" if factor.kind == "totp" else "passkey",
        label=factor.data["label"],
        site=factor.data.get("site", ""),
        created_at=factor.created_at,
        used_at=factor.used_at,
    )
