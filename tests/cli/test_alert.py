from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.app.alerting.outbox import deliver
from headrace.app.composition import open_app
from headrace.core.errors import Unavailable
from headrace.testing import MemoryChannel, make_project, make_settings
from tests.app.alarm import alarm, home
from tests.cli.conftest import Cli

ALERT, EVENT = ("monitor", "alert"), ("monitor", "event")


@pytest.fixture
def alarmed(cli: Cli) -> tuple[Cli, str, str]:
    """A shift that people were told of, and a bias that is not told yet."""
    mail = MemoryChannel(personal=True)
    with home(cli.home, {"email": mail}) as app:
        shift = alarm(app, feature="mileage", title="mileage\x1b[2K has shifted")
        deliver(app)
        app.clock.sleep(60)
        mail.failing = Unavailable("The mail server did not take it.")
        bias = alarm(app, kind="fairness", feature="sex", title="one group is refused more often")
        deliver(app)
    for name, role in (("ben", "developer"), ("grace", "auditor"), ("vera", "viewer")):
        assert cli("access", "user", "add", name, "--role", role).code == 0
    return cli, shift.id, bias.id


def test_alerts_are_listed_with_what_was_told_and_how_late(alarmed: tuple[Cli, str, str]) -> None:
    cli, shift, bias = alarmed
    listed = cli(*ALERT, "ls", "cars").out
    assert "\x1b" not in listed
    first, second, why = listed.splitlines()[1:]
    assert (
        why
        == "What waits to be told is sent by a server, and none runs: headrace up, or headrace monitor run."
    )
    assert (first.startswith(bias), second.startswith(shift)) == (True, True), "newest first"
    assert "2 waiting" in first
    assert "2 sent" in second
    assert second.endswith("6 d 22 h"), "from the first answer of the window until somebody was told"
    shown = cli(*ALERT, "show", bias).out
    assert "did not take it" in shown
    assert "Nobody has done anything about it yet." in shown
    assert [one["alert"]["id"] for one in cli(*ALERT, "ls", "--json").json] == [bias, shift]


def test_without_any_channel_it_is_said_that_an_alert_is_shown_only(cli: Cli) -> None:
    with home(cli.home) as app:
        shift = alarm(app, feature="mileage")
        deliver(replace(app, channels={}))
    listed = cli(*ALERT, "ls", "cars").out
    assert "shown here only: no channel is set up" in listed
    assert "failed" not in listed
    assert "No channel is set up here: alerts are shown, and told to nobody. Set HEADRACE_CHANNEL_EMAIL." in (
        " ".join(cli(*ALERT, "show", shift.id).out.split())
    )


def test_an_alert_is_answered_by_whoever_may(alarmed: tuple[Cli, str, str]) -> None:
    cli, shift, bias = alarmed
    assert "may not alert.answer" in cli(*ALERT, "ack", shift, "--as", "vera").error
    assert cli(*ALERT, "ack", shift[:8], "--as", "ben").out == f"{shift} is acknowledged.\n"
    assert cli(*ALERT, "note", shift, "--why", "asked sales", "--as", "ben").code == 0
    assert (
        cli(*ALERT, "ignore", shift, "--why", "a sale", "--as", "ben", "--json").json["case"]["state"]
        == "ignored"
    )
    assert "no event explains" in cli(*ALERT, "ignore", bias, "--why", "a sale").error
    assert cli(*ALERT, "ack", bias).code == 0
    because = ("--why", "weighted anew", "--evidence", "release 7")
    assert "may not waiver.decide" in cli(*ALERT, "accept", bias, *because, "--as", "ben").error
    assert cli(*ALERT, "remediate", bias, *because, "--as", "ben").out == f"{bias} is remediated.\n"
    assert cli(*ALERT, "ls").out == "No alert waits for anybody.\n"
    assert "remediated" in cli(*ALERT, "ls", "--all").out
    shown = cli(*ALERT, "show", bias).out
    assert "weighted anew" in shown
    assert "release 7" in shown


def test_silences_and_events_are_named_and_taken_back(alarmed: tuple[Cli, str, str]) -> None:
    cli, shift, _ = alarmed
    silence = cli(
        *ALERT, "silence", "cars", "--until", "12h", "--why", "moving", "--kind", "data_drift", "--json"
    )
    assert silence.json["finding"] == "data_drift"
    assert "in 90 days" in cli(*ALERT, "silence", "cars", "--until", "400d", "--why", "moving").error
    added = cli(*EVENT, "add", "cars", "summer sale", "--from", "2026-01-01", "--until", "2026-01-05")
    assert added.code == 0
    listed = cli(*EVENT, "ls", "cars").out
    assert "summer sale" in listed
    assert "moving" in listed
    assert "'summer sale' covers" in cli(*ALERT, "show", shift).out, "named afterwards, it is shown"
    ended = cli(*EVENT, "end", "cars", silence.json["id"])
    assert ended.out == "The silence 'moving' holds no more.\n"
    assert "moving" not in cli(*EVENT, "ls", "cars").out
    assert "may not alert.answer" in cli(*EVENT, "end", "cars", "anything", "--as", "vera").error


def test_a_round_needs_no_name_where_there_is_one_project(cli: Cli) -> None:
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.store.projects.save(make_project(), "/nowhere/cars")
    ended = cli("monitor", "watch")
    assert ended.code == 0, ended.error
    assert "rows read" in ended.out
