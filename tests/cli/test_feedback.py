from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.core.ids import new_id
from headrace.core.release import Measurement
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction, make_project, make_settings
from tests.cli.conftest import Cli

TOLD = {"kind": "result", "subject": "7", "name": "paid", "value": 120, "happened_at": "2026-01-01T00:00:00Z"}


def test_a_file_of_feedback_is_stored(cli: Cli) -> None:
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.store.projects.save(make_project(name="cars"), str(cli.home))
    Path("feedback.jsonl").write_text(json.dumps(TOLD) + "\n")
    assert cli("monitor", "import-feedback", "cars", "feedback.jsonl").out.splitlines() == [
        "1 events stored.",
        "Next: headrace monitor watch cars",
    ]
    again = cli("monitor", "import-feedback", "cars", "feedback.jsonl", "--json")
    assert again.json == {"project": "cars", "stored": 1}
    Path("feedback.jsonl").write_text(json.dumps({**TOLD, "kind": "guess"}))
    refused = cli("monitor", "import-feedback", "cars", "feedback.jsonl")
    assert (refused.code, "Line 1 is no feedback" in refused.error) == (2, True)


def test_kpis_and_what_happened_around_an_answer_are_listed(cli: Cli) -> None:
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.store.projects.save(make_project(name="cars"), str(cli.home))
        made = make_prediction(id=new_id(START), release_id="r-1", at=START, event_time=START)
        app.store.events.append("cars/predictions", [encode_prediction(made)])
        app.store.evidence.measure(
            [
                Measurement(
                    id="1", project="cars", name="kpi", value=12.5, n_rows=40, at=START, release_id="r-1",
                    feature="revenue", segment="granted", window=(START, START), interval=(10.0, 15.0),
                    detail={"unit": "EUR", "total": 500.0, "measure": "per_answer"},
                )
            ]
        )  # fmt: skip
    assert cli("monitor", "kpis", "cars", "--json").json[0]["value"] == 12.5
    listed = cli("monitor", "kpis", "cars").out
    assert all(text in listed for text in ("revenue: granted", "12.5 EUR", "10 to 15", "500"))
    refused = cli("monitor", "kpis", "cars", "--compare")
    assert (refused.code, "No two releases of 'cars' answer now" in refused.error) == (2, True)
    told = {**TOLD, "subject": f"{made.id}:0", "page": "/cart", "text": "gladly"}
    Path("feedback.jsonl").write_text(json.dumps(told) + "\n")
    assert cli("monitor", "import-feedback", "cars", "feedback.jsonl").code == 0
    shown = cli("monitor", "feedback", "cars", made.id).out
    assert all(text in shown for text in (f"{made.id}:0", "result", "paid", "120", "/cart", "gladly"))
    (row, *_) = cli("monitor", "feedback", "cars", f"{made.id}:0", "--json").json
    assert [one["value"] for one in row["feedback"]] == [120.0]
    missing = cli("monitor", "feedback", "cars", "nothing")
    assert "no answer 'nothing'" in missing.error


@pytest.mark.requirement("FBK-01")
def test_what_somebody_says_of_an_answer_is_stored_and_listed(cli: Cli) -> None:
    answer = new_id(START)
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.store.projects.save(make_project(name="cars"), str(cli.home))
        made = make_prediction(id=answer, release_id="r-1", at=START, event_time=START)
        app.store.events.append("cars/predictions", [encode_prediction(made)])
    said = ("feedback", "say", "cars", answer, "--thumbs", "down", "--comment", "too dear", "--by", "u-7")
    assert "which release r-1 has answered" in cli(*said).out
    kept = cli(*said, "--json").json
    assert (kept["subject"], len(kept["ids"])) == (f"{answer}:0", 3)
    listed = cli("monitor", "feedback", "cars", answer).out
    assert [text in listed for text in ("thumbs_down", "1", "too dear", f"by {cli.user}")] == [True] * 4
    refused = cli("feedback", "say", "cars", answer, "--rating", "9")
    assert (refused.code, "rating is 9. Expected a whole number" in refused.error) == (2, True)
    offered = cli("feedback", "token", "cars", answer, "--json").json
    assert offered["token"].count(".") == 2
    assert cli("feedback", "token", "cars", answer).out.count(".") == 2
