"""Identities: who is known here, which roles each holds, who answers for it, and how long it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from headrace.access.memory import Memory
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from headrace.core.identity import MAIN, ROLES, Kind, Principal, Role
from headrace.core.ids import check_name
from headrace.core.ports import AuditLog, Clock, Epoch, PrincipalStore

FIRST_ROLES: tuple[Role, ...] = ("developer", "operator", "admin")
LONGEST = timedelta(days=365)
"""For how long at most a service or an agent may be there before somebody prolongs it."""
TERM = timedelta(days=90)
"""For how long a service or an agent is there, and until when it is reviewed, unless it is said."""
REVIEW = timedelta(days=365)
"""Until when a person is reviewed unless it is said."""
MAX_TEXT_CHARS = 2_000


class Identities:
    """The known identities, remembered so that a request costs no query.

    Every change is kept together with its audit entry, and holds in every process at its next request.

    Example::

        identities.add("reviewer", ["validator"], actor="ann")
        identities.add("nightly", ["operator"], actor="ann", kind="service", owner="ann", purpose="labels")
    """

    def __init__(self, principals: PrincipalStore, audit: AuditLog, epoch: Epoch, clock: Clock) -> None:
        self._principals = principals
        self._audit = audit
        self._epoch = epoch
        self._clock = clock
        self._known = Memory(principals.find, epoch, clock, edition=principals.edition)

    def add(
        self,
        name: str,
        roles: Sequence[str],
        *,
        actor: str,
        kind: Kind | None = None,
        workspace: str | None = None,
        owner: str | None = None,
        purpose: str = "",
        expires_at: datetime | None = None,
        review_by: datetime | None = None,
    ) -> Principal:
        """Make ``name`` known with exactly these roles; of a known identity, what is given is replaced.

        Args:
            kind: a person unless said; stands for good, like the workspace.
            workspace: ``main`` unless said. Names are unique over all workspaces.
            owner: the person who answers for a service or an agent; people answer for themselves.
            purpose: what a service or an agent is there for.
            expires_at: of services and agents within 365 days, in 90 days unless said.
            review_by: in 365 days for people, in 90 for others unless said.

        Raises:
            InvalidInput: the name has a form that cannot be used, a role does not exist, or a service or
                an agent has no owner, purpose or end.
            Conflict: the name is taken, or the workspace would be left without an administrator.
        """
        check_name(name, "An identity")
        before, held = self._principals.find(name), known_roles(name, roles)
        if before is None:
            changed = self._new(name, held, kind, workspace)
        else:
            _same(before, kind, workspace)
            changed = self._with_roles(before, held)
        changed = replace(
            changed,
            owner=owner or changed.owner,
            earlier_owners=_earlier_owners(changed, owner),
            purpose=purpose.strip() or changed.purpose,
            expires_at=expires_at or changed.expires_at,
            review_by=review_by or changed.review_by,
        )
        self._check_machine(changed)
        return self._save(before, changed, actor, {"roles": list(held)})

    def remove_role(self, name: str, role: str, *, actor: str) -> Principal:
        """Take one role away.

        Raises:
            NotFound: nobody is known by this name.
            InvalidInput: it does not hold the role, or no other: an identity is then expired instead.
            Conflict: the workspace would be left without an administrator.
        """
        before = self._standing(name)
        if role not in before.roles:
            raise InvalidInput(f"{name!r} does not hold the role {role!r} (has: {', '.join(before.roles)}).")
        left = tuple(held for held in before.roles if held != role)
        if not left:
            raise InvalidInput(
                f"{role!r} is the only role of {name!r}. Without any it is of no use: "
                f"headrace access user expire {name}."
            )
        return self._save(before, self._with_roles(before, left), actor, {"roles": list(left)})

    def set_expiry(self, name: str, expires_at: datetime, *, actor: str) -> Principal:
        """Let an identity end at ``expires_at``: at once, or later than it would have.

        Raises:
            NotFound: nobody is known by this name.
            InvalidInput: a service or an agent would be there for more than 365 days.
            Conflict: the workspace would be left without an administrator.
        """
        before = self._standing(name)
        changed = replace(before, expires_at=expires_at)
        self._check_machine(changed)
        return self._save(before, changed, actor, {"expires_at": expires_at.isoformat()})

    def review(self, name: str, review_by: datetime, *, actor: str) -> Principal:
        """Say that an identity is still needed, until somebody has to say so again.

        Raises:
            NotFound: nobody is known by this name.
            InvalidInput: the next review is past, or more than 365 days away.
        """
        before, now = self._standing(name), self._clock.now()
        if not now < review_by <= now + REVIEW:
            raise InvalidInput(
                f"The next review of {name!r} would be on {review_by:%Y-%m-%d}. "
                f"Expected a day within the next {REVIEW.days} days."
            )
        return self._save(
            before, replace(before, review_by=review_by), actor, {"review_by": review_by.isoformat()}
        )

    def freeze(self, name: str, reason: str, *, actor: str) -> Principal:
        """Let an identity do nothing until a person unfreezes it; nothing of it is deleted.

        Raises:
            NotFound: nobody is known by this name.
            InvalidInput: there is no reason.
            Conflict: the workspace would be left without an administrator.
        """
        before = self._standing(name)
        said = required_text(reason, f"Freezing {name!r} needs a reason")
        # Whoever froze it first had a reason that stands until somebody unfreezes.
        changed = before if before.frozen is not None else replace(before, frozen=said)
        return self._save(before, changed, actor, {"frozen": True})

    def unfreeze(self, name: str, *, actor: str) -> Principal:
        """Let a frozen identity act again. Raises NotFound."""
        before = self._standing(name)
        return self._save(before, replace(before, frozen=None), actor, {"frozen": False})

    def resolve(self, name: str) -> Principal:
        """The identity with this name, if it may act at this moment.

        Raises:
            NotFound: nobody is known by this name.
            Unauthenticated: it is frozen, or its time is over.
        """
        principal = self._known.get(name)
        if principal is None:
            raise _unknown(name)
        if principal.frozen is not None:
            raise Unauthenticated(
                f"The identity {name!r} is frozen: {principal.frozen}. Somebody with the role admin can "
                f"unfreeze it: headrace access user unfreeze {name}."
            )
        if principal.expires_at is not None and principal.has_ended(self._clock.now()):
            raise Unauthenticated(
                f"The identity {name!r} has expired ({principal.expires_at:%Y-%m-%d %H:%M} UTC). Somebody "
                f"with the role admin can prolong it: headrace access user expire {name} --in 90d."
            )
        return principal

    def ensure_first(self, name: str) -> Principal:
        """``name``; in a home that knows nobody yet it becomes the first identity.

        The first identity may build, operate and hand out roles, but never approve.

        Raises:
            NotFound: others are known here, and ``name`` is not.
        """
        if not self._principals.list():
            # Another process may be about to do the same.
            with suppress(Conflict):
                roles = {"roles": list(FIRST_ROLES)}
                return self._save(None, self._new(name, FIRST_ROLES), name, roles, first=True)
        return self.resolve(name)

    def _standing(self, name: str) -> Principal:
        """The identity as it is stored; what is remembered may be a second old."""
        principal = self._principals.find(name)
        if principal is None:
            raise _unknown(name)
        return principal

    def _new(
        self, name: str, roles: tuple[Role, ...], kind: Kind | None = None, workspace: str | None = None
    ) -> Principal:
        now, machine = self._clock.now(), kind in ("service", "agent")
        return Principal(
            name=check_name(name, "An identity"),
            kind=kind or "person",
            roles=roles,
            created_at=now,
            workspace=MAIN if workspace is None else check_name(workspace, "A workspace"),
            expires_at=now + TERM if machine else None,
            review_by=now + (TERM if machine else REVIEW),
            roles_since=now,
        )

    def _with_roles(self, before: Principal, roles: tuple[Role, ...]) -> Principal:
        if roles == before.roles:
            return before
        return replace(before, roles=roles, roles_since=self._clock.now())

    def _save(
        self,
        before: Principal | None,
        changed: Principal,
        actor: str,
        detail: dict[str, Any],
        *,
        first: bool = False,
    ) -> Principal:
        """Write it and its entry, and let every process look again; ``first``: only where nobody is known."""
        if "roles" in detail:
            detail |= {"before": None if before is None else list(before.roles)}
        if changed.kind != "person" and "roles" in detail:
            detail |= {"kind": changed.kind, "owner": changed.owner}

        def guard(standing: Principal | None, everybody: Sequence[Principal]) -> None:
            if standing != before or (first and everybody):
                raise Conflict(
                    f"The identity {changed.name!r} was changed by somebody else at this moment. Look again."
                )
            self._keep_an_admin(before, changed, everybody)

        with self._audit.transaction():
            self._principals.save(changed, guard)
            self._audit.append(actor, "access.write", f"principal:{changed.name}", detail)
            self._epoch.advance()
        return changed

    def _keep_an_admin(
        self, before: Principal | None, changed: Principal, everybody: Sequence[Principal]
    ) -> None:
        """A workspace keeps somebody who administers it now, and somebody who will as long as wanted."""
        if before is None:
            return
        now = self._clock.now()
        for stays in (_administers, _administers_for_good):
            if stays(before, now) and not stays(changed, now):
                others = (p for p in everybody if p.name != before.name)
                if not any(p.workspace == before.workspace and stays(p, now) for p in others):
                    raise Conflict(
                        f"{before.name!r} is the only identity with the role admin in the workspace "
                        f"{before.workspace!r}; without it nobody could hand out roles. Keep it as it is, "
                        "or give the role to somebody else first."
                    )

    def _check_machine(self, principal: Principal) -> None:
        """Services and agents have somebody who answers for them, a purpose and an end."""
        if principal.kind == "person":
            return
        what, now = f"The {principal.kind} {principal.name!r}", self._clock.now()
        owner = None if principal.owner is None else self._principals.find(principal.owner)
        if not answers(owner, principal.workspace, now):
            got = "nobody" if principal.owner is None else repr(principal.owner)
            raise InvalidInput(
                f"{what} needs an owner who answers for it, got {got}. Expected a person of the workspace "
                f"{principal.workspace!r} whose own time is not over: --owner NAME."
            )
        required_text(principal.purpose, f"{what} needs a purpose")
        if principal.expires_at is None or principal.expires_at > now + LONGEST:
            raise InvalidInput(
                f"{what} needs an end within {LONGEST.days} days. Prolong it when it is still needed then: "
                "--expires 90d."
            )


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"There is no identity {name!r} here. Somebody with the role admin can add it: "
        f"headrace access user add {name} --role ROLE (one of {', '.join(ROLES)})."
    )


def known_roles(name: str, roles: Sequence[str]) -> tuple[Role, ...]:
    """``roles`` in their usual order.

    Raises:
        InvalidInput: there is none, or one does not exist.
    """
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        got = ", ".join(map(repr, unknown)) or "none"
        raise InvalidInput(f"Roles of {name!r}: got {got}. Expected one or more of {', '.join(ROLES)}.")
    return tuple(role for role in ROLES if role in roles)


def required_text(text: str, what: str) -> str:
    """``text`` without spaces around it. Raises InvalidInput when it is empty or too long."""
    said = text.strip()
    if not 1 <= len(said) <= MAX_TEXT_CHARS:
        raise InvalidInput(f"{what}: got {len(said)} characters. Expected 1 to {MAX_TEXT_CHARS}.")
    try:
        said.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what}: got text that UTF-8 has no form for. Expected plain text.") from error
    return said


def answers(owner: Principal | None, workspace: str, now: datetime) -> bool:
    """Whether ``owner`` is a person of the workspace who is still there."""
    return (
        owner is not None
        and owner.kind == "person"
        and owner.workspace == workspace
        and not owner.has_ended(now)
    )


def _administers(principal: Principal, now: datetime) -> bool:
    """Only people hand out roles, whatever else holds the role admin."""
    return principal.kind == "person" and "admin" in principal.roles and principal.may_act(now)


def _administers_for_good(principal: Principal, now: datetime) -> bool:
    return principal.expires_at is None and _administers(principal, now)


def _earlier_owners(before: Principal, owner: str | None) -> tuple[str, ...]:
    """Whoever answered for it stays the maker of what it made: another owner must not free them to decide."""
    if owner is None or before.owner in (None, owner, *before.earlier_owners):
        return before.earlier_owners
    return (*before.earlier_owners, str(before.owner))


def _same(before: Principal, kind: Kind | None, workspace: str | None) -> None:
    if kind not in (None, before.kind) or workspace not in (None, before.workspace):
        raise Conflict(
            f"The name {before.name!r} is taken by another identity ({before.kind}). Kind and workspace "
            "stand for good, and names are unique over all workspaces: choose another name."
        )
