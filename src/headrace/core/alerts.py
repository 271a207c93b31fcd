"""How people are told of what was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, kw_only=True)
class Link:
    """Where to look, or what to do about it."""

    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """What people are told, in words and for machines.

    Attributes:
        id: the same each time it is sent, by which a receiver knows what it has had.
        title: one line; ``text``: some more, as plain text.
        to: the address of the one person it is for, where the channel tells persons.
        details: the same for machines: one entry per alert.
    """

    id: str
    at: datetime
    project: str
    severity: Severity
    title: str
    text: str
    links: tuple[Link, ...] = ()
    to: str = ""
    details: tuple[dict[str, Any], ...] = ()
