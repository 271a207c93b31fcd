"""People judge answers at a terminal."""

from __future__ import annotations

import pytest

from headrace.app.composition import open_app
from headrace.core.ids import new_id
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction, make_project, make_settings
from tests.cli.conftest import Cli


@pytest.mark.requirement("EVA-03")
def test_answers_wait_are_judged_and_listed(cli: Cli) -> None:
    answer = new_id(START)
    llm = {"feedback": {"categories": ["wrong", "late"]}}
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.identities.add("bea", ["developer"], actor=cli.user)
        app.store.projects.save(make_project(name="cars", llm=llm), str(cli.home))
        made = make_prediction(id=answer, release_id="r-1", at=START, event_time=START)
        app.store.events.append("cars/predictions", [encode_prediction(made)])
    assert "Nobody has judged" in cli("feedback", "labels", "cars").out
    assert "No two people" in cli("feedback", "agreement", "cars").out
    cli("feedback", "say", "cars", answer, "--thumbs", "down")
    listed = cli("feedback", "queue", "cars").out
    assert [text in listed for text in (f"{answer}:0", "thumbs down", "Next: headrace feedback label")] == [
        True
    ] * 3
    assert cli("feedback", "queue", "cars", "--json").json[0]["reasons"][0] == "thumbs down"
    said = ("feedback", "label", "cars", answer, "bad", "--category", "wrong", "--correction", "9 EUR")
    assert f"{answer}:0 is bad, says {cli.user}." in cli(*said).out
    assert len(cli(*said, "--json").json["ids"]) == 3
    cli("feedback", "label", "cars", answer, "bad", "--as", "bea")
    assert "Nothing waits" in cli("feedback", "queue", "cars").out
    assert "bad" in cli("feedback", "labels", "cars").out
    labels = cli("feedback", "labels", "cars", "--json").json
    assert [(one["by"], one["categories"], one["correction"]) for one in labels] == [
        (cli.user, ["wrong"], "9 EUR"),
        ("bea", [], None),
    ]
    assert "100%" in cli("feedback", "agreement", "cars").out
    assert cli("feedback", "agreement", "cars", "--json").json[0]["agreement"]["n"] == 1
    path = cli.home / "kto.jsonl"
    assert cli("feedback", "export", "cars", str(path), "--format", "kto").code == 2, (
        "it asks nothing in words"
    )
    refused = cli("feedback", "label", "cars", answer, "bad", "--category", "odd")
    assert (refused.code, "There is no category 'odd'" in refused.error) == (2, True)
