from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.app.alerting import cases
from headrace.app.alerting.outbox import deliver, escalate
from headrace.app.composition import App
from headrace.app.overviews import periods
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.project import Trigger
from headrace.testing import START, MemoryChannel
from tests.app.alarm import FOUND, WEEK, alarm, declare, home

DAY = timedelta(days=1)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with home(tmp_path, {"email": MemoryChannel(personal=True)}) as opened:
        opened.identities.add("vera", ["viewer"], actor="ada")
        yield opened


def told(app: App) -> int:
    deliver(app)
    channel = app.channels["email"]
    assert isinstance(channel, MemoryChannel)
    return len(channel.had)


@pytest.mark.requirement("MON-17")
def test_what_a_known_event_explains_is_said_so_and_not_sent(app: App) -> None:
    project = replace(app.store.projects.get("cars"), triggers=(Trigger(when="drift", do="automatic"),))
    app.store.projects.save(project, "/nowhere/cars")
    event = periods.add_event(app, app.me(), "cars", "summer sale", starts_at=START, ends_at=START + 4 * DAY)
    alert = alarm(app)
    assert told(app) == 0
    shown = cases.one(app, app.me(), alert.id)
    assert (shown.state, shown.event) == ("ignored", "summer sale")
    assert shown.event_share == pytest.approx(4 / 7)
    assert shown.case is not None
    assert shown.case.quiet == "its window falls in the known event 'summer sale'"
    assert (shown.alert.action, shown.alert.state) == ("automatic", "closed"), "and no retraining follows"
    assert [e.detail["title"] for e in app.store.audit.list() if e.action == "period.add"] == [event.title]


@pytest.mark.requirement("MON-17")
def test_an_event_that_covers_little_is_shown_and_the_alarm_goes_out(app: App) -> None:
    periods.add_event(app, app.me(), "cars", "a holiday", starts_at=START, ends_at=START + DAY)
    alert = alarm(app)
    assert told(app) == 2
    shown = cases.one(app, app.me(), alert.id)
    assert (shown.state, shown.event) == ("open", "a holiday")


def test_no_event_explains_a_bias(app: App) -> None:
    periods.add_event(app, app.me(), "cars", "summer sale", starts_at=START, ends_at=START + WEEK)
    alert = alarm(app, kind="fairness", feature="sex")
    assert told(app) == 2
    assert cases.one(app, app.me(), alert.id).state == "open"


def test_a_silence_keeps_alerts_listed_and_ends(app: App) -> None:
    declare(app, escalate_after_s=60, escalate_channels=("email",))
    until = FOUND + timedelta(hours=2)
    periods.silence(app, app.me(), "cars", until=until, why="we are moving", finding="data_drift")
    quiet = alarm(app, feature="year")
    assert told(app) == 0
    shown = cases.one(app, app.me(), quiet.id)
    assert shown.state == "open"
    assert shown.case is not None
    assert shown.case.quiet == "ada has silenced it until 2026-01-08 05:00 UTC"
    app.clock.sleep(61)
    assert escalate(app) == 0, "nor are others called"
    alarm(app, kind="performance", feature=None)
    assert told(app) == 2, "another kind"
    app.clock.sleep(7_200)
    alarm(app, feature="colour")
    assert told(app) == 4
    assert [one.kind for one in periods.periods(app, app.me(), "cars")] == []


def test_what_was_named_can_be_taken_back(app: App) -> None:
    made = periods.silence(app, app.me(), "cars", until=FOUND + DAY, why="we are moving")
    assert periods.withdraw(app, app.me(), "cars", made.id[:8]).state == "withdrawn"
    alarm(app)
    assert told(app) == 2
    with pytest.raises(NotFound, match="monitor event ls cars"):
        periods.withdraw(app, app.me(), "cars", made.id)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"until": FOUND}, "from now on"),
        ({"until": FOUND + 91 * DAY}, "within 90 days"),
        ({"why": " "}, "needs a reason"),
        ({"finding": "drift"}, "no kind of finding"),
    ],
)
def test_a_silence_has_an_end_and_a_reason(app: App, wrong: dict[str, Any], why: str) -> None:
    given: dict[str, Any] = {"until": FOUND + DAY, "why": "moving"} | wrong
    with pytest.raises(InvalidInput, match=why):
        periods.silence(app, app.me(), "cars", **given)


def test_an_event_ends_after_it_begins_and_a_viewer_names_none(app: App) -> None:
    with pytest.raises(InvalidInput, match="Expected a later end"):
        periods.add_event(app, app.me(), "cars", "sale", starts_at=START, ends_at=START)
    with pytest.raises(Denied):
        periods.add_event(
            app, app.identities.resolve("vera"), "cars", "sale", starts_at=START, ends_at=START + DAY
        )
