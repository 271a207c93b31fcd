"""Everybody who can do something here: what each can reach, uses and never used, and what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from headrace.access.credentials import ended
from headrace.access.identities import answers
from headrace.access.incidents import SYSTEM
from headrace.access.inventory import (
    RAISED,
    Concern,
    UnusedRole,
    concerns,
    last_use,
    rights,
    unused_roles,
    why_over,
)
from headrace.app.answers.explaining import Reach, reach_of
from headrace.app.composition import App
from headrace.core.errors import NotFound
from headrace.core.identity import Credential, Grant, Principal, Proof, Session, Use

_T = TypeVar("_T")
_STRONGEST_FIRST: tuple[Proof, ...] = ("passkey", "code")


@dataclass(frozen=True, kw_only=True)
class CredentialReport:
    """A credential without its secret: what it is, how old, and until when."""

    id: str
    kind: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One identity in a line.

    Attributes:
        owner_answers: whether the owner is a person who is still there; people answer for themselves.
        grants: roles that it holds for a while.
    """

    principal: Principal
    owner_answers: bool
    grants: tuple[Grant, ...]
    last_used_at: datetime | None
    concerns: tuple[Concern, ...]


@dataclass(frozen=True, kw_only=True)
class IdentityReport(Summary):
    """One identity with all that it may and did.

    Attributes:
        reach: what it may do once it has shown its second factor, by workspace and project.
        used: rights that it has used, newest first.
        never_used: what it may do and never did.
    """

    credentials: tuple[CredentialReport, ...]
    reach: tuple[Reach, ...]
    used: tuple[Use, ...]
    never_used: tuple[Reach, ...]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round has done: ids of the credentials it ended and of the incidents it raised or found open."""

    ended: list[str]
    incidents: list[str]


class _Known:
    """What is known about all identities, read once."""

    def __init__(self, app: App) -> None:
        self._everybody = {p.name: p for p in app.store.principals.list()}
        self.principals = self._everybody
        self.live = _by(app.store.credentials.list(state="live"), lambda one: one.subject)
        self.uses = _by(app.store.uses.list(), lambda one: one.principal)
        self.grants = _by(app.store.grants.list(state="active"), lambda one: one.subject)
        self.shared = {
            one.subject
            for one in app.store.incidents.list()
            if one.kind == "shared_secret" and one.state != "closed"
        }

    def owner(self, principal: Principal) -> Principal | None:
        """Who answers for it, if known."""
        return self._everybody.get(principal.owner or "")

    def concerns(self, principal: Principal, now: datetime) -> tuple[Concern, ...]:
        """What is wrong with it."""
        name = principal.name
        return concerns(
            principal,
            self.owner(principal),
            self.live[name],
            self.uses[name],
            now,
            shared=name in self.shared,
        )


def summaries(app: App, me: Principal) -> list[Summary]:
    """Everybody of the workspace of ``me`` in a line each, oldest first. Raises Denied."""
    known, now = _seen(app, me), app.clock.now()
    return [_summary(known, one, now) for one in known.principals.values()]


def identities(app: App, me: Principal) -> list[IdentityReport]:
    """Everybody of the workspace of ``me``, oldest first. Raises Denied."""
    known = _seen(app, me)
    return [_report(app, known, one) for one in known.principals.values()]


def identity(app: App, me: Principal, name: str) -> IdentityReport:
    """One identity of the workspace of ``me``. Raises Denied, NotFound."""
    known = _seen(app, me)
    if name not in known.principals:
        raise NotFound(f"There is no identity {name!r} here. List them: headrace access user ls")
    return _report(app, known, known.principals[name])


def unused(app: App, me: Principal) -> list[UnusedRole]:
    """Roles that can be taken away without anybody missing them. Raises Denied."""
    known, now = _seen(app, me), app.clock.now()

    def allowed(principal: Principal, action: str, resource: str) -> bool:
        return app.gatekeeper.decide(principal, action, resource, granted=False).allowed

    return [
        role
        for one in known.principals.values()
        for role in unused_roles(_proved(app, one), known.uses[one.name], allowed, now)
    ]


def tidy(app: App) -> Round:
    """End credentials that are over, and raise incidents about what a person has to mend.

    Done again it changes nothing. Runs in the server by itself.
    """
    known, now = _Known(app), app.clock.now()
    over, raised = [], []
    for principal in known.principals.values():
        for credential in known.live[principal.name]:
            why = why_over(credential, principal, now)
            if why:
                _end(app, credential, why)
                over.append(credential.id)
        for concern in known.concerns(principal, now):
            if concern.kind in RAISED:
                one = app.access.incidents.open(
                    concern.kind,
                    principal.name,
                    principal.workspace,
                    title=concern.title,
                    evidence={"remedy": concern.remedy},
                )
                raised.append(one.id)
    return Round(ended=over, incidents=raised)


def _end(app: App, credential: Credential, why: str) -> None:
    detail = {"credential": credential.id, "kind": credential.kind, "why": why}
    with app.store.transaction():
        app.store.audit.append(SYSTEM, "credential.revoke", f"principal:{credential.subject}", detail)
        app.store.credentials.change(ended(credential))
        app.store.epoch.advance()


def _seen(app: App, me: Principal) -> _Known:
    """What is known about those whom ``me`` may read about."""
    app.gatekeeper.require(me, "access.read", f"workspace:{me.workspace}")
    known = _Known(app)
    known.principals = {
        name: one
        for name, one in known.principals.items()
        if app.gatekeeper.allows(me, "access.read", f"principal:{name}")
    }
    return known


def _summary(known: _Known, principal: Principal, now: datetime) -> Summary:
    return Summary(
        principal=principal,
        owner_answers=principal.kind == "person" or answers(known.owner(principal), principal.workspace, now),
        grants=tuple(known.grants[principal.name]),
        last_used_at=last_use(known.uses[principal.name]),
        concerns=known.concerns(principal, now),
    )


def _report(app: App, known: _Known, principal: Principal) -> IdentityReport:
    summary, uses = _summary(known, principal, app.clock.now()), known.uses[principal.name]
    reach = tuple(reach_of(app, _proved(app, principal)))
    done = {(use.resource, use.action) for use in uses}
    never = (
        Reach(resource=one.resource, actions=tuple(a for a in one.actions if (one.resource, a) not in done))
        for one in reach
    )
    return IdentityReport(
        principal=principal,
        owner_answers=summary.owner_answers,
        grants=summary.grants,
        last_used_at=summary.last_used_at,
        concerns=summary.concerns,
        credentials=tuple(map(_without_secret, known.live[principal.name])),
        reach=reach,
        used=tuple(rights(uses)),
        never_used=tuple(one for one in never if one.actions),
    )


def _proved(app: App, principal: Principal) -> Principal:
    """``principal`` as it is once it has shown the second factor that it has: so far its rights reach."""
    enrolled = app.access.factors.enrolled(principal.name)
    proof = next((one for one in _STRONGEST_FIRST if one in enrolled), None)
    until = app.clock.now() + timedelta(hours=1)
    return replace(principal, session=Session(token="", proved_until=until, proof=proof))


def _without_secret(credential: Credential) -> CredentialReport:
    return CredentialReport(
        id=credential.id,
        kind=credential.kind,
        created_at=credential.created_at,
        expires_at=credential.expires_at,
        used_at=credential.used_at,
    )


def _by(items: Iterable[_T], key: Callable[[_T], str]) -> defaultdict[str, list[_T]]:
    found: defaultdict[str, list[_T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found
