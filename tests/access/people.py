"""Identities and an audit log in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.identities import Identities
from headrace.access.policy import CedarPolicy
from headrace.access.tokens import Tokens
from headrace.core.identity import AuditEntry, Principal
from headrace.testing.clock import START, FakeClock


class MemoryPrincipals:
    """Implements ``PrincipalStore``; counts look-ups, and can forget somebody."""

    def __init__(self) -> None:
        self._known: dict[str, Principal] = {}
        self.looked_up = 0

    def save(self, principal: Principal) -> None:
        self._known[principal.name] = principal

    def get(self, name: str) -> Principal:
        return self._known[name]

    def find(self, name: str) -> Principal | None:
        self.looked_up += 1
        return self._known.get(name)

    def list(self) -> list[Principal]:
        return list(self._known.values())

    def forget(self, name: str) -> None:
        del self._known[name]


class MemoryAudit:
    """Implements ``AuditLog``, without the chain."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def append(self, actor: str, action: str, resource: str, detail: Mapping[str, Any]) -> AuditEntry:
        entry = AuditEntry(
            sequence=len(self.entries) + 1,
            at=START,
            actor=actor,
            action=action,
            resource=resource,
            detail=dict(detail),
        )
        self.entries.append(entry)
        return entry

    def list(self, *, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        return self.entries[after : after + limit]

    def verify(self) -> int:
        return len(self.entries)


class Door:
    """A gatekeeper with everything behind it, connected."""

    def __init__(self, keys: Path) -> None:
        self.clock = FakeClock()
        self.principals = MemoryPrincipals()
        self.audit = MemoryAudit()
        self.identities = Identities(self.principals, self.audit, self.clock)
        self.tokens = Tokens(keys, self.clock)
        self.gatekeeper = Gatekeeper(self.identities, self.tokens, CedarPolicy(), self.audit)

    def enter(self, name: str, *roles: str) -> str:
        """Make ``name`` known; returns its ``Authorization`` header."""
        principal = self.identities.add(name, roles, actor="root")
        return f"Bearer {self.tokens.issue(principal)}"
