"""Downtime and failures of a served model, from what its servers and rounds of watching leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.app.alerting.alerts import raise_on_findings
from headrace.app.composition import App, open_app
from headrace.app.overviews.fleet import overview
from headrace.app.overviews.periods import add_event, add_maintenance, periods, withdraw
from headrace.app.overviews.service_levels import gone, standings, watch_availability
from headrace.core.errors import Denied, InvalidInput
from headrace.core.ports import Uptime
from headrace.core.project import ServiceLevel, ServingSpec
from headrace.testing import FakeClock
from headrace.testing.clock import START
from headrace.testing.factories import (
    make_manifest,
    make_project,
    make_release,
    make_rollout,
    make_route,
    make_settings,
)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app(tmp_path: Path, clock: FakeClock) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home"), clock=clock) as found:
        level = ServiceLevel(p99_ms=50, requests_per_s=10, availability=0.999)
        found.store.projects.save(make_project(serving=ServingSpec(level=level)), "/nowhere")
        release = found.store.releases.add(make_release(manifest=make_manifest(project="cars"), state="live"))
        rollout = make_rollout(release_id=release.id, state="pending", step_started_at=START)
        found.store.rollouts.save(rollout, make_route(live=release.id, revision=0))
        promoted = make_rollout(release_id=release.id, state="promoted", revision=1, step_started_at=START)
        found.store.rollouts.save(promoted)
        yield found


def serve(app: App, clock: FakeClock, server: str, minutes: int) -> None:
    """A server that beats each minute, and is killed."""
    app.store.executors.register(server, "server", f"http://{server}")
    for _ in range(minutes):
        clock.advance(60)
        app.store.executors.heartbeat(server)


def look(app: App) -> list[str]:
    """One round, as the workflow keeps it; returns the kinds of what was found."""
    found = watch_availability(app, "cars")
    for finding in found.findings:
        app.store.findings.add(finding)
    app.store.evidence.measure(found.measurements)
    raise_on_findings(app, "cars")
    return [finding.kind for finding in found.findings]


@pytest.mark.requirement("MON-36")
def test_the_time_between_a_server_that_was_killed_and_the_next_is_downtime(
    app: App, clock: FakeClock
) -> None:
    me = app.me()
    assert standings(app, me) == []
    serve(app, clock, "first", 90)
    clock.advance(50 * 60)
    serve(app, clock, "second", 100)
    assert look(app) == ["service_level"], "50 minutes are more than 0.1 % of 30 days"
    (found,) = standings(app, me, "cars")
    assert (found.down_s, found.observed_s) == (50 * 60, 2 * 3600)  # the first full hour on is observed
    assert found.left == pytest.approx(1 - 3000 / 2592)
    (case,) = app.store.cases.list(subject="cars")
    assert (case.kind, case.state) == ("service_level", "open")
    (shown,) = overview(app, me).projects
    assert (shown.state, shown.reasons[0].why) == ("act", "alert")
    assert shown.service == found
    assert look(app) == []


@pytest.mark.requirement("MON-36")
def test_a_known_event_in_the_world_does_not_explain_downtime_away(app: App, clock: FakeClock) -> None:
    add_event(app, app.me(), "cars", "a fair", starts_at=START - HOUR, ends_at=START + 99 * HOUR)
    serve(app, clock, "first", 90)
    clock.advance(50 * 60)
    serve(app, clock, "second", 100)
    assert look(app) == ["service_level"]
    (case,) = app.store.cases.list(subject="cars")
    assert case.state == "open"


@pytest.mark.requirement("MON-36")
def test_announced_maintenance_uses_nothing_of_the_budget(app: App, clock: FakeClock) -> None:
    me, start = app.me(), START + 90 * MINUTE
    window = add_maintenance(app, me, "cars", "new disks", starts_at=start, ends_at=start + HOUR)
    serve(app, clock, "first", 90)
    clock.advance(50 * 60)
    serve(app, clock, "second", 100)
    assert look(app) == []
    (found,) = standings(app, me)
    assert (found.down_s, found.observed_s, found.left) == (0, 3600, 1.0)
    assert periods(app, me, "cars") == [], f"{window.title} is over"
    entry = app.store.audit.search("period.add")[0]
    assert entry.detail["kind"] == "maintenance"


def test_maintenance_is_announced_before_it_begins_and_can_be_taken_back(app: App) -> None:
    me, now = app.me(), app.clock.now()
    for start, end in ((now - MINUTE, now + HOUR), (now + HOUR, now), (now, now + 8 * 24 * HOUR)):
        with pytest.raises(InvalidInput, match="still to come"):
            add_maintenance(app, me, "cars", "new disks", starts_at=start, ends_at=end)
    window = add_maintenance(app, me, "cars", "new disks", starts_at=now + HOUR, ends_at=now + 2 * HOUR)
    withdraw(app, me, "cars", window.id)
    assert periods(app, me, "cars") == []


def test_only_who_may_see_a_project_sees_how_it_was_there(app: App, clock: FakeClock) -> None:
    serve(app, clock, "first", 130)
    look(app)
    assert len(standings(app, app.me())) == 1
    nobody = CedarPolicy(
        'permit (principal, action == Action::"project.read", resource == Project::"boats");'
    )
    me, few = app.me(), open_access(app.store, app.settings.home / "keys", clock, nobody)
    restricted = replace(app, access=few)
    assert standings(restricted, me) == []
    with pytest.raises(Denied):
        standings(restricted, me, "cars")


def test_a_server_is_lost_until_another_has_come_in_its_place() -> None:
    def there(name: str, start: int, end: int, *, ended: bool = False) -> Uptime:
        return Uptime(name, f"http://{name}", START + start * MINUTE, START + end * MINUTE, ended)

    def lost(*heard: Uptime, now: datetime = START + 60 * MINUTE) -> list[str]:
        return [one.executor_id for one in gone(heard, now)]

    assert lost(there("a", 0, 60), there("b", 0, 30)) == ["b"]
    assert lost(there("a", 0, 60), there("b", 0, 30, ended=True)) == []
    assert lost(there("a", 0, 60), there("b", 0, 30), there("c", 31, 60)) == []
    assert lost(there("a", 0, 20), there("b", 0, 30), there("c", 31, 60)) == ["b"]
    assert lost(there("a", 0, 20), there("a", 50, 60)) == [], "it was away, and came back"
