"""Evaluation sets that people have labelled are versions of their content, signed by a person."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.labels.labelling import Judgement, judge
from headrace.app.llm.evaluation_sets import draw, evaluation_sets, listed, sign, signed_rows
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.testing import FakeClock, make_settings
from tests.app.labels.test_labelling import NAME, QUIET, answered, declare


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home"), FakeClock()) as app:
        app.me()
        declare(app, QUIET)
        yield app


def table(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "expected"), *rows])
    return path


@pytest.mark.requirement("EVA-01")
def test_a_version_is_what_it_holds_and_who_signed_it(app: App, tmp_path: Path) -> None:
    me = app.me()
    first = sign(app, me, NAME, table(tmp_path / "a.csv", ("how long?", "30"), ("how much?", "9.50")))
    assert (first.version, first.n_rows, first.by, first.origin) == (1, 2, me.name, "a.csv")
    again = sign(app, me, NAME, table(tmp_path / "b.csv", ("how much?", "9.50"), ("how long?", "30")))
    assert again == first, "the same rows are the same version"
    assert isinstance(app.clock, FakeClock)
    app.clock.advance(60)
    second = sign(app, me, NAME, table(tmp_path / "a.csv", ("how long?", "14"), ("how much?", "9.50")))
    assert (second.version, second.digest == first.digest) == (2, False)
    assert listed(app, me, NAME) == [first, second]
    questions = ["how long?", "how much?", "how heavy?"]
    assert signed_rows(app, NAME, questions, [30.0, 9.5, 1]) == (2, [1, 2]), "30 is read as 30.0"
    assert signed_rows(app, NAME, questions, ["31", None, ""]) == (0, [])
    entries = [entry for entry in app.store.audit.list() if entry.action == "feedback.sign"]
    assert [(entry.actor, entry.detail["digest"]) for entry in entries] == [
        (me.name, first.digest),
        (me.name, second.digest),
    ]


@pytest.mark.requirement("EVA-01")
def test_what_people_have_judged_becomes_one(app: App, tmp_path: Path) -> None:
    good, bad, unsure, _ = answered(app, 4)
    me, bea = app.me(), app.identities.add("bea", ["developer"], actor=app.me().name)
    with pytest.raises(InvalidInput, match="headrace feedback queue support"):
        draw(app, me, NAME, tmp_path / "set.csv")
    judge(app, me, NAME, good, Judgement(verdict="good"))
    judge(app, me, NAME, bad, Judgement(verdict="bad", correction="14 days"))
    judge(app, me, NAME, unsure, Judgement(verdict="good"))
    judge(app, bea, NAME, unsure, Judgement(verdict="bad"))
    made = draw(app, me, NAME, tmp_path / "set.csv")
    assert (made.n_rows, made.origin) == (2, "judgements")
    with (tmp_path / "set.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [["question", "expected"], ["question 0", "answer 0"], ["question 1", "14 days"]]
    assert signed_rows(app, NAME, ["question 1"], ["14 days"]).n == 1
    with pytest.raises(Conflict, match="exists"):
        draw(app, me, NAME, tmp_path / "set.csv")


def test_only_people_sign_and_only_what_has_labels(app: App, tmp_path: Path) -> None:
    robot = app.identities.add(
        "bot", ["developer"], kind="service", owner=app.me().name, purpose="counts", actor=app.me().name
    )
    good = table(tmp_path / "a.csv", ("how long?", "30"))
    with pytest.raises(Denied, match="no person"):
        sign(app, robot, NAME, good)
    with pytest.raises(Denied):
        sign(app, app.identities.add("vic", ["viewer"], actor=app.me().name), NAME, good)
    with pytest.raises(NotFound):
        sign(app, app.me(), NAME, tmp_path / "none.csv")
    (tmp_path / "b.csv").write_text("question,answer\nhow long?,30\n")
    with pytest.raises(InvalidInput, match="no column 'expected'"):
        sign(app, app.me(), NAME, tmp_path / "b.csv")
    assert evaluation_sets(app, NAME) == []
