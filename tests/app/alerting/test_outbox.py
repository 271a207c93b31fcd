from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from headrace.access.key_ring import KeyRing
from headrace.app.alerting.outbox import deliver
from headrace.app.composition import App, open_app
from headrace.core.errors import InvalidInput, Unavailable
from headrace.monitoring.notices import MOST_TRIES
from headrace.plugins.tickets import GitHubChannel
from headrace.serving.callbacks import Callbacks
from headrace.testing import FakeClock, MemoryChannel, make_settings
from tests.app.alarm import ADA, alarm, home, mailing

pytest.importorskip("aiosmtpd", reason="needs aiosmtpd: pip install 'headrace[dev]'")
from tests.plugins.mailbox import Mailbox
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver


@pytest.fixture
def mail() -> MemoryChannel:
    return MemoryChannel(personal=True)


@pytest.fixture
def app(tmp_path: Path, mail: MemoryChannel) -> Iterator[App]:
    with home(tmp_path, {"email": mail}) as opened:
        yield opened


def wait(app: App, duration_s: float) -> None:
    app.clock.sleep(duration_s)


@pytest.mark.requirement("ALR-03")
def test_people_are_told_with_the_evidence_and_what_they_can_do(app: App, mail: MemoryChannel) -> None:
    alert = alarm(app, kind="performance", title="losses are 1.4 times those of the test rows", feature=None)
    assert deliver(app) == 2
    first, second = mail.had
    assert (first.to, second.to) == (ADA, "ben@example.org")
    assert first.title == "cars: losses are 1.4 times those of the test rows"
    assert first.severity == "critical"
    urls = [link.url for link in first.links]
    assert urls[0] == f"http://127.0.0.1:8000/projects/cars#finding-{alert.finding_id}"
    for act in ("retrain: headrace run", "headrace release rollback cars", f"alert ignore {alert.id}"):
        assert act in first.text
    assert deliver(app) == 0, "nobody is told twice"
    told = [e.detail for e in app.store.audit.list() if e.action == "alert.tell"]
    assert [(one["notice"], one["alerts"]) for one in told] == [(m.id, [alert.id]) for m in mail.had]


@pytest.mark.requirement("ALR-05")
def test_an_alert_opens_a_ticket_with_its_text_drafted(tmp_path: Path) -> None:
    tracker = Receiver()
    tracker.status = 201
    callbacks = Callbacks(KeyRing(tmp_path / "ring", "callbacks"), FakeClock(), hosts=None, private=True)
    channel = GitHubChannel(f"http://{tracker.host}/issues", "t0ken", callbacks)
    with home(tmp_path, {"tracker": channel}, channels=("tracker",)) as app:
        alert = alarm(app, title="'mileage' has shifted")
        assert deliver(app) == 1
    tracker.close()
    (ticket,) = documents(tracker)
    assert ticket["title"] == "cars: 'mileage' has shifted"
    for part in ("data_drift", "size 0.31", alert.id, f"#finding-{alert.finding_id}", "headrace run"):
        assert part in ticket["body"]


def test_what_is_not_taken_is_sent_again_later_and_later(app: App, mail: MemoryChannel) -> None:
    alarm(app)
    mail.failing = Unavailable("The mail server did not take it.")
    assert deliver(app) == 0
    first, second = app.store.notices.list(state="waiting")
    assert (first.tries, second.tries) == (1, 0), "a silent channel is asked once a turn"
    assert "did not take it" in first.error
    wait(app, 29)
    deliver(app)
    assert [one.tries for one in app.store.notices.list(state="waiting")] == [1, 1]
    wait(app, 61)
    mail.failing = None
    assert deliver(app) == 2
    assert {one.state for one in app.store.notices.list(subject="cars")} == {"sent"}


def test_a_channel_that_is_out_of_order_holds_up_no_other(tmp_path: Path, mail: MemoryChannel) -> None:
    ops = MemoryChannel()
    mail.failing = RuntimeError("a plug-in broke down")
    with home(tmp_path, {"email": mail, "ops": ops}, channels=("email", "ops")) as app:
        alarm(app)
        assert deliver(app) == 1
    assert len(ops.had) == 1


def test_what_nobody_takes_is_given_up_and_said(app: App, mail: MemoryChannel) -> None:
    alarm(app)
    mail.failing = Unavailable("The mail server did not take it.")
    for _ in range(3 * MOST_TRIES):
        deliver(app)
        wait(app, 1_900)
    failed = app.store.notices.list(state="failed")
    assert [one.tries for one in failed] == [MOST_TRIES] * 2
    said = [e.detail for e in app.store.audit.list() if e.action == "alert.untold"]
    assert [one["why"] for one in said] == ["The mail server did not take it."] * 2


def test_without_any_channel_nothing_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headrace.app.alerting.outbox")
    with home(tmp_path) as opened:
        app = replace(opened, channels={})
        alarm(app)
        deliver(app)
    assert caplog.records
    assert {one.levelno for one in caplog.records} == {logging.INFO}


@pytest.mark.parametrize("why", ["no address", "no such channel", "refused"])
def test_what_never_will_be_taken_is_given_up_at_once(
    tmp_path: Path, mail: MemoryChannel, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    mail.failing = InvalidInput("refused for good") if why == "refused" else None
    channels = {"email": mail} if why != "no such channel" else {"ops": mail}
    with home(tmp_path, channels) as app:
        if why == "no address":
            project = app.store.projects.get("cars")
            called = replace(project, owner=replace(project.owner, contact="tel:+49 30 1234567"), team=())
            app.store.projects.save(called, "/nowhere/cars")
        alarm(app)
        assert deliver(app) == 0
        failed = app.store.notices.list(state="failed")
    said = {"no address": "e-mail address", "no such channel": "HEADRACE_CHANNEL_EMAIL"}.get(why, "for good")
    assert failed
    assert all(said in one.error and one.tries == 1 for one in failed)
    assert all(said in one.getMessage() for one in caplog.records if "given up" in one.getMessage())
    assert "given up" in caplog.text


def test_of_several_servers_one_tells(app: App, mail: MemoryChannel) -> None:
    alarm(app)
    with ThreadPoolExecutor(4) as threads:
        sent = list(threads.map(lambda _: deliver(app), range(4)))
    assert sum(sent) == len(mail.had) == 2


@pytest.mark.requirement("ALR-01")
def test_a_killed_server_repeats_at_most_the_mail_it_was_sending(tmp_path: Path) -> None:
    with home(tmp_path) as app:
        alarm(app)
    mailbox = Mailbox()
    address = f"smtp://127.0.0.1:{mailbox.port}?from=headrace@example.org&tls=none"
    try:
        command = [sys.executable, "-m", "tests.app.alerting.killed_outbox", str(tmp_path), address]
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode == -9, killed.stderr
        assert len(mailbox.had) == 1, "taken, and not yet said"
        clock = FakeClock()
        clock.set(_due(tmp_path, clock))
        with open_app(mailing(tmp_path, address), clock) as again:
            assert deliver(again) == 2
            assert deliver(again) == 0
            assert {one.state for one in again.store.notices.list(subject="cars")} == {"sent"}
    finally:
        mailbox.close()
    told = [(to[0], str(mail["Message-ID"])) for to, mail in mailbox.had]
    assert len(told) == 3
    assert len(set(told)) == 2, "the repeated one is known by its id"
    assert {to for to, _ in told} == {ADA, "ben@example.org"}


def _due(folder: Path, clock: FakeClock) -> datetime:
    with open_app(make_settings(folder, user="ada"), clock) as app:
        return max(one.due_at for one in app.store.notices.list(state="waiting"))
