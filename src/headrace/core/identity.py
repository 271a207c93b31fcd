"""Who acts, what they may do for how long, and what was decided about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

Role = Literal["caller", "viewer", "developer", "validator", "operator", "auditor", "admin"]
ROLES: tuple[Role, ...] = ("caller", "viewer", "developer", "validator", "operator", "auditor", "admin")
Kind = Literal["person", "service", "agent"]
Proof = Literal["code", "passkey"]
"""Kinds of second factor. A code can be talked out of somebody; a passkey works on its own site only."""
MAIN = "main"
"""The workspace of whoever has no other. Its administrators set up the other workspaces."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a principal has proved who it is, this time; never stored with it.

    Attributes:
        token: id of the token that speaks for it; a browser's session has one too.
        family: the sign-in or the secret that its token came of, if any.
        run: the run that an agent's token is bound to.
        tools: the only tools that the token may call; None: it is bound to none in particular.
        began_at: when its owner signed in.
        proved_until: until when a second factor counts as fresh.
        proof: by which kind of second factor it was proved; None: by an unnamed one.
        network: where the request comes from, as :func:`headrace.access.networks.network_of` says it.
        expires_s: when the token ends, in epoch seconds; None: it has no end of its own.
    """

    token: str
    family: str | None = None
    run: str | None = None
    tools: tuple[str, ...] | None = None
    began_at: datetime | None = None
    proved_until: datetime | None = None
    proof: Proof | None = None
    network: str = ""
    expires_s: int | None = None


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A person, service or agent.

    Attributes:
        owner: the person to call; people answer for themselves.
        earlier_owners: who answered for it before, and so made what it made then.
        expires_at: from when on it is nobody any more.
        review_by: when somebody has to say again that it is still needed.
        frozen: why it may do nothing for now; None: it may.
        roles_since: since when it holds these roles and no others.
    """

    name: str
    kind: Kind
    roles: tuple[Role, ...]
    created_at: datetime
    workspace: str = MAIN
    owner: str | None = None
    purpose: str = ""
    expires_at: datetime | None = None
    review_by: datetime | None = None
    frozen: str | None = None
    roles_since: datetime | None = None
    earlier_owners: tuple[str, ...] = ()
    session: Session | None = None

    def has_ended(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def may_act(self, now: datetime) -> bool:
        """Whether it is still there: neither over nor frozen."""
        return self.frozen is None and not self.has_ended(now)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What somebody wants to act on, with everything that a rule may ask about it.

    Attributes:
        authors: who made it; nobody decides about their own work.
        risk: the risk tier of the project that it belongs to.
        project: the project that it belongs to, for what has a name of its own.
    """

    kind: str
    name: str
    workspace: str = MAIN
    authors: tuple[str, ...] = ()
    risk: str = ""
    project: str = ""

    @classmethod
    def parse(cls, text: str, workspace: str = MAIN) -> Resource:
        """Read ``kind:name``.

        >>> Resource.parse("project:cars").name
        'cars'
        """
        kind, _, name = text.partition(":")
        return cls(kind=kind, name=name, workspace=workspace)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, kw_only=True)
class Circumstance:
    """What else a rule may ask.

    Attributes:
        proved: whether a second factor is fresh.
        proof: which kind it was; empty if there is none, or it has no name.
        enrolled: the kinds that the principal has.
        arguments: what a tool is called with.
        granted: roles that the principal holds for a while, beside its own.
    """

    proved: bool = False
    proof: Proof | Literal[""] = ""
    enrolled: tuple[Proof, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    granted: tuple[Role, ...] = ()


PLAIN = Circumstance()
"""Nothing special."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether it may, and which rules said so."""

    allowed: bool
    rules: tuple[str, ...]
    policy: str

    @property
    def basis(self) -> dict[str, Any]:
        """By which rules of which policy (its digest), as an audit entry says it."""
        return {"rules": list(self.rules), "policy": self.policy}


@dataclass(frozen=True, kw_only=True)
class Use:
    """A right that was used, how often, and when last."""

    principal: str
    action: str
    resource: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """By which token somebody was seen, and from which network: what several servers tell each other.

    Attributes:
        position: its number in the store; 0 until it is there.
        source: the process that saw it.
    """

    principal: str
    network: str
    token: str
    at: datetime
    source: str
    position: int = 0


@dataclass(frozen=True, kw_only=True)
class Expiring:
    """A small value that all processes share until its time is over, such as a browser's session.

    Attributes:
        key: what it is found by; of a secret its digest.
        subject: whose it is, if anybody's.
    """

    kind: str
    key: str
    value: str
    ends_at: datetime
    subject: str = ""


class Changing(Protocol):
    """What all records below have: they change by revision, and are found by workspace, subject and state."""

    @property
    def id(self) -> str:
        """Its own id."""

    @property
    def workspace(self) -> str:
        """The workspace that it belongs to."""

    @property
    def subject(self) -> str:
        """Whom or what it is about."""

    @property
    def state(self) -> str:
        """Where it stands."""

    @property
    def revision(self) -> int:
        """How often it has changed."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A role on one resource for a while: asked for, decided by somebody else, and over by itself.

    Attributes:
        subject: whom it is for.
        resource: ``project:NAME`` or ``workspace:NAME``; the latter stands for everything in it.
        break_glass: taken without waiting for an approval, which raises an alert.
    """

    id: str
    workspace: str
    subject: str
    role: Role
    resource: str
    reason: str
    asked_by: str
    asked_at: datetime
    duration_s: int
    state: Literal["asked", "active", "refused", "ended"] = "asked"
    revision: int = 0
    decided_by: str | None = None
    decided_at: datetime | None = None
    ends_at: datetime | None = None
    break_glass: bool = False


@dataclass(frozen=True, kw_only=True)
class Credential:
    """Something by which a principal can prove who it is. Secrets are kept as hashes only.

    Attributes:
        family: all refresh tokens that came of one sign-in; when one is used twice, all of them end.
        data: what the kind needs, such as ``{"hash": ...}``.
    """

    id: str
    workspace: str
    subject: str
    kind: Literal["secret", "refresh", "token", "totp", "passkey", "external"]
    created_at: datetime
    expires_at: datetime | None
    state: Literal["live", "used", "revoked"] = "live"
    revision: int = 0
    family: str = ""
    used_at: datetime | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Something suspicious: noticed by a rule or flagged by anybody, looked into, and closed with a result.

    Attributes:
        subject: the principal that it is about.
        kind: such as ``impossible_travel``, ``token_reuse``, ``break_glass`` or ``flagged``.
        notes: who found out what and when, oldest first.
    """

    id: str
    workspace: str
    subject: str
    kind: str
    title: str
    raised_by: str
    at: datetime
    evidence: dict[str, Any] = field(default_factory=dict)
    state: Literal["open", "investigating", "closed"] = "open"
    revision: int = 0
    assignee: str | None = None
    notes: tuple[dict[str, str], ...] = ()
    resolution: str = ""


@dataclass(frozen=True, kw_only=True)
class PolicyText:
    """One version of a workspace's policy. ``digest`` is the SHA-256 of ``text``."""

    id: str
    workspace: str
    subject: str
    version: int
    text: str
    digest: str
    author: str
    at: datetime
    state: Literal["waiting", "live", "superseded", "refused"] = "waiting"
    revision: int = 0
    approver: str | None = None
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One line of the audit log. ``hash`` covers ``previous`` and everything else in the entry."""

    sequence: int
    at: datetime
    actor: str
    action: str
    resource: str
    detail: dict[str, Any] = field(default_factory=dict)
    previous: str = ""
    hash: str = ""


@dataclass(frozen=True, kw_only=True)
class Seal:
    """A signed statement that the audit log had the entry ``sequence`` with this ``hash``.

    Attributes:
        number: of the seal, from 1 on without gaps.
        previous: digest of the seal before; empty for the first.
        signature: by the home's key for seals; the key's name and the bytes in base64.
    """

    number: int
    sequence: int
    hash: str
    at: datetime
    previous: str = ""
    signature: str = ""
