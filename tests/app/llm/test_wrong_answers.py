"""Which questions a prompt has answered wrong, for whoever improves it or decides about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.app.composition import App, open_app
from headrace.app.llm.examples import examples
from headrace.core.project import PrivacySpec
from headrace.core.release import Route
from headrace.testing.factories import make_settings
from tests.app.evaluated import COLUMNS, NAME, PROJECT, released


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path)) as app:
        app.me()
        app.store.projects.save(PROJECT, "")
        yield app


def test_wrong_answers_are_shown_before_anything_is_live(app: App) -> None:
    first = released(app, lambda label: None if label < "30 days" else f"{label}, says the shop", 1)
    found = examples(app, app.me(), first.id)
    assert found is not None
    assert found.problem == ""
    n_asked = 20
    assert (found.wrong, found.against, found.source, found.n_rows) == (True, "", "test rows", n_asked)
    assert 0 < found.n_apart == len(found.rows) < n_asked
    assert {(one.candidate, one.live) for one in found.rows} == {(None, None)}
    assert all(one.truth < "30 days" for one in found.rows)


def test_the_worst_come_with_what_the_live_prompt_says(app: App) -> None:
    live = released(app, lambda label: f"{label}.", 1)
    app.store.rollouts.set_route(Route(project=NAME, live=live.id, revision=0))
    candidate = released(app, lambda label: label if label > "30" else "I do not know.", 2)
    found = examples(app, app.me(), candidate.id)
    assert found is not None
    assert found.problem == ""
    assert found.against == live.id
    assert 0 < found.n_apart == len(found.rows) < found.n_rows
    for one in found.rows:
        assert one.inputs["question"] in COLUMNS["question"]
        assert (one.candidate, one.live, one.apart) == ("I do not know.", f"{one.truth}.", 1.0)
        assert one.truth <= "30"
    read = [one for one in app.store.audit.list(limit=1_000) if one.action == "data.read"]
    assert read[-1].detail["release"] == candidate.id


@pytest.mark.parametrize(
    ("form", "shown"),
    [("keep", "How long may ann@example.org"), ("redact", "How long may <EMAIL>"), ("mask", "")],
)
def test_a_question_is_shown_as_it_may_be_recorded(app: App, form: Any, shown: str) -> None:
    candidate = released(app, lambda _: "I do not know, ann@example.org.", 1)
    app.store.projects.save(
        replace(PROJECT, privacy=PrivacySpec(basis="contract", fields={"question": form})), ""
    )
    app.store.epoch.advance()
    found = examples(app, app.me(), candidate.id)
    assert found is not None
    assert found.withheld == (() if shown else ("question",))
    asked = [one.inputs.get("question", "") for one in found.rows]
    assert len(asked) == 20
    assert all(text.startswith(shown) and bool(text) == bool(shown) for text in asked)
    assert {one.candidate for one in found.rows} == {"I do not know, <EMAIL>."}, "it repeats the question"
