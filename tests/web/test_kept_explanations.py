"""Explanations are kept beside the record and sent with the traces: asked for, or drawn from the traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from headrace.app.answers.local import load
from headrace.app.privacy.retaining import delete_old
from headrace.cli.main import app as command_line
from headrace.monitoring.ingest import ingest
from headrace.serving.trace_context import NOTED
from headrace.store.records import encode_explained
from tests.app.small import AUTHOR, INPUTS
from tests.web.explained import CALLER, ROWS, TRACE, Asked, Collected, serving


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asked, Collected]]:
    with serving(tmp_path_factory.mktemp("kept")) as made:
        yield made


@pytest.fixture
def asked(site: tuple[Asked, Collected]) -> Iterator[Asked]:
    yield site[0]
    site[0].declared()


@pytest.fixture
def collected(site: tuple[Asked, Collected]) -> Collected:
    site[1].spans.clear()
    return site[1]


@pytest.mark.requirement("TRC-10")
def test_what_was_asked_for_is_durable_beside_the_record_before_it_is_given(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asked.predict(explain="true")
    kept = asked.kept()[answer["id"]]
    assert (kept.release_id, kept.explanation.method) == (answer["release"], "trees")
    assert [row.contributions for row in kept.explanation.rows] == [
        row["contributions"] for row in answer["explanation"]["rows"]
    ]
    path = answer["explanation"]["rows"][0]["path"]
    assert path
    assert {one["input"] for one in path} <= set(INPUTS)

    monkeypatch.setenv("HEADRACE_HOME", str(asked.app.settings.home))
    monkeypatch.setenv("HEADRACE_USER", AUTHOR)
    shown = CliRunner().invoke(command_line, ["serve", "explain", answer["id"], "--json"])
    assert json.loads(shown.stdout) == answer["explanation"]
    words = CliRunner().invoke(command_line, ["serve", "explain", answer["subjects"][1]])
    assert "Same answer for every row with " in words.stdout


@pytest.mark.requirement("TRC-10")
def test_what_was_said_is_shown_again_also_when_training_rows_are_erased_since(asked: Asked) -> None:
    told, plain = asked.predict(explain="true"), asked.predict()
    assert asked.shown(plain["id"]).json() == told["explanation"]
    erasures = asked.project.work.erasures
    ordered = erasures.order(asked.project.me, "open", "7", reason="asked for by letter")
    assert [one.rows for one in erasures.result(ordered).snapshots] == [1]
    assert asked.shown(told["id"]).json() == told["explanation"]
    assert asked.shown(plain["id"]).json() != told["explanation"]


def subjects(asked: Asked) -> set[str]:
    """Of explained rows in the table."""
    events, tables = asked.app.store.events, asked.app.store.tables
    ingest("open", events, tables, numeric=frozenset())
    return set(tables.query("select subject from t", {"t": ("open/explanations", None)})["subject"])


@pytest.mark.requirement("TRC-10")
def test_explanations_are_erased_with_the_answers_that_they_explain(asked: Asked) -> None:
    gone, stays = (asked.predict(keys=keys, explain="true") for keys in (["a", "who", "b"], ["a", "c", "b"]))
    assert {*gone["subjects"], *stays["subjects"]} <= subjects(asked)
    erasures = asked.project.work.erasures
    erasures.result(erasures.order(asked.project.me, "open", "who", reason="asked for by letter"))
    assert gone["id"] not in asked.kept()
    assert stays["id"] in asked.kept()
    assert not set(gone["subjects"]) & subjects(asked)
    assert asked.shown(gone["subjects"][0]).status_code == 200, "the others' rows can be explained again"
    assert set(stays["subjects"]) <= subjects(asked)


def test_explanations_are_deleted_when_they_are_too_old(asked: Asked) -> None:
    young = asked.predict(explain="true")
    kept = asked.kept()[young["id"]]
    aged = replace(kept, id="aged", at=kept.at - timedelta(days=400))
    asked.app.store.events.append("open/explanations", [encode_explained(aged)])
    assert {"aged:0", *young["subjects"]} <= subjects(asked)
    assert delete_old(asked.app, "open").events == 1
    assert "aged" not in asked.kept()
    assert "aged:0" not in subjects(asked)
    assert set(young["subjects"]) <= subjects(asked)


@pytest.mark.requirement("TRC-10")
def test_a_share_of_the_traffic_is_explained_whichever_way_it_was_answered(
    asked: Asked, collected: Collected
) -> None:
    asked.declared(("gates:\n", "serving: {explain_share: 1}\ngates:\n"))
    before = set(asked.kept())
    answers = []
    for index in range(3):
        answers.append(asked.one(index))
        asked.until(lambda: {one["id"] for one in answers} <= set(asked.kept()))
    answers.append(asked.predict())
    asked.until(lambda: answers[-1]["id"] in asked.kept())
    assert set(asked.kept()) - before == {one["id"] for one in answers}
    for one in answers:
        explained = asked.kept()[one["id"]].explanation
        assert [row.value for row in explained.rows] == pytest.approx(
            [row["predict"] for row in one["predictions"]]
        )
    spans = {span.attributes["headrace.prediction"]: span for span in collected.explained()}
    assert set(spans) == {one["id"] for one in answers}, "each in a trace of its own: nobody named one"
    assert len({span.trace_id for span in spans.values()}) == len(answers)
    asked_for = asked.predict(explain="true")
    asked.until(lambda: asked_for["id"] in asked.kept())  # which would fail if it were explained twice


@pytest.mark.requirement("TRC-10")
def test_the_share_is_the_declared_one(asked: Asked) -> None:
    asked.declared(("gates:\n", "serving: {explain_share: 0.25}\ngates:\n"))
    project = asked.app.access.privacy.rules("open").project
    drawn = sum(asked.server.parts.explanations.draws(project) for _ in range(4_000))
    assert 850 < drawn < 1_150  # six standard deviations
    asked.declared()
    project = asked.app.access.privacy.rules("open").project
    assert not any(asked.server.parts.explanations.draws(project) for _ in range(100))


@pytest.mark.requirement("TRC-10")
def test_nobody_waits_for_the_share(asked: Asked) -> None:
    asked.declared(("gates:\n", "serving: {explain_share: 1}\ngates:\n"))
    explainers = asked.server.parts.explainers
    skipped = asked.count("skipped")
    with explainers._lock:  # so that no explanation gets anywhere
        answers = [asked.one() for _ in range(8)] + [asked.predict()]
        assert asked.count("skipped") - skipped == len(answers) - 4
    asked.until(lambda: len({one["id"] for one in answers} & set(asked.kept())) == 4)


@pytest.mark.requirement("TRC-10")
def test_contributions_path_and_confidence_are_an_event_of_a_span_in_the_requests_trace(
    asked: Asked, collected: Collected
) -> None:
    answer = asked.predict(parent=f"00-{TRACE}-{CALLER}-01", explain="true")
    request = next(span for span in collected.spans if span.name == "predict open")
    (span,) = collected.explained()
    assert (request.trace_id, request.parent_id) == (TRACE, CALLER)
    assert (span.trace_id, span.parent_id) == (TRACE, request.span_id)
    assert request.started_at <= span.started_at <= span.ended_at <= request.ended_at
    assert span.attributes["headrace.prediction"] == answer["id"]
    assert span.attributes["headrace.explanation.method"] == "trees"
    for subject, row, event in zip(
        answer["subjects"], answer["explanation"]["rows"], span.events, strict=True
    ):
        assert (event.name, event.attributes["headrace.subject"]) == ("explanation", subject)
        told = {
            name: event.attributes[f"headrace.explanation.contribution.{name}"]
            for name in row["contributions"]
        }
        assert told == row["contributions"]
        assert event.attributes["headrace.explanation.base"] == row["base"]
        assert len(event.attributes["headrace.explanation.path"]) == len(row["path"])
    assert NOTED.get() is None


def test_whoever_wants_no_trace_gets_none(asked: Asked, collected: Collected) -> None:
    answer = asked.predict(parent=f"00-{TRACE}-{CALLER}-00", explain="true")
    assert collected.explained() == []
    assert answer["id"] in asked.kept()


@pytest.mark.requirement("TRC-10")
def test_in_process_it_is_kept_too(asked: Asked) -> None:
    before = set(asked.kept())
    with load("open@live", settings=asked.app.settings) as model:
        why = model.explain(ROWS)
    (new,) = set(asked.kept()) - before
    assert asked.kept()[new].explanation == why


@pytest.mark.requirement("TRC-10")
def test_how_much_inputs_have_moved_is_listed_by_release(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asked.predict(explain="true")
    rows = [row for one in asked.kept().values() for row in one.explanation.rows]
    expected = {name: sum(abs(row.contributions[name]) for row in rows) / len(rows) for name in INPUTS}
    monkeypatch.setenv("HEADRACE_HOME", str(asked.app.settings.home))
    monkeypatch.setenv("HEADRACE_USER", AUTHOR)
    shown = CliRunner().invoke(command_line, ["monitor", "explanations", "open", "--json"])
    listed = json.loads(shown.stdout)
    assert {one["release_id"] for one in listed} == {answer["release"]}
    assert {one["input"]: one["size"] for one in listed} == pytest.approx(expected)
    assert {one["n_rows"] for one in listed} == {len(rows)}
    token = asked.app.tokens.issue(asked.app.identities.resolve(AUTHOR))
    headers = {"authorization": f"Bearer {token}"}
    answered = asked.client.request("GET", "/api/v1/projects/open/explanations", headers=headers).json()
    assert {one["input"]: one["size"] for one in answered} == pytest.approx(expected)
    words = CliRunner().invoke(command_line, ["monitor", "explanations", "open"])
    assert words.exit_code == 0, words.output
    assert max(expected, key=lambda name: expected[name]) in words.stdout


@pytest.mark.requirement("TRC-10")
def test_lime_or_a_function_of_the_project_explains_where_the_charter_says_so(
    asked: Asked, collected: Collected
) -> None:
    asked.declared(("gates:\n", "serving: {explainer: lime}\ngates:\n"))
    lime = asked.predict(explain="true")
    asked.declared(("gates:\n", "serving: {explainer: doubled}\ngates:\n"))
    own = asked.predict(explain="true")
    assert [one["explanation"]["method"] for one in (lime, own)] == ["lime", "own"]
    for row, predicted in zip(own["explanation"]["rows"], own["predictions"], strict=True):
        assert row["value"] == pytest.approx(predicted["predict"])
        assert row["contributions"]["listed"] == pytest.approx(2 * predicted["predict"])
    for row in lime["explanation"]["rows"]:
        assert row["base"] + sum(row["contributions"].values()) == pytest.approx(row["value"])
        assert row["fidelity"] > 0
    spans = {span.attributes["headrace.prediction"]: span for span in collected.explained()}
    for answer in (lime, own):
        assert asked.kept()[answer["id"]].explanation.method == answer["explanation"]["method"]
        assert asked.shown(answer["id"]).json() == answer["explanation"]
        events = spans[answer["id"]].events
        assert [event.attributes["headrace.explanation.contribution.listed"] for event in events] == [
            row["contributions"]["listed"] for row in answer["explanation"]["rows"]
        ]
