"""Identities: who is known here, and which roles each holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.identity import ROLES, Principal, Role
from headrace.core.ids import check_name
from headrace.core.ports import AuditLog, Clock, PrincipalStore

FIRST_ROLES: tuple[Role, ...] = ("developer", "operator", "admin")


class _Seen(NamedTuple):
    principal: Principal
    until_s: float


class Identities:
    """The known identities, read through a short cache so that a request costs no query.

    Args:
        cache_s: how long a change made by another process may go unnoticed, in seconds.

    Example::

        identities.add("reviewer", ["validator"], actor="ann")
    """

    def __init__(
        self, principals: PrincipalStore, audit: AuditLog, clock: Clock, *, cache_s: float = 1.0
    ) -> None:
        self._principals = principals
        self._audit = audit
        self._clock = clock
        self._cache_s = cache_s
        self._seen: dict[str, _Seen] = {}

    def add(
        self,
        name: str,
        roles: Sequence[str],
        *,
        actor: str,
        kind: Literal["person", "service", "agent"] = "person",
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
        principal = Principal(
            name=name,
            kind=before.kind if before else kind,
            roles=tuple(role for role in ROLES if role in roles),
            created_at=before.created_at if before else self._clock.now(),
        )
        self._audit.append(
            actor,
            "access.write",
            f"principal:{name}",
            {"roles": list(principal.roles), "before": list(before.roles) if before else None},
        )
        self._principals.save(principal)
        self._seen.pop(name, None)
        return principal

    def _keep_an_admin(self, leaving: str) -> None:
        if not any("admin" in p.roles for p in self._principals.list() if p.name != leaving):
            raise Conflict(
                f"{leaving!r} is the only identity with the role admin; without it nobody could hand out "
                "roles. Keep the role, or give it to somebody else first."
            )

    def resolve(self, name: str) -> Principal:
        """The identity with this name.

        Raises:
            NotFound: nobody is known by this name.
        """
        now_s = self._clock.monotonic_s()
        seen = self._seen.get(name)
        if seen is not None and now_s < seen.until_s:
            return seen.principal
        principal = self._principals.find(name)
        if principal is None:
            self._seen.pop(name, None)
            raise NotFound(
                f"There is no identity {name!r} here. Somebody with the role admin can add it: "
                f"headrace access user add {name} --role ROLE (one of {', '.join(ROLES)})."
            )
        self._seen[name] = _Seen(principal, now_s + self._cache_s)
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
