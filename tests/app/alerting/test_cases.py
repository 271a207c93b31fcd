from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.app.alerting import cases
from headrace.app.alerting.alerts import raise_on_findings
from headrace.app.alerting.outbox import deliver, escalate
from headrace.app.composition import App
from headrace.core.errors import Denied, IllegalTransition, NotFound
from headrace.core.identity import Principal
from headrace.testing import START, MemoryChannel, make_alert, make_release
from tests.app.alarm import ADA, RELEASE, alarm, declare, find, home


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with home(tmp_path, {"email": MemoryChannel(personal=True), "oncall": MemoryChannel()}) as opened:
        for name, role in (("ben", "developer"), ("vera", "viewer"), ("grace", "validator")):
            opened.identities.add(name, [role], actor="ada")
        yield opened


def person(app: App, name: str) -> Principal:
    return app.identities.resolve(name)


def entries(app: App, prefix: str = "alert.") -> list[tuple[str, str]]:
    return [(e.action, e.actor) for e in app.store.audit.list() if e.action.startswith(prefix)]


@pytest.mark.requirement("ALR-04")
def test_the_time_from_the_first_answer_that_can_be_wrong_until_somebody_is_told(app: App) -> None:
    alert = alarm(app)
    first = START + timedelta(hours=5)
    assert cases.one(app, app.me(), alert.id).delay_s is None, "nobody knows yet"
    app.clock.sleep(120)
    deliver(app)
    (shown,) = cases.shown(app, app.me(), "cars")
    assert shown.told_at == app.clock.now()
    assert shown.delay_s == (app.clock.now() - first).total_seconds()


def test_an_alert_is_acknowledged_and_ignored_with_its_trace(app: App) -> None:
    alert = alarm(app, kind="performance", feature=None)
    app.store.findings.save_alert(replace(alert, state="open", action="automatic"))
    ben = person(app, "ben")
    assert cases.answer(app, ben, alert.id[:8], "acknowledge").state == "acknowledged"
    assert cases.answer(app, ben, alert.id, "note", why="a sale").state == "acknowledged"
    ended = cases.answer(app, ben, alert.id, "ignore", why="the yearly sale")
    assert (ended.state, ended.pending, ended.alert.state) == ("ignored", False, "closed")
    assert ended.case is not None
    assert [note["step"] for note in ended.case.notes] == ["acknowledge", "note", "ignore"]
    assert entries(app)[-4:] == [
        ("alert.acknowledge", "ben"), ("alert.note", "ben"), ("alert.ignore", "ben"), ("alert.close", "ben"),
    ]  # fmt: skip
    with pytest.raises(IllegalTransition, match="is ignored"):
        cases.answer(app, ben, alert.id, "acknowledge")


def test_whoever_may_not_answer_changes_nothing(app: App) -> None:
    alert = alarm(app)
    app.identities.add("bot", ["operator"], actor="ada", kind="service", owner="ada", purpose="nightly")
    for name in ("vera", "bot"):
        with pytest.raises(Denied):
            cases.answer(app, person(app, name), alert.id, "acknowledge")
    assert cases.one(app, person(app, "vera"), alert.id).state == "open", "whoever reads the project sees it"
    with pytest.raises(NotFound, match="monitor alert ls"):
        cases.one(app, app.me(), "nothing-like-it")


def test_an_alert_from_before_there_were_cases_can_be_answered(app: App) -> None:
    finding = find(app)
    old = make_alert(project="cars", finding_id=finding.id)
    app.store.findings.save_alert(old)
    assert cases.one(app, app.me(), old.id).case is None
    assert cases.answer(app, app.me(), old.id, "ignore", why="long ago").state == "ignored"


@pytest.mark.requirement("GOV-10")
def test_a_bias_is_tracked_until_it_is_remedied_or_accepted_with_evidence(app: App) -> None:
    declare(app, close_within_s=86_400)
    release = app.store.releases.add(make_release(author="grace", project="cars"))
    alert = alarm(app, kind="fairness", feature="sex", release_id=release.id)
    shown = cases.one(app, app.me(), alert.id)
    assert (shown.state, shown.overdue, shown.severity) == ("open", False, "critical")
    app.clock.sleep(86_401)
    assert cases.one(app, app.me(), alert.id).overdue
    cases.lapse(app, "cars", answering=())
    assert cases.one(app, app.me(), alert.id).state == "open", "another release remedies nothing by itself"
    with pytest.raises(IllegalTransition, match="no event explains"):
        cases.answer(app, person(app, "ben"), alert.id, "ignore", why="a holiday")
    cases.answer(app, person(app, "ben"), alert.id, "acknowledge")
    accept = {"why": "few rows of one group", "evidence": "report 12"}
    with pytest.raises(Denied):
        cases.answer(app, person(app, "ben"), alert.id, "accept", **accept)
    with pytest.raises(Denied):
        cases.answer(app, person(app, "grace"), alert.id, "accept", **accept)
    app.identities.add("otto", ["validator"], actor="ada")
    ended = cases.answer(app, person(app, "otto"), alert.id, "accept", **accept)
    assert (ended.state, ended.overdue) == ("accepted", False)
    assert ended.case is not None
    assert ended.case.notes[-1]["evidence"] == "report 12"
    assert entries(app)[-1] == ("alert.accept", "otto")


def test_a_bias_that_was_remedied_says_by_what(app: App) -> None:
    alert = alarm(app, kind="fairness", feature="sex")
    ben = person(app, "ben")
    cases.answer(app, ben, alert.id, "acknowledge")
    ended = cases.answer(app, ben, alert.id, "remediate", why="weighted", evidence="release-2")
    assert ended.state == "remediated"


def test_what_a_release_that_is_gone_did_waits_for_nobody(app: App) -> None:
    alert = alarm(app)
    cases.lapse(app, "cars", answering={RELEASE})
    assert cases.one(app, app.me(), alert.id).state == "open"
    cases.lapse(app, "cars", answering={"release-2"})
    cases.lapse(app, "cars", answering={"release-2"})
    assert cases.one(app, app.me(), alert.id).state == "lapsed"


def test_what_nobody_acknowledges_is_told_to_others_once(app: App) -> None:
    declare(app, escalate_after_s=3_600, escalate_channels=("oncall", "email"))
    first, _ = find(app), find(app, feature="year")
    raise_on_findings(app, "cars")
    deliver(app)
    assert escalate(app) == 0
    app.clock.sleep(3_599)
    by_finding = {one.finding.id: one.alert.id for one in cases.shown(app, app.me(), "cars")}
    cases.answer(app, person(app, "ben"), by_finding[first.id], "acknowledge")
    app.clock.sleep(1)
    assert escalate(app) == 2
    assert escalate(app) == 0
    deliver(app)
    channel = app.channels["oncall"]
    assert isinstance(channel, MemoryChannel)
    (message,) = channel.had
    assert message.title.startswith("Not acknowledged yet: cars:")
    assert [one["feature"] for one in message.details] == ["year"], "the other one is looked into"
    mail = app.channels["email"]
    assert isinstance(mail, MemoryChannel)
    assert [one.to for one in mail.had if one.title.startswith("Not")] == [ADA], "the owner answers for it"
    assert [action for action, _ in entries(app) if action == "alert.escalate"] == ["alert.escalate"]
