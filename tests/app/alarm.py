"""A home with a project that answers, in which something is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from headrace.app.alerting.alerts import raise_on_findings
from headrace.app.composition import App, open_app
from headrace.core.ids import new_id
from headrace.core.ports import Channel
from headrace.core.project import AlertSpec, Owner
from headrace.core.record import Alert, Finding
from headrace.core.settings import Settings
from headrace.monitoring.ingest import prediction_rows, predictions_table
from headrace.testing import (
    START,
    FakeClock,
    MemoryChannel,
    make_finding,
    make_prediction,
    make_project,
    make_settings,
)

ADA = "ada@example.org"
TEAM = (Owner(name="Ben", contact="ben@example.org"), Owner(name="Pager", contact="+49 30 1234567"))
WEEK = timedelta(days=7)
RELEASE = "release-1"
FOUND = START + WEEK + timedelta(hours=3)
"""When the tests' findings are made: the window was closed three hours ago."""


@contextmanager
def home(
    folder: Path, known: Mapping[str, Channel] | None = None, *, url: str | None = None, **alerts: Any
) -> Iterator[App]:
    """``cars`` has answered for a week; its owner and team are to be told."""
    clock = FakeClock()
    clock.set(FOUND)
    with open_app(make_settings(folder, user="ada", database_url=url), clock) as opened:
        opened.me()
        app = replace(opened, channels=dict(known or {"email": MemoryChannel(personal=True)}))
        declare(app, **alerts)
        first, last = timedelta(hours=5), WEEK + timedelta(minutes=1)
        answers = [
            make_prediction(release_id=RELEASE, at=START + after, event_time=START + after)
            for after in (first, timedelta(days=2), last)
        ]
        app.store.tables.append(predictions_table("cars"), prediction_rows(answers, frozenset()))
        yield app


def mailing(folder: Path, address: str) -> Settings:
    """Settings of the same home, with a channel by which mail is sent."""
    channels = {"email": address}
    return replace(make_settings(folder, user="ada"), channels=channels, channels_private=True)


def declare(app: App, **alerts: Any) -> None:
    """Declare the project's alerts."""
    owner = Owner(name="Ada", contact=f"mailto:{ADA}")
    project = make_project(owner=owner, team=TEAM, alerts=AlertSpec(**alerts))
    app.store.projects.save(project, "/nowhere/cars")


def find(app: App, **changes: Any) -> Finding:
    """Something that the first week shows."""
    given = {"id": new_id(app.clock.now()), "release_id": RELEASE, "at": app.clock.now()} | changes
    finding = make_finding(**given)
    app.store.findings.add(finding)
    return finding


def alarm(app: App, **changes: Any) -> Alert:
    """Something is found, and a round raises an alert on it."""
    finding = find(app, **changes)
    (alert,) = [one for one in raise_on_findings(app, "cars") if one.finding_id == finding.id]
    return alert
