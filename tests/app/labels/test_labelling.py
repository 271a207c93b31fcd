"""What people should judge, and what they say: from the traffic of a project to their agreement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from headrace.app.composition import App, open_app
from headrace.app.labels.feedback import Event, record_feedback
from headrace.app.labels.labelling import Judgement, agreement, categories_of, judge, labels, queue
from headrace.app.labels.opinions import Said, say_of
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.project import Column, DataSpec, PrivacySpec
from headrace.store.records import encode_prediction
from headrace.testing import START, FakeClock, make_prediction, make_project, make_settings, make_snapshot

NAME = "support"
QUIET_SHARES = {"low": 0.0, "medium": 0.0, "high": 0.0}
QUIET = {"feedback": {"sample": QUIET_SHARES, "twice": 0.0}}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        app.me()
        declare(app, QUIET)
        yield app


def declare(app: App, llm: dict[str, Any], risk: Any = "medium") -> None:
    declared = replace(
        make_project(name=NAME, task="text_generation", risk=risk),
        data=DataSpec(source="q.csv", target="expected", columns=(Column(name="question", role="text"),)),
        privacy=PrivacySpec(basis="not_personal"),
        llm=llm,
    )
    app.store.projects.save(declared, str(app.settings.home))
    app.store.epoch.advance()


def answered(app: App, n: int = 1) -> list[str]:
    made = [
        make_prediction(
            id=new_id(START),
            project=NAME,
            n_rows=1,
            release_id="r-1",
            at=START + timedelta(seconds=number),
            event_time=START + timedelta(seconds=number),
            columns={"question": [f"question {number}"]},
            outputs={"predict": [f"answer {number}"]},
        )
        for number in range(n)
    ]
    app.store.events.append(f"{NAME}/predictions", [encode_prediction(one) for one in made])
    return [one.id for one in made]


def test_answers_of_a_table_are_good_or_bad_and_read_as_people_write_numbers(app: App) -> None:
    declared = replace(
        make_project(name=NAME), llm={"feedback": {"sample": dict.fromkeys(QUIET_SHARES, 1.0)}}
    )
    app.store.projects.save(declared, str(app.settings.home))
    asked: dict[str, Any] = {"mileage": [15735.0], "model": ["a4"]}
    made = make_prediction(
        id=new_id(START), project=NAME, n_rows=1, columns=asked, outputs={"predict": [32.98709487915039]}
    )
    app.store.events.append(f"{NAME}/predictions", [encode_prediction(made)])
    (one,) = queue(app, app.me(), NAME)
    assert (one.question, one.answer) == ("mileage: 15735, model: a4", "32.98709")
    assert categories_of(declared) == ()
    assert categories_of(replace(declared, llm={"feedback": {"categories": ["odd"]}})) == ("odd",)
    with pytest.raises(InvalidInput, match="no category 'wrong': the project has none. Leave it out"):
        judge(app, app.me(), NAME, made.id, Judgement(verdict="bad", categories=("wrong",)))
    judge(app, app.me(), NAME, made.id, Judgement(verdict="bad", correction="31"))
    assert [one.correction for one in labels(app, app.me(), NAME)] == ["31"]


def people(app: App) -> tuple[Principal, Principal]:
    me = app.me()
    return me, app.identities.add("bea", ["developer"], actor=me.name)


def why(app: App) -> dict[str, tuple[str, ...]]:
    return {one.question: one.reasons for one in queue(app, app.me(), NAME)}


@pytest.mark.requirement("FBK-03")
def test_poor_answers_wait_by_what_is_said_and_done_and_others_do_not(app: App) -> None:
    made = answered(app, 9)
    said: list[dict[str, Any]] = [
        {"thumbs": "down"},
        {"rating": 2},
        {"rating": 3, "dwell_s": 4.0, "copied": True},
        {"complaint": "rude", "thumbs": "down"},
        {"correction": "fourteen days"},
        {"retried": True, "edit_distance": 0.6},
        {"abandoned": True},
        {"thumbs": "up", "edit_distance": 0.9},
    ]
    for answer, one in zip(made, said, strict=False):
        say_of(app, app.me(), NAME, answer, Said(**one))
    assert why(app) == {
        "question 0": ("thumbs down",),
        "question 1": ("rated 2 of 5",),
        "question 3": ("thumbs down", "a complaint"),
        "question 4": ("corrected by a user",),
        "question 5": ("60% of it changed before use", "asked again"),
    }
    assert [one.question[-1] for one in queue(app, app.me(), NAME)] == list("43105"), "said before done"
    assert isinstance(app.clock, FakeClock)
    app.clock.advance(1)
    say_of(app, app.me(), NAME, made[0], Said(thumbs="none"))
    assert "question 0" not in why(app), "it was taken back"
    declare(app, {"feedback": {**QUIET["feedback"], "rating_at_most": 3, "implicit": 1, "edited_from": 0.95}})
    assert {"question 2", "question 5", "question 6"} < set(why(app))


def test_of_a_row_of_a_table_every_input_that_is_known_is_shown_with_its_name(app: App) -> None:
    declared = replace(
        make_project(name=NAME, task="classification"),
        data=DataSpec(
            source="q.csv",
            target="left?",
            columns=(
                Column(name="price €", role="numeric"),
                Column(name="class of '24", role="categorical"),
                Column(name="told", role="categorical"),
            ),
        ),
        privacy=PrivacySpec(basis="not_personal"),
        llm={"feedback": {"sample": {"low": 1.0, "medium": 1.0, "high": 1.0}, "twice": 0.0}},
    )
    app.store.projects.save(declared, str(app.settings.home))
    app.store.snapshots.add(
        make_snapshot(project=NAME, table=f"{NAME}/snapshots", columns={"told": "boolean"})
    )
    made = make_prediction(
        project=NAME,
        n_rows=2,
        columns={"class of '24": ["gold", None], "price €": [9.5, 12.0], "told": [True, False]},
        outputs={"predict": ["yes", "no"]},
    )
    app.store.events.append(f"{NAME}/predictions", [encode_prediction(made)])
    asked = {one.subject: one.question for one in queue(app, app.me(), NAME)}
    assert asked == {
        f"{made.id}:0": "price €: 9.5, class of '24: gold, told: yes",
        f"{made.id}:1": "price €: 12, told: no",
    }


@pytest.mark.requirement("EVA-03")
@pytest.mark.parametrize(("risk", "share"), [("low", 0.05), ("high", 0.3)])
def test_a_sample_by_risk_waits_and_is_the_same_everywhere(app: App, risk: str, share: float) -> None:
    declare(app, {"feedback": {"sample": {"low": 0.05, "medium": 0.1, "high": 0.3}, "twice": 0.0}}, risk)
    made = answered(app, 2_000)
    found = {one.subject for one in queue(app, app.me(), NAME, most=2_000)}
    expected = {
        f"{one}:0"
        for one in made
        if sha256(f"sample:{one}:0".encode()).hexdigest()[:12] < f"{int(share * 16**12):012x}"
    }
    assert found == expected
    assert abs(len(found) / 2_000 - share) < 4 * (share * (1 - share) / 2_000) ** 0.5


def test_everything_and_nothing_can_be_the_sample(app: App) -> None:
    answered(app, 20)
    assert queue(app, app.me(), NAME) == []
    declare(app, {"feedback": {"sample": {"medium": 1.0}}})
    assert len(queue(app, app.me(), NAME)) == 20


@pytest.mark.requirement("EVA-03")
def test_what_is_judged_waits_no_more_and_says_who_has(app: App) -> None:
    ann, bea = people(app)
    first, second = answered(app, 2)
    for answer in (first, second):
        say_of(app, ann, NAME, answer, Said(thumbs="down"))
    said = Judgement(verdict="bad", categories=("wrong", "tone"), correction="14 days", comment="old law")
    kept = judge(app, ann, NAME, first, said)
    assert (kept.subject, kept.release_id) == (f"{first}:0", "r-1")
    assert judge(app, ann, NAME, first, said).ids == kept.ids
    assert [one.subject for one in queue(app, bea, NAME)] == [f"{second}:0"]
    (again,) = (one for one in queue(app, bea, NAME, everything=True) if one.people)
    assert (again.subject, again.people) == (f"{first}:0", (ann.name,))
    (label,) = labels(app, bea, NAME)
    assert (label.by, label.verdict, label.categories) == (ann.name, "bad", ("wrong", "tone"))
    assert (label.correction, label.comment, label.release_id) == ("14 days", "old law", "r-1")
    assert isinstance(app.clock, FakeClock)
    app.clock.advance(1)
    judge(app, ann, NAME, first, Judgement(verdict="good"))
    (label,) = labels(app, bea, NAME)
    assert (label.verdict, label.categories, label.correction) == ("good", (), None)


def test_a_share_of_all_is_judged_by_two(app: App) -> None:
    ann, bea = people(app)
    declare(app, {"feedback": {"sample": {"medium": 1.0}, "twice": 1.0}})
    (answer,) = answered(app)
    judge(app, ann, NAME, answer, Judgement(verdict="good"))
    assert queue(app, ann, NAME) == []
    assert len(queue(app, bea, NAME)) == 1
    judge(app, bea, NAME, answer, Judgement(verdict="bad"))
    assert queue(app, bea, NAME) == []


@pytest.mark.requirement("EVA-03")
def test_agreement_is_beyond_chance(app: App) -> None:
    from sklearn.metrics import cohen_kappa_score

    ann, bea = people(app)
    assert agreement(app, ann, NAME) == []
    verdicts: dict[str, list[Any]] = {
        ann.name: ["good", "bad", "bad", "good", "good", "bad"],
        bea.name: ["good", "bad", "good", "good", "bad", "bad"],
    }
    made = answered(app, 7)
    for one in (ann, bea):
        for answer, verdict in zip(made, verdicts[one.name], strict=False):
            judge(app, one, NAME, answer, Judgement(verdict=verdict))
    judge(app, ann, NAME, made[6], Judgement(verdict="bad"))
    (between,) = agreement(app, ann, NAME)
    assert {between.one, between.other} == {ann.name, bea.name}
    assert between.agreement.n == 6
    assert between.agreement.kappa == pytest.approx(cohen_kappa_score(*verdicts.values()))


def test_who_may_judge_and_what_cannot_be_said(app: App) -> None:
    ann, _ = people(app)
    (answer,) = answered(app)
    viewer = app.identities.add("vic", ["viewer"], actor=ann.name)
    robot = app.identities.add(
        "bot", ["developer"], kind="service", owner=ann.name, purpose="counts", actor=ann.name
    )
    for one in (viewer, robot):
        with pytest.raises(Denied):
            judge(app, one, NAME, answer, Judgement(verdict="good"))
    with pytest.raises(Denied):
        queue(app, viewer, NAME)
    with pytest.raises(NotFound):
        judge(app, ann, NAME, new_id(START), Judgement(verdict="good"))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"verdict": "fine"}, "Expected 'good' or 'bad'"),
        ({"verdict": "bad", "categories": ("odd",)}, "There is no category 'odd'. Expected some of wrong"),
        ({"verdict": "good", "categories": ("wrong",)}, "A good answer has no fault"),
        ({"verdict": "bad", "correction": " "}, "The correction has 1 characters"),
    ]
    for said, message in bad:
        with pytest.raises(InvalidInput, match=message):
            judge(app, ann, NAME, answer, Judgement(**said))
    forged = Event(kind="opinion", subject=f"{answer}:0", name="judged", value="good", happened_at=START)
    with pytest.raises(InvalidInput, match="judged"):
        record_feedback(app, robot, NAME, [replace(forged, source="labelling")])
    corrected = replace(forged, name="correction", value=True, text="9 EUR", source="labelling")
    with pytest.raises(InvalidInput, match="source is 'labelling'"):
        record_feedback(app, robot, NAME, [corrected])
    assert labels(app, ann, NAME) == []
