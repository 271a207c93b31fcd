"""From answers and what was said of them to what changed with a release."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.labels.labelling import Judgement, judge
from headrace.app.labels.opinions import Said, say_of
from headrace.app.overviews.impact import impact
from headrace.checks.fairness import Share
from headrace.core.errors import Denied, NotFound
from headrace.core.ids import new_id
from headrace.core.project import PrivacySpec
from headrace.store.records import encode_failure, encode_prediction
from headrace.testing import START, FakeClock, make_failure, make_prediction, make_project, make_settings

NAME = "support"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        app.me()
        categories = {"feedback": {"categories": ["wrong", "incomplete"]}}
        declared = make_project(name=NAME, privacy=PrivacySpec(basis="not_personal"), llm=categories)
        app.store.projects.save(declared, str(app.settings.home))
        app.store.epoch.advance()
        yield app


def answered(app: App, release: str, minutes: list[float], user: str, arm: str = "live") -> list[str]:
    made = [
        make_prediction(
            id=new_id(START),
            project=NAME,
            release_id=release,
            arm=arm,
            n_rows=1,
            at=START + timedelta(minutes=minute),
            event_time=START + timedelta(minutes=minute),
            keys=[user],
            columns={"question": ["q"]},
            outputs={"predict": ["a"]},
        )
        for minute in minutes
    ]
    app.store.events.append(f"{NAME}/predictions", [encode_prediction(one) for one in made])
    return [one.id for one in made]


@pytest.mark.requirement("FBK-04")
def test_errors_sessions_sentiment_and_complaints_stand_beside_their_release(app: App) -> None:
    me = app.me()
    one, two, three, four = answered(app, "r-1", [0, 10, 39, 70], "uma")
    answered(app, "r-1", [5], "vic")
    answered(app, "r-2", [80], "uma")
    answered(app, "r-3", [1], "uma", arm="shadow")
    failed = [make_failure(id=new_id(START), project=NAME, release_id="r-1", arm=arm)
              for arm in ("live", "live", "live", "shadow")]  # fmt: skip
    app.store.events.append(f"{NAME}/failures", [encode_failure(each) for each in failed])
    say_of(app, me, NAME, one, Said(thumbs="down", comment="This is wrong and useless", by="u-1"))
    say_of(app, me, NAME, two, Said(thumbs="up", comment="Clear, thanks", rating=5, dwell_s=8.0))
    say_of(app, me, NAME, three, Said(complaint="It is rude", rating=1, retried=True))
    say_of(app, me, NAME, four, Said(thumbs="down", dwell_s=4.0, comment="nine euros"))
    assert isinstance(app.clock, FakeClock)
    app.clock.advance(1)
    say_of(app, me, NAME, four, Said(thumbs="none"))
    judge(app, me, NAME, one, Judgement(verdict="bad", categories=("wrong",), comment="awful"))
    found = impact(app, me, NAME)
    first, second = found.releases
    assert (first.release_id, first.n_answers, first.first) == ("r-1", 5, START)
    assert first.rates == {
        "poor": Share(hits=2, n=5),
        "thumbs_down": Share(hits=1, n=2),
        "complaints": Share(hits=1, n=5),
        "asked_again": Share(hits=1, n=5),
        "errors": Share(hits=3, n=8),
    }
    assert (first.rating, first.dwell_s) == (3.0, 6.0)
    assert first.comments == {"positive": 1, "neutral": 1, "negative": 2}, "those of users"
    assert first.categories == {"wrong": 1}
    assert (first.sessions, first.turns, first.lasted_s) == (3, 2.0, 600.0)
    assert (second.release_id, second.sessions, second.n_answers) == ("r-2", 0, 1), "r-1 began it"


@pytest.mark.requirement("FBK-05")
def test_each_change_says_what_was_said_before_it_and_how_far_the_rates_moved(app: App) -> None:
    me = app.me()
    before = answered(app, "r-1", [float(minute) for minute in range(40)], "uma")
    after = answered(app, "r-2", [float(minute) for minute in range(100, 140)], "uma")
    for answer in before[:30]:
        say_of(app, me, NAME, answer, Said(thumbs="down", by=answer))
    for answer in after[:2]:
        say_of(app, me, NAME, answer, Said(thumbs="down", by=answer))
    judge(app, me, NAME, before[0], Judgement(verdict="bad", categories=("incomplete",)))
    (change,) = impact(app, me, NAME).changes
    assert (change.before, change.after, change.categories) == ("r-1", "r-2", {"incomplete": 1})
    assert change.at == START + timedelta(minutes=100)
    moved = {one.rate: one for one in change.moved}
    assert moved["poor"].conclusion == "better"
    assert moved["poor"].difference == pytest.approx(-0.7)
    assert moved["complaints"].conclusion == "unsure"
    assert (moved["thumbs_down"].before.n, moved["thumbs_down"].after.n) == (30, 2)


def test_nothing_answered_nothing_said_and_nobody_else_reads_it(app: App) -> None:
    me = app.me()
    assert impact(app, me, NAME).releases == []
    answered(app, "r-1", [0], "uma")
    (one,) = impact(app, me, NAME).releases
    assert (one.rates["poor"], one.rating, set(one.comments.values())) == (Share(hits=0, n=1), None, {0})
    with pytest.raises(NotFound):
        impact(app, me, "trucks")
    with pytest.raises(Denied):
        impact(app, app.identities.add("vic", ["viewer"], actor=me.name), NAME)
