"""Identities: who is known here, and which roles each holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headrace.access.memory import Memory
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from headrace.core.identity import MAIN, ROLES, Kind, Principal, Role
from headrace.core.ids import check_name
from headrace.core.ports import AuditLog, Clock, Epoch, PrincipalStore

FIRST_ROLES: tuple[Role, ...] = ("developer", "operator", "admin")


class Identities:
    """The known identities, remembered so that a request costs no query.

    Example::

        identities.add("reviewer", ["validator"], actor="ann")
    """

    def __init__(self, principals: PrincipalStore, audit: AuditLog, epoch: Epoch, clock: Clock) -> None:
        self._principals = principals
        self._audit = audit
        self._epoch = epoch
        self._clock = clock
        self._known = Memory(principals.find, epoch, clock)

    def add(
        self,
        name: str,
        roles: Sequence[str],
        *,
        actor: str,
        kind: Kind = "person",
        workspace: str = MAIN,
    ) -> Principal:
        """Make ``name`` known with exactly these roles; a known identity's roles are replaced.

        Raises:
            InvalidInput: the name has a form that cannot be used, or a role does not exist.
            Conflict: nobody would be left with the role admin.
        """
        check_name(name, "An identity")
        unknown = [role for role in roles if role not in ROLES]
        if unknown or not roles:
            got = ", ".join(unknown) or "none"
            raise InvalidInput(f"Roles of {name!r}: got {got}. Expected one or more of {', '.join(ROLES)}.")
        before = self._principals.find(name)
        if before is not None and "admin" in before.roles and "admin" not in roles:
            self._keep_an_admin(name)
        held = tuple(role for role in ROLES if role in roles)
        if before is None:
            principal = Principal(
                name=name, kind=kind, roles=held, created_at=self._clock.now(), workspace=workspace
            )
        else:
            principal = replace(before, roles=held)
        self._audit.append(
            actor,
            "access.write",
            f"principal:{name}",
            {"roles": list(principal.roles), "before": list(before.roles) if before else None},
        )
        self._principals.save(principal)
        self._epoch.advance()
        return principal

    def _keep_an_admin(self, leaving: str) -> None:
        if not any("admin" in p.roles for p in self._principals.list() if p.name != leaving):
            raise Conflict(
                f"{leaving!r} is the only identity with the role admin; without it nobody could hand out "
                "roles. Keep the role, or give it to somebody else first."
            )

    def resolve(self, name: str) -> Principal:
        """The identity with this name, if it may act at this moment.

        Raises:
            NotFound: nobody is known by this name.
            Unauthenticated: it is frozen, or its time is over.
        """
        principal = self._known.get(name)
        if principal is None:
            raise NotFound(
                f"There is no identity {name!r} here. Somebody with the role admin can add it: "
                f"headrace access user add {name} --role ROLE (one of {', '.join(ROLES)})."
            )
        if principal.frozen is not None:
            raise Unauthenticated(
                f"The identity {name!r} is frozen: {principal.frozen}. Somebody with the role admin can "
                f"unfreeze it: headrace access unfreeze {name}."
            )
        if principal.expires_at is not None and principal.expires_at <= self._clock.now():
            raise Unauthenticated(
                f"The identity {name!r} has expired ({principal.expires_at:%Y-%m-%d %H:%M} UTC). "
                "Somebody with the role admin can prolong it."
            )
        return principal

    def ensure_first(self, name: str) -> Principal:
        """``name``; in a home that knows nobody yet it becomes the first identity.

        The first identity may build, operate and hand out roles, but never approve.

        Raises:
            NotFound: others are known here, and ``name`` is not.
        """
        if self._principals.list():
            return self.resolve(name)
        return self.add(name, FIRST_ROLES, actor=name)
