"""Whom an alert is told to, by which channels, or why to nobody. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from headrace.core.alerts import Notice, Period, Severity
from headrace.core.ids import derived_id
from headrace.core.project import AlertRoute, Project
from headrace.core.record import Alert, Finding

VIOLATIONS = frozenset({"fairness", "compliance"})
"""Kinds that are tracked until somebody has remedied or accepted them."""
UNEXCUSED = VIOLATIONS | {"service_level", "review"}
"""Kinds that no known event explains away."""
_CRITICAL = frozenset(
    {
        "performance",
        "concept_drift",
        "metric",
        "answers",
        "traffic",
        "columns",
        "service_level",
        "fallback",
        *VIOLATIONS,
    }
)
_INFORMS = frozenset({"labels", "schedule", "code", "registration"})
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 3_600.0
MOST_TRIES = 30
"""How often a notice is sent before it is given up: for about a day."""
NO_CHANNEL = "No channel is set up here"
"""How the error of a notice begins that had nowhere to go: an installation is as yet without any channel."""
_EXPLAINS = 0.5
"""Share of a window from which on an event explains what was found in it."""


class Raised(NamedTuple):
    """An alert and what it was raised on."""

    alert: Alert
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Telling:
    """By which channels an alert is told; ``why_not`` says why by none."""

    channels: tuple[str, ...] = ()
    why_not: str = ""


def severity_of(kind: str) -> Severity:
    """How much a kind of finding matters.

    >>> severity_of("performance"), severity_of("data_drift"), severity_of("schedule")
    ('critical', 'warning', 'info')
    """
    return "critical" if kind in _CRITICAL else "info" if kind in _INFORMS else "warning"


def telling(project: Project, finding: Finding) -> Telling:
    """What the project declares about an alert on ``finding``."""
    severity = severity_of(finding.kind)
    route = next((one for one in project.alerts.routes if _fits(one, project, finding, severity)), None)
    if route is None:
        if severity == "info":
            return Telling(why_not="it only informs, and no route asks for it")
        channels = project.alerts.channels
    elif route.above is not None and finding.size < route.above:
        return Telling(why_not=f"its size {finding.size:.3g} is below {route.above:g}, the threshold to tell")
    else:
        channels = route.channels
    return Telling(channels=channels, why_not="" if channels else "headrace.yaml names no channel for it")


def _fits(route: AlertRoute, project: Project, finding: Finding, severity: Severity) -> bool:
    metric = project.gates.model.metric if finding.kind == "performance" else finding.feature
    return (
        route.kind in (None, finding.kind)
        and route.metric in (None, metric)
        and route.severity in (None, severity)
    )


def explained(periods: Iterable[Period], window: tuple[datetime, datetime]) -> tuple[Period, float] | None:
    """The known event that covers most of a window, and its share of it; None if none touches it."""
    start, end = window
    length_s = (end - start).total_seconds()
    best: tuple[Period, float] | None = None
    for event in periods:
        if event.kind != "event" or event.state != "named":
            continue
        common_s = (min(end, event.ends_at) - max(start, event.starts_at)).total_seconds()
        inside = event.starts_at <= start < event.ends_at
        share = common_s / length_s if length_s > 0 else float(inside)
        if (common_s > 0 or (length_s <= 0 and inside)) and (best is None or share > best[1]):
            best = event, min(share, 1.0)
    return best


def explains(share: float) -> bool:
    """Whether an event that covers this share of a window explains what was found in it."""
    return share >= _EXPLAINS


def silence(periods: Iterable[Period], finding: Finding, now: datetime) -> Period | None:
    """The silence that holds for ``finding`` at this moment, the one that ends last."""
    holding = [
        one
        for one in periods
        if one.kind == "silence"
        and one.state == "named"
        and one.starts_at <= now < one.ends_at
        and one.finding in ("", finding.kind)
        and one.feature in ("", finding.feature or "")
    ]
    return max(holding, key=lambda one: one.ends_at, default=None)


def addresses(project: Project, *, owner_alone: bool = False) -> list[str]:
    """The e-mail addresses of the owner and the team, each once."""
    people = (project.owner,) if owner_alone else (project.owner, *project.team)
    contacts = [one.contact.strip().removeprefix("mailto:") for one in people]
    return list(dict.fromkeys(one for one in contacts if "@" in one and "/" not in one))


def notices(
    project: Project,
    workspace: str,
    told: Sequence[tuple[str, Alert]],
    now: datetime,
    *,
    personal: frozenset[str],
    escalated: bool = False,
) -> Iterator[Notice]:
    """One notice per channel, and per person where it tells persons, of all alerts that go there.

    Args:
        told: pairs of a channel and an alert.
        personal: channels that tell persons.
    """
    by_channel: dict[str, list[str]] = {}
    for channel, alert in told:
        by_channel.setdefault(channel, []).append(alert.id)
    for channel, alerts in by_channel.items():
        people = addresses(project, owner_alone=escalated) or [""] if channel in personal else [""]
        for to in people:
            why = "escalated" if escalated else "raised"
            yield Notice(
                id=derived_id("notice", why, channel, to, *sorted(alerts)),
                workspace=workspace,
                subject=project.name,
                channel=channel,
                alerts=tuple(alerts),
                at=now,
                due_at=now,
                to=to,
                why="escalated" if escalated else "raised",
            )


def pause(tries: int) -> timedelta:
    """How long to wait after the ``tries``-th attempt: twice as long each time, an hour at most.

    >>> [int(pause(n).total_seconds()) for n in (1, 2, 3, 30)]
    [30, 60, 120, 3600]
    """
    return timedelta(seconds=min(_FIRST_PAUSE_S * 2 ** (min(tries, 20) - 1), _LONGEST_PAUSE_S))
