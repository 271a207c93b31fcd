"""Identities and an audit log in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.core.identity import AuditEntry, Principal
from headrace.core.ports import Head
from headrace.store import open_store
from headrace.testing import START, FakeClock, make_settings


class MemoryPrincipals:
    """Implements ``PrincipalStore``; counts look-ups, and can forget somebody."""

    def __init__(self) -> None:
        self._known: dict[str, Principal] = {}
        self._changes = 0
        self.looked_up = 0

    def save(
        self,
        principal: Principal,
        guard: Callable[[Principal | None, Sequence[Principal]], None] | None = None,
    ) -> None:
        if guard is not None:
            guard(self._known.get(principal.name), self.list())
        self._known[principal.name] = principal
        self._changes += 1

    def get(self, name: str) -> Principal:
        return self._known[name]

    def edition(self) -> object:
        return self._changes

    def find(self, name: str) -> Principal | None:
        self.looked_up += 1
        return self._known.get(name)

    def list(self) -> list[Principal]:
        return list(self._known.values())

    def forget(self, name: str) -> None:
        del self._known[name]
        self._changes += 1


class MemoryAudit:
    """Implements ``AuditLog``, without the chain."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def append(self, actor: str, action: str, resource: str, detail: Mapping[str, Any]) -> None:
        entry = AuditEntry(
            sequence=len(self.entries) + 1,
            at=START,
            actor=actor,
            action=action,
            resource=resource,
            detail=dict(detail),
        )
        self.entries.append(entry)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        before = len(self.entries)
        try:
            yield
        except BaseException:
            del self.entries[before:]
            raise

    def search(self, text: str = "", *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        return [entry for entry in reversed(self.entries) if text in str(entry)][:limit]

    def list(self, *, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        return self.entries[after : after + limit]

    def head(self) -> Head:
        return Head(len(self.entries), "")

    def verify(self, marks: Mapping[int, str] | None = None, *, after: Head | None = None) -> Head:
        return self.head()


class Door:
    """A gatekeeper with everything behind it, connected."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = FakeClock()
        self.principals = MemoryPrincipals()
        self.audit = MemoryAudit()
        self.store = replace(
            open_store(make_settings(home), self.clock), principals=self.principals, audit=self.audit
        )
        self.access = open_access(self.store, home / "keys", self.clock, CedarPolicy())
        self.identities = self.access.identities
        self.tokens = self.access.tokens
        self.gatekeeper = self.access.gatekeeper

    def close(self) -> None:
        """Release the store's files."""
        self.store.close()

    def enter(self, name: str, *roles: str) -> str:
        """Make ``name`` known; returns its ``Authorization`` header."""
        principal = self.identities.add(name, roles, actor="root")
        return f"Bearer {self.tokens.issue(principal)}"

    def agent(self, name: str) -> Principal:
        """Make an agent known, and the person who answers for it."""
        self.enter("owner", "developer")
        return self.identities.add(
            name, ["viewer"], actor="root", kind="agent", owner="owner", purpose="tests"
        )

    def service(self, name: str) -> Principal:
        """Make a service known, and the person who answers for it."""
        self.enter("owner", "developer")
        return self.identities.add(
            name, ["developer"], actor="root", kind="service", owner="owner", purpose="tests"
        )
