"""Tells people of drafts and conversations that wait for one of them: in time, and not of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headrace.app.alerting.alerts import personal
from headrace.app.composition import App
from headrace.checks.tasks import GENERATIVE
from headrace.core.alerts import Notice
from headrace.core.identity import Expiring
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.record import Finding
from headrace.monitoring.notices import addresses, silence, telling
from headrace.monitoring.wording import in_words
from headrace.store.backlog import Backlog, WaitingKind

EVERY = timedelta(hours=1)
"""So often at most people are told of one kind in one project, however many come."""
_KIND, _REMEMBERED = "told", timedelta(days=30)


@dataclass(frozen=True)
class _Told:
    """That people were told, when, and of all up to which."""

    at: datetime
    last: int


def announce(app: App) -> int:
    """Write whom it is told to that something waits of which nobody was told; returns how many notices.

    The first is told at once, those of the hour after it together.
    """
    if not app.channels:
        return 0
    declared = {one.name for one in app.store.projects.list() if one.task in GENERATIVE}
    return sum(_announced(app, one) for one in app.store.backlog.waiting(declared))


def tell_again(app: App, project: str, kind: WaitingKind) -> None:
    """Something of which people were told waits anew: they are told of it as of one that has just come."""

    def untold(standing: Expiring | None) -> Expiring | None:
        if standing is None:
            return None
        return replace(standing, value=json.dumps(json.loads(standing.value) | {"last": 0}))

    app.store.expiring.change(_KIND, f"{project}/{kind}", untold)


def _announced(app: App, waiting: Backlog) -> int:
    now, key = app.clock.now(), f"{waiting.subject}/{waiting.kind}"
    if not _is_due(app.store.expiring.find(_KIND, key), waiting, now):
        return 0
    project = app.access.charters.in_force(waiting.subject)
    finding = _as_finding(waiting, now)
    if silence(app.store.periods.list(subject=project.name, state="named"), finding, now) is not None:
        return 0
    made = list(_notices(app, project, waiting, finding))
    if not made:
        return 0
    claimed: list[Expiring] = []

    def claim(standing: Expiring | None) -> Expiring | None:
        if not _is_due(standing, waiting, now):
            return standing
        value = json.dumps({"at": now.isoformat(), "last": waiting.last})
        claimed.append(
            Expiring(kind=_KIND, key=key, value=value, ends_at=now + _REMEMBERED, subject=project.name)
        )
        return claimed[-1]

    with app.store.transaction():
        app.store.expiring.change(_KIND, key, claim)
        for notice in made if claimed else ():
            app.store.notices.add(notice)
    return len(made) if claimed else 0


def _is_due(standing: Expiring | None, waiting: Backlog, now: datetime) -> bool:
    if standing is None:
        return True
    said = json.loads(standing.value)
    told = _Told(at=datetime.fromisoformat(said["at"]), last=said["last"])
    return waiting.last > told.last and now - told.at >= EVERY


def _as_finding(waiting: Backlog, now: datetime) -> Finding:
    """As what is found is told and silenced; it is kept nowhere."""
    return Finding(
        id="",
        project=waiting.subject,
        kind=waiting.kind,
        release_id="",
        title=in_words(waiting),
        window=(waiting.since or now, now),
        evidence={},
        size=float(waiting.n),
        at=now,
    )


def _notices(app: App, project: Project, waiting: Backlog, finding: Finding) -> Iterator[Notice]:
    """One per channel that is set here, and per person where it tells persons; none beside one that has not
    been taken yet, which says how much waits when it is."""
    workspace = app.store.projects.workspace(project.name)
    under_way = {
        (one.channel, one.to)
        for one in app.store.notices.list(subject=project.name, state="waiting")
        if one.why == waiting.kind
    }
    for channel in telling(project, finding).channels:
        if channel not in app.channels:
            continue
        people = addresses(project) if channel in personal(app) else [""]
        for to in (one for one in people if (channel, one) not in under_way):
            yield Notice(
                id=derived_id("notice", waiting.kind, project.name, channel, to, finding.at.isoformat()),
                workspace=workspace,
                subject=project.name,
                channel=channel,
                alerts=(),
                at=finding.at,
                due_at=finding.at,
                to=to,
                why=waiting.kind,
            )
