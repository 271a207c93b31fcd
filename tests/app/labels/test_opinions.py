"""What somebody says of an answer stands beside exactly that answer and its release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.app.business.kpis import around_answer
from headrace.app.composition import App, open_app
from headrace.app.labels.opinions import MOST_SENT, Said, offer, say_of, say_with_token
from headrace.app.workspace import workspace
from headrace.core.errors import Denied, InvalidInput, NotFound, Unauthenticated, Unavailable
from headrace.core.ids import new_id
from headrace.core.project import PrivacySpec
from headrace.store.records import encode_prediction
from headrace.testing import START, FakeClock, make_prediction, make_project, make_settings

ANSWER, OTHER = new_id(START), new_id(START)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        app.me()
        declare(app, PrivacySpec(basis="not_personal"))
        for made, release in ((ANSWER, "r-1"), (OTHER, "r-2")):
            answered = make_prediction(id=made, release_id=release, at=START, event_time=START)
            app.store.events.append("cars/predictions", [encode_prediction(answered)])
        yield app


def declare(app: App, privacy: PrivacySpec) -> None:
    app.store.projects.save(make_project(name="cars", privacy=privacy), str(app.settings.home))
    app.store.epoch.advance()


def told(app: App, answer: str = ANSWER) -> dict[str, Any]:
    (row, *_) = around_answer(app, app.me(), "cars", answer)
    return {one.name: one.value if one.text is None else one.text for one in row.feedback}


@pytest.mark.requirement("FBK-01")
def test_it_stands_beside_exactly_this_answer_and_its_release(app: App) -> None:
    said = Said(thumbs="down", rating=2, comment="too dear", correction="12,000", complaint="rude", by="u-7")
    kept = say_of(app, app.me(), "cars", ANSWER, said)
    assert (kept.subject, kept.release_id, len(set(kept.ids))) == (f"{ANSWER}:0", "r-1", 6)
    (row, *_) = around_answer(app, app.me(), "cars", ANSWER)
    assert row.release_id == "r-1"
    assert {(one.principal, one.by, one.kind) for one in row.feedback} == {(app.me().name, "u-7", "opinion")}
    assert told(app) == {
        "thumbs_up": 0.0,
        "thumbs_down": 1.0,
        "rating": 2.0,
        "comment": "too dear",
        "correction": "12,000",
        "complaint": "rude",
    }
    assert told(app, OTHER) == {}


@pytest.mark.requirement("FBK-01")
def test_said_again_it_counts_once_and_a_change_of_mind_replaces_it(app: App) -> None:
    def say(**said: Any) -> list[str]:
        return say_of(app, app.me(), "cars", ANSWER, Said(**said)).ids

    first = say(thumbs="down", by="u-7")
    assert say(thumbs="down", by="u-7") == first
    assert isinstance(app.clock, FakeClock)
    app.clock.advance(1)
    assert say(thumbs="up", by="u-7") == first
    assert told(app) == {"thumbs_up": 1.0, "thumbs_down": 0.0}
    app.clock.advance(1)
    say(thumbs="none", by="u-7")
    assert told(app) == {"thumbs_up": 0.0, "thumbs_down": 0.0}
    assert say(thumbs="up", by="u-8") != first, "somebody else has a mind of their own"
    assert say(comment="one", key="1") != say(comment="two", key="2")
    assert say(comment="one", key="1") == say(comment="three", key="1")


@pytest.mark.requirement("FBK-01")
def test_what_is_about_people_is_not_written_down(app: App) -> None:
    declare(app, PrivacySpec(basis="consent", purpose="answers"))
    mail = "bob@example.org"
    say_of(app, app.me(), "cars", ANSWER, Said(comment=f"write to {mail}", by=mail))
    written = b"".join(path.read_bytes() for path in app.settings.home.rglob("*") if path.is_file())
    assert mail.encode() not in written
    (row, *_) = around_answer(app, app.me(), "cars", ANSWER)
    assert mail not in (row.feedback[0].text or "")
    assert row.feedback[0].by not in (None, mail)


def test_what_cannot_be_is_refused_and_nothing_is_stored(app: App) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "Nothing is said"),
        ({"thumbs": "sideways"}, "thumbs is 'sideways'. Expected 'up', 'down'"),
        ({"rating": 6}, "rating is 6. Expected a whole number from 1"),
        ({"rating": True}, "rating is True"),
        ({"comment": " "}, "comment is ' '. Expected 1 to 10,000"),
        ({"correction": "x" * 10_001}, "correction is 'x{79}"),
        ({"dwell_s": -1.0}, "dwell_s is -1.0. Expected a number from 0 to 86,400"),
        ({"edit_distance": float("nan")}, "edit_distance is nan. Expected a number from 0 to 1"),
        ({"rating": 3, "by": ""}, "by is ''"),
        ({"rating": 3, "key": "k" * 301}, "key is 'k"),
    ]
    for said, message in bad:
        with pytest.raises(InvalidInput, match=message):
            say_of(app, app.me(), "cars", ANSWER, Said(**said))
    assert not list(app.store.events.segments("cars/feedback"))


def test_only_answers_that_were_given_can_be_spoken_of(app: App) -> None:
    for answer in (new_id(START), f"{ANSWER}:9", "x", ""):
        with pytest.raises(NotFound, match="no answer"):
            say_of(app, app.me(), "cars", answer, Said(rating=1))
    with pytest.raises(NotFound):
        say_of(app, app.me(), "trucks", ANSWER, Said(rating=1))
    viewer = app.identities.add("vic", ["viewer"], actor=app.me().name)
    for act in (lambda: say_of(app, viewer, "cars", ANSWER, Said(rating=1)),
                lambda: offer(app, viewer, "cars", ANSWER)):  # fmt: skip
        with pytest.raises(Denied):
            act()


@pytest.mark.requirement("FBK-02")
def test_a_token_brings_what_a_reader_does_to_its_answer_alone(app: App) -> None:
    offered = offer(app, app.me(), "cars", ANSWER)
    done = {"dwell_s": 12.5, "copied": True, "edit_distance": 0.25, "rephrased": True, "retried": True}
    body = json.dumps({"token": offered.token, **done, "abandoned": False}).encode()
    assert say_with_token(app, body).subject == offered.subject
    assert say_with_token(app, body).ids == say_with_token(app, body).ids
    assert told(app) == {**done, "abandoned": 0.0}
    assert told(app, OTHER) == {}
    for name in ("subject", "by", "key", "source", "project"):
        with pytest.raises(InvalidInput, match="unknown field"):
            say_with_token(app, json.dumps({"token": offered.token, "rating": 1, name: OTHER}).encode())
    for odd in (b"", b"[]", b"{}", b'{"token": 7}', b"[" * 50_000, b'{"token": "\xff"}'):
        with pytest.raises(InvalidInput, match="This is no feedback"):
            say_with_token(app, odd)


def test_a_token_is_worth_what_its_owner_may(app: App) -> None:
    shop = app.identities.add("till", ["operator"], actor=app.me().name)
    body = json.dumps({"token": offer(app, shop, "cars", ANSWER).token, "thumbs": "up"}).encode()
    say_with_token(app, body)
    app.identities.add("till", ["viewer"], actor=app.me().name)
    with pytest.raises(Denied):
        say_with_token(app, body)
    with pytest.raises(Unauthenticated):
        say_with_token(app, b'{"token": "a.b.c", "thumbs": "up"}')


def test_whoever_has_a_token_fills_no_disk(app: App) -> None:
    token = offer(app, app.me(), "cars", ANSWER).token
    body = json.dumps({"token": token, "thumbs": "up"}).encode()
    for wrong in ({"rating": 9}, {}):
        with pytest.raises(InvalidInput):
            say_with_token(app, json.dumps({"token": token, **wrong}).encode())
    for _ in range(MOST_SENT):
        say_with_token(app, body)
    with pytest.raises(Unavailable, match="no more is taken"):
        say_with_token(app, body)


def test_a_notebook_says_it_too(app: App) -> None:
    with workspace(app.settings) as here:
        assert here.say_of("cars", ANSWER, thumbs="up").release_id == "r-1"
    assert told(app) == {"thumbs_up": 1.0, "thumbs_down": 0.0}
