"""Explanations are kept beside the record and sent with the traces: asked for, or drawn from the traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from headrace.app.composition import App, open_app
from headrace.app.kept_explanations import Counted
from headrace.app.local import load
from headrace.app.operations import declare
from headrace.app.retaining import delete_old
from headrace.app.workflows import launch
from headrace.cli.main import app as command_line
from headrace.core.record import Explained, Span
from headrace.monitoring.ingest import ingest
from headrace.serving.trace_context import NOTED
from headrace.store.records import decode_explained, decode_prediction, encode_explained
from headrace.testing import MemoryTracker, make_settings
from headrace.web.server import Server, build_server
from tests.app.small import AUTHOR, CODE, INPUTS, Small, cars
from tests.web.memory_client import MemoryClient, in_memory

TREES = ("trainer: listed", "trainer: forest")
OPEN = "privacy: {basis: not_personal}"
CODE_WITH_TREES = f"""{CODE}

@headrace.trainer
def forest(data: headrace.TrainingData):
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(5, max_depth=4, random_state=0).fit(data.X, data.y)
"""
ROWS = {name: cars(3, seed=5)[name] for name in INPUTS}
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collected:
    """Takes spans in place of a collector."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def emit(self, spans: Any) -> None:
        self.spans += spans

    def explained(self) -> list[Span]:
        return [span for span in self.spans if span.name == "explain open"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A server whose one live project answers by trees."""

    app: App
    project: Small
    server: Server
    client: MemoryClient

    def ask(self, path: str, *, by: str = AUTHOR, parent: str | None = None, **more: Any) -> httpx.Response:
        token = self.app.tokens.issue(self.app.identities.resolve(by))
        headers = {"authorization": f"Bearer {token}"} | ({"traceparent": parent} if parent else {})
        return self.client.request("POST", path, headers=headers, **more)

    def predict(
        self, parent: str | None = None, keys: list[str] | None = None, **query: Any
    ) -> dict[str, Any]:
        body = {"columns": ROWS, "keys": keys}
        answer = self.ask("/api/v1/predict/open", parent=parent, params=query, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def one(self, index: int = 0) -> dict[str, Any]:
        record = {name: values[index] for name, values in ROWS.items()}
        answer = self.ask("/api/v1/predict/open", json={"record": record})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def shown(self, answer: str) -> httpx.Response:
        token = self.app.tokens.issue(self.app.identities.resolve(AUTHOR))
        return self.client.request(
            "GET",
            f"/api/v1/projects/open/answers/{answer}/explanation",
            headers={"authorization": f"Bearer {token}"},
        )

    def kept(self) -> dict[str, Explained]:
        """What is durable now, by the answer's id; one explanation for each."""
        events = self.app.store.events
        found = [
            decode_explained(record)
            for segment in events.segments("open/explanations")
            for record in events.read("open/explanations", segment.name, 0, 1 << 20)[0]
        ]
        assert len({one.id for one in found}) == len(found)
        return {one.id: one for one in found}

    def count(self, outcome: str) -> int:
        return self.server.parts.explanations.counts().get(Counted("open", outcome), 0)

    def until(self, holds: Callable[[], bool]) -> None:
        until_s = self.app.clock.monotonic_s() + 30
        while not holds():
            assert self.app.clock.monotonic_s() < until_s, self.server.parts.explanations.counts()
            self.app.clock.sleep(0.01)

    def declared(self, *changes: tuple[str, str]) -> None:
        made = self.project.write(TREES, *changes, code=CODE_WITH_TREES)
        declare(made.app, made.me, made.folder)


@contextmanager
def serving(home: Path, privacy: str = OPEN) -> Iterator[tuple[Asked, Collected]]:
    settings = replace(make_settings(home), otlp_url="http://127.0.0.1:9")
    with open_app(settings) as opened:
        app = replace(opened, tracker=MemoryTracker())
        with launch(app, role="server") as work:
            project = Small(app=app, work=work, folder=home / "open", name="open")
            project.write(TREES, (OPEN, privacy), code=CODE_WITH_TREES)
            assert project.released().state == "live"
            server = build_server(app, work)
            collected = Collected()
            server.parts.explanations._spans = collected
            tracing = server.parts.tracing
            assert tracing is not None
            tracing._spans = collected
            with in_memory(server) as client:
                yield Asked(app=app, project=project, server=server, client=client), collected


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
def test_what_the_record_does_not_have_is_neither_kept_nor_sent(tmp_path: Path) -> None:
    hidden = "privacy: {basis: contract, purpose: to sell, fields: {mileage: drop}}"
    with serving(tmp_path, hidden) as (asked, collected):
        answer = asked.predict(explain="true")
        assert answer["explanation"]["rows"][0]["contributions"].keys() == set(INPUTS)
        assert (asked.kept(), asked.count("withheld")) == ({}, 1)
        (span,) = collected.explained()
        assert span.events == (), "the data is about people: nobody could erase it over there"
        assert not any("contribution" in name for name in span.attributes)
        change = ("gates:\n", "serving: {explain_share: 1}\ngates:\n")
        asked.declared((OPEN, hidden), change)
        asked.one()
        asked.predict()
        assert (asked.kept(), asked.count("withheld")) == ({}, 3)


@pytest.mark.requirement("TRC-10")
def test_of_people_contributions_are_kept_where_the_record_is_and_sent_nowhere(tmp_path: Path) -> None:
    with serving(tmp_path, "privacy: {basis: contract, purpose: to sell}") as (asked, collected):
        answer = asked.predict(explain="true")
        assert list(asked.kept()) == [answer["id"]]
        (span,) = collected.explained()
        assert span.events == ()
        events, tables = asked.app.store.events, asked.app.store.tables
        ingest("open", events, tables, numeric=frozenset())
        found = tables.query("select count(*) as n from t", {"t": ("open/explanations", None)})
        assert int(found["n"][0]) == 3 * len(INPUTS)
        (logged,) = [
            decode_prediction(record)
            for segment in events.segments("open/predictions")
            for record in events.read("open/predictions", segment.name, 0, 1 << 20)[0]
        ]
        assert logged.id == answer["id"]
