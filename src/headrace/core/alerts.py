"""How people are told of what was found, and what they do about it."""

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


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that somebody is to be told, until the other side has taken it, it was given up or it lapsed.

    Attributes:
        id: follows from what it is about and whom it is for; the message has it each time it is sent.
        subject: the project.
        to: the address of a person, for a channel that tells persons.
        alerts: ids of what it is about; alerts that one round has raised are told together.
        why: ``raised``, or ``escalated``: nobody has answered in time; ``draft``, ``handoff``: no alert, but
            such wait for a person.
        due_at: it is not tried before.
        tries: how often it was begun to be sent; ``turn`` is another id each time.
        error: why it was not taken the last time.
    """

    id: str
    workspace: str
    subject: str
    channel: str
    alerts: tuple[str, ...]
    at: datetime
    due_at: datetime
    to: str = ""
    why: Literal["raised", "escalated", "draft", "handoff"] = "raised"
    state: Literal["waiting", "sent", "failed", "lapsed"] = "waiting"
    revision: int = 0
    tries: int = 0
    turn: str = ""
    error: str = ""
    sent_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """What people do about one alert, until it is closed.

    Attributes:
        id: the alert's.
        subject: the project.
        kind: of the finding.
        round: the same for all that was raised together.
        first_at: when the first answer of the finding's window was given, the earliest that can be wrong.
        quiet: why nobody was told; empty where somebody is.
        due_at: until when it has to be closed; None: whenever.
        notes: who did what and when, oldest first.
    """

    id: str
    workspace: str
    subject: str
    kind: str
    at: datetime
    round: str
    first_at: datetime | None = None
    quiet: str = ""
    due_at: datetime | None = None
    state: Literal["open", "acknowledged", "ignored", "remediated", "accepted", "lapsed"] = "open"
    revision: int = 0
    notes: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Period:
    """A time that somebody has named beforehand or afterwards.

    Attributes:
        subject: the project.
        kind: ``silence``: nobody is told of alerts that are raised in it; ``event``: something known happened
            to the world, such as a promotion, which explains what is found in its windows; ``maintenance``:
            announced beforehand, its downtime and failures are not held against the service level.
        starts_at, ends_at: of an event in event time, of others on the clock.
        finding: the only kind of finding that is silenced; ``feature``: the only feature. Empty: all.
    """

    id: str
    workspace: str
    subject: str
    kind: Literal["silence", "event", "maintenance"]
    title: str
    starts_at: datetime
    ends_at: datetime
    by: str
    at: datetime
    finding: str = ""
    feature: str = ""
    state: Literal["named", "withdrawn"] = "named"
    revision: int = 0
