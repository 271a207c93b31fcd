from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.app.alerting.alerts import raise_on_findings
from headrace.app.alerting.outbox import deliver
from headrace.app.composition import App
from headrace.core.alerts import Notice
from headrace.core.project import AlertRoute
from headrace.testing import START, MemoryChannel
from tests.app.alarm import ADA, FOUND, alarm, declare, find, home

BOTH = [ADA, "ben@example.org"]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with home(tmp_path) as opened:
        yield opened


def waiting(app: App) -> list[Notice]:
    return app.store.notices.list(subject="cars", state="waiting")


@pytest.mark.requirement("ALR-01")
def test_owner_and_team_are_told_once_of_what_one_round_finds(app: App) -> None:
    drifts = [find(app, feature=name) for name in ("mileage", "year", "colour")]
    raised = raise_on_findings(app, "cars")
    assert {alert.finding_id for alert in raised} == {finding.id for finding in drifts}
    assert [(one.channel, one.to) for one in waiting(app)] == [("email", to) for to in BOTH]
    assert [set(one.alerts) for one in waiting(app)] == [{alert.id for alert in raised}] * 2
    assert raise_on_findings(app, "cars") == []
    later = find(app, kind="performance", feature=None)
    raise_on_findings(app, "cars")
    assert len(waiting(app)) == 4
    assert [alert.finding_id for alert in app.store.findings.alerts("cars")][-1] == later.id


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_rounds_and_servers_at_the_same_moment_raise_and_tell_it_once(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgres" else None
    mail = MemoryChannel(personal=True)
    with home(tmp_path, {"email": mail}, url=url) as app, ThreadPoolExecutor(4) as threads:
        for name in ("mileage", "year", "colour"):
            find(app, feature=name)
        raised = list(threads.map(lambda _: raise_on_findings(app, "cars"), range(4)))
        assert sum(map(len, raised)) == 3
        assert [len(one.alerts) for one in waiting(app)] == [3, 3]
        assert [e.action for e in app.store.audit.list() if e.action == "alert.raise"] == ["alert.raise"] * 3
        assert sum(threads.map(lambda _: deliver(app), range(4))) == 2
    assert [one.to for one in sorted(mail.had, key=lambda one: one.to)] == BOTH


def test_when_the_first_answer_that_can_be_wrong_was_given_is_kept(app: App) -> None:
    alert = alarm(app)
    case = app.store.cases.get(alert.id)
    assert case.first_at == START + timedelta(hours=5)
    assert (case.state, case.quiet, case.at) == ("open", "", FOUND)


ROUTES = (
    AlertRoute(kind="data_drift", metric="mileage", above=0.5, channels=("ops",)),
    AlertRoute(metric="mae", channels=("oncall", "email")),
    AlertRoute(severity="info", channels=("ops",)),
    AlertRoute(kind="fairness", channels=()),
)


@pytest.mark.requirement("ALR-02")
@pytest.mark.parametrize(
    ("found", "channels", "quiet"),
    [
        ({"feature": "mileage", "size": 0.6}, ["ops"], ""),
        ({"feature": "mileage", "size": 0.4}, [], "its size 0.4 is below 0.5, the threshold to tell"),
        ({"feature": "year", "size": 0.1}, ["email"], ""),
        ({"kind": "performance", "feature": None}, ["oncall", "email"], ""),
        ({"kind": "metric", "feature": "mae"}, ["oncall", "email"], ""),
        ({"kind": "labels", "feature": None}, ["ops"], ""),
        ({"kind": "fairness", "feature": "sex"}, [], "headrace.yaml names no channel for it"),
    ],
)
def test_thresholds_and_channels_are_declared_per_metric(
    app: App, found: dict[str, Any], channels: list[str], quiet: str
) -> None:
    declare(app, routes=ROUTES)
    alert = alarm(app, **found)
    assert list(dict.fromkeys(one.channel for one in waiting(app))) == channels
    assert app.store.cases.get(alert.id).quiet == quiet
    entries = [e.detail for e in app.store.audit.list() if e.action == "alert.raise"]
    assert [detail.get("quiet", "") for detail in entries] == [quiet]


def test_what_only_informs_is_not_told_unless_a_route_says_so(app: App) -> None:
    alert = alarm(app, kind="schedule")
    assert waiting(app) == []
    assert app.store.cases.get(alert.id).quiet == "it only informs, and no route asks for it"


def test_a_channel_that_tells_persons_has_a_notice_each(tmp_path: Path) -> None:
    channels = {"mail2": MemoryChannel(personal=True), "ops": MemoryChannel()}
    with home(tmp_path, channels, channels=("mail2", "ops")) as app:
        alarm(app)
        assert [(one.channel, one.to) for one in waiting(app)] == [
            *[("mail2", to) for to in BOTH],
            ("ops", ""),
        ]
