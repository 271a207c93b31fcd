"""Who acts, and what was decided about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["viewer", "developer", "validator", "operator", "auditor", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "developer", "validator", "operator", "auditor", "admin")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A person, service or agent."""

    name: str
    kind: Literal["person", "service", "agent"]
    roles: tuple[Role, ...]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether it may, and which rules said so."""

    allowed: bool
    rules: tuple[str, ...]
    policy: str


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
