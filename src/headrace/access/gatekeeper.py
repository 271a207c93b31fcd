"""The one choke point: who is asking, and whether they may."""

from __future__ import annotations

from headrace.access.identities import Identities
from headrace.access.tokens import Tokens
from headrace.core.errors import Denied, NotFound, Unauthenticated
from headrace.core.identity import ROLES, Principal, Role
from headrace.core.ports import AuditLog, Policy


class Gatekeeper:
    """Turns a credential into an identity, and an identity's wish into a yes or a refusal.

    Example::

        principal = gatekeeper.authenticate(request.headers.get("authorization"))
        gatekeeper.require(principal, "predict", "project:cars")
    """

    def __init__(self, identities: Identities, tokens: Tokens, policy: Policy, audit: AuditLog) -> None:
        self._identities = identities
        self._tokens = tokens
        self._policy = policy
        self._audit = audit

    def authenticate(self, authorization_header: str | None) -> Principal:
        """The identity behind the value of an ``Authorization`` header.

        Raises:
            Unauthenticated: there is none, it is no bearer token, or it is not valid (any more).
        """
        if not authorization_header:
            raise Unauthenticated(
                "This address needs an identity. Send 'Authorization: Bearer TOKEN'; "
                "headrace access token --as NAME prints a token."
            )
        scheme, _, token = authorization_header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("The Authorization header has another form. Expected 'Bearer TOKEN'.")
        name = self._tokens.verify(token.strip())
        try:
            return self._identities.resolve(name)
        except NotFound as error:
            raise Unauthenticated(f"The token's identity {name!r} is no longer known here.") from error

    def allows(self, principal: Principal, action: str, resource: str) -> bool:
        """Whether ``principal`` may; asking leaves no trace."""
        return self._policy.decide(principal, action, resource).allowed

    def require(self, principal: Principal, action: str, resource: str) -> None:
        """Return if ``principal`` may do ``action`` on ``resource``; a refusal is audited, durably.

        Raises:
            Denied: no rule permits it, or one forbids it.
        """
        decision = self._policy.decide(principal, action, resource)
        if decision.allowed:
            return
        self._audit.append(
            principal.name,
            "access.denied",
            resource,
            {"action": action, "rules": list(decision.rules), "policy": decision.policy},
        )
        may = [role for role in ROLES if self._role_may(role, principal, action, resource)]
        held = ", ".join(principal.roles) or "none"
        next_step = f"Roles that may: {', '.join(may)}." if may else "No role may."
        raise Denied(f"{principal.name!r} (roles: {held}) may not {action} on {resource}. {next_step}")

    def _role_may(self, role: Role, principal: Principal, action: str, resource: str) -> bool:
        somebody = Principal(name="somebody", kind="person", roles=(role,), created_at=principal.created_at)
        return self._policy.decide(somebody, action, resource).allowed
