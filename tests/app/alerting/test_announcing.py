"""People are told of drafts and conversations that wait for one of them, and not of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.app.alerting.announcing import announce
from headrace.app.alerting.outbox import deliver
from headrace.app.composition import App, open_app
from headrace.app.llm import handoffs
from headrace.app.overviews import periods
from headrace.core.errors import Unavailable
from headrace.core.ids import new_id
from headrace.core.project import AlertRoute, AlertSpec, Owner
from headrace.store.drafts import Draft
from headrace.store.handoffs import Handoff
from headrace.testing import FakeClock, MemoryChannel, make_project, make_settings

ADA, BEN, HOUR_S = "ada@example.org", "ben@example.org", 3_600.0


@pytest.fixture
def mail() -> MemoryChannel:
    return MemoryChannel(personal=True)


@pytest.fixture
def app(tmp_path: Path, mail: MemoryChannel) -> Iterator[App]:
    with open_app(make_settings(tmp_path, user="ada"), FakeClock()) as opened:
        opened.me()
        found = replace(opened, channels={"email": mail})
        declare(found)
        yield found


def declare(app: App, **alerts: Any) -> None:
    people = {"owner": Owner(name="Ada", contact=ADA), "team": (Owner(name="Ben", contact=BEN),)}
    project = make_project(name="support", task="text_generation", alerts=AlertSpec(**alerts), **people)
    app.store.projects.save(project, "")


def draft(app: App) -> Draft:
    now = app.clock.now()
    made = Draft(
        id=new_id(now), workspace="main", subject="support", release_id="r1", trace_id="t1", principal="uma",
        at=now, asked="what bob asked", said="what was said",
    )  # fmt: skip
    return app.store.drafts.add(made)


def handoff(app: App) -> Handoff:
    now = app.clock.now()
    made = Handoff(
        id=new_id(now), workspace="main", subject="support", answer="a1", release_id="r1", trace_id=None,
        asked_by="uma", at=now, why="what bob wants",
    )  # fmt: skip
    return app.store.handoffs.add(made)


def told(app: App, mail: MemoryChannel) -> list[tuple[str, str]]:
    """To whom what was sent since the last time."""
    before = len(mail.had)
    announce(app)
    deliver(app)
    return [(one.to, one.title) for one in mail.had[before:]]


def wait(app: App, duration_s: float) -> None:
    app.clock.sleep(duration_s)


@pytest.mark.requirement("FBK-06")
def test_the_first_is_told_at_once_and_a_flood_once_an_hour(app: App, mail: MemoryChannel) -> None:
    assert told(app, mail) == [], "nothing waits"
    draft(app)
    one = "support: 1 draft waits for a person"
    assert told(app, mail) == [(ADA, one), (BEN, one)]
    for _ in range(40):
        draft(app)
        wait(app, 60)
        assert told(app, mail) == []
    wait(app, 20 * 60)
    some = "support: 41 drafts wait for a person"
    assert told(app, mail) == [(ADA, some), (BEN, some)]
    wait(app, 3 * HOUR_S)
    assert told(app, mail) == [], "of what people were told before they are not told again"
    wait(app, 31 * 24 * HOUR_S)
    assert told(app, mail) == [(ADA, some), (BEN, some)], "after a month they are"
    handoff(app)
    assert [title for _, title in told(app, mail)] == ["support: 1 conversation waits for a person"] * 2


@pytest.mark.requirement("FBK-06")
def test_people_are_told_of_a_conversation_that_somebody_has_put_back(app: App, mail: MemoryChannel) -> None:
    rita = app.identities.add("rita", ["validator"], actor="ada")
    one, made = "support: 1 conversation waits for a person", handoff(app)
    assert told(app, mail) == [(ADA, one), (BEN, one)]
    handoffs.take(app, rita, made.id)
    handoffs.put_back(app, rita, made.id)
    assert told(app, mail) == [], "once an hour at most"
    wait(app, HOUR_S)
    assert told(app, mail) == [(ADA, one), (BEN, one)]
    handoffs.take(app, rita, made.id)
    wait(app, 2 * HOUR_S)
    handoffs.put_back(app, rita, made.id, to="ada", note="not ours")
    assert told(app, mail) == [(ADA, one), (BEN, one)]
    wait(app, 2 * HOUR_S)
    assert told(app, mail) == [], "of what people were told before they are not told again"


def test_a_message_says_where_to_decide_and_nothing_of_what_anybody_wrote(
    app: App, mail: MemoryChannel
) -> None:
    draft(app)
    handoff(app)
    told(app, mail)
    assert len({one.id for one in mail.had}) == len(mail.had) == 4
    for message in mail.had:
        kind = message.details[0]["kind"]
        page = f"http://127.0.0.1:8000/projects/support/{kind}s"
        assert [link.url for link in message.links] == [page]
        assert page in message.text
        assert f"headrace feedback {kind}s support" in message.text
        assert "bob" not in repr(message)


def test_routes_and_silences_hold_as_for_alerts(app: App, mail: MemoryChannel) -> None:
    desk = MemoryChannel()
    app = replace(app, channels={"email": mail, "desk": desk})
    declare(
        app,
        routes=(
            AlertRoute(kind="handoff", channels=("desk", "absent")),
            AlertRoute(kind="draft", above=2.0, channels=("email",)),
        ),
    )
    handoff(app)
    draft(app)
    assert told(app, mail) == [], "one draft is below the threshold"
    assert [one.title for one in desk.had] == ["support: 1 conversation waits for a person"]
    draft(app)
    until = app.clock.now() + timedelta(hours=2)
    silence = periods.silence(app, app.me(), "support", until=until, why="everybody is here", finding="draft")
    assert told(app, mail) == []
    wait(app, 2 * HOUR_S + 1)
    assert silence.ends_at < app.clock.now()
    assert len(told(app, mail)) == 2


def test_what_was_not_taken_is_one_message_when_it_is(app: App, mail: MemoryChannel) -> None:
    draft(app)
    mail.failing = Unavailable("The mail server did not take it.")
    for _ in range(5):
        assert told(app, mail) == []
        draft(app)
        wait(app, HOUR_S)
    mail.failing = None
    assert [title for _, title in told(app, mail)] == ["support: 6 drafts wait for a person"] * 2


def test_what_nobody_waits_for_any_more_is_not_told(app: App, mail: MemoryChannel) -> None:
    kept = draft(app)
    assert announce(app) == 2
    app.store.drafts.change(replace(kept, state="approved", revision=1))
    assert deliver(app) == 0
    assert mail.had == []
    assert {(one.state, one.error) for one in app.store.notices.list()} == {("lapsed", "")}
    assert not [one for one in app.store.audit.list() if one.action == "alert.untold"], "nobody missed it"
    draft(app)
    wait(app, HOUR_S)
    assert len(told(app, mail)) == 2, "the next one is"


def test_where_nobody_can_be_told_nothing_is_written(app: App) -> None:
    draft(app)
    assert announce(replace(app, channels={})) == 0
    assert announce(replace(app, channels={"ops": MemoryChannel()})) == 0
    assert app.store.notices.list() == []
    assert announce(app) == 2, "as soon as somebody can"
