"""Explanations from a build to whoever asks: over HTTP, in process, and of the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from headrace.app.answers.explanations import Explainers, explain_answer
from headrace.app.answers.local import load
from headrace.app.composition import App
from headrace.app.operations import declare
from headrace.cli.main import app as command_line
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.ids import new_id
from headrace.store.records import decode_prediction
from headrace.web.server import Server, build_server
from tests.app.small import AUTHOR, INPUTS, Site, Small, cars
from tests.app.small import site as small_site
from tests.web.memory_client import MemoryClient, in_memory

LINEAR = ("trainer: listed", "trainer: linear")
DROPPED = ("privacy: {basis: not_personal}", "privacy: {basis: not_personal, fields: {mileage: drop}}")
ROWS = {name: cars(3, seed=5)[name] for name in INPUTS}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A server with one live project."""

    app: App
    site: Site
    project: Small
    server: Server
    client: MemoryClient

    def ask(self, method: str, path: str, *, by: str = AUTHOR, **more: Any) -> httpx.Response:
        token = self.app.tokens.issue(self.app.identities.resolve(by))
        return self.client.request(method, path, headers={"authorization": f"Bearer {token}"}, **more)

    def predict(self, project: str, **query: Any) -> httpx.Response:
        return self.ask("POST", f"/api/v1/predict/{project}", params=query, json={"columns": ROWS})

    def page(self, project: str, **query: Any) -> httpx.Response:
        return self.ask("GET", f"/projects/{project}/answers", params=query)

    def explained(self, project: str, answer: str, **more: Any) -> httpx.Response:
        return self.ask("GET", f"/api/v1/projects/{project}/answers/{answer}/explanation", **more)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with small_site(tmp_path_factory.mktemp("explaining")) as made:
        project = made.project("open", LINEAR)
        assert project.released().state == "live"
        server = build_server(made.app, made.work)
        with in_memory(server) as client:
            yield Asked(app=made.app, site=made, project=project, server=server, client=client)


@pytest.mark.requirement("SRV-09")
def test_an_answer_brings_what_each_input_contributed(asked: Asked) -> None:
    plain = asked.predict("open").json()
    assert "explanation" not in plain
    answer = asked.predict("open", explain="true").json()
    assert answer["predictions"] == plain["predictions"]
    why = answer["explanation"]
    assert (why["method"], why["scale"], why["background_rows"]) == ("linear", "output", 100)
    for predicted, row in zip(answer["predictions"], why["rows"], strict=True):
        assert list(row["contributions"]) == list(INPUTS)
        assert row["base"] + sum(row["contributions"].values()) == pytest.approx(predicted["predict"])
        assert row["value"] == pytest.approx(predicted["predict"])
    assert len({row["base"] for row in why["rows"]}) == 1


@pytest.mark.requirement("SRV-09")
def test_a_recorded_answer_is_explained_as_it_was_with_the_answer(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asked.predict("open", explain="true").json()
    again = asked.explained("open", answer["id"])
    assert again.status_code == 200
    assert again.json() == answer["explanation"]
    monkeypatch.setenv("HEADRACE_HOME", str(asked.app.settings.home))
    monkeypatch.setenv("HEADRACE_USER", AUTHOR)
    printed = CliRunner().invoke(command_line, ["serve", "explain", answer["id"]])
    assert printed.exit_code == 0, printed.output
    assert "Row 2" in printed.stdout
    assert f"{answer['explanation']['rows'][0]['contributions']['listed']:+.6g}" in printed.stdout


@pytest.mark.requirement("SRV-09")
def test_the_inference_protocols_explain_alike(asked: Asked) -> None:
    expected = asked.predict("open", explain="true").json()["explanation"]
    kinds = {name: "BOOL" if name == "diesel" else "FP64" for name in INPUTS}
    tensors = [{"name": name, "shape": [3], "datatype": kinds[name], "data": ROWS[name]} for name in INPUTS]
    body: dict[str, Any] = {"inputs": tensors, "parameters": {"explain": True}}
    answer = asked.ask("POST", "/v2/models/open/infer", json=body)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.json()["parameters"]["explanation"]) == expected
    body["parameters"] = {}
    assert "explanation" not in asked.ask("POST", "/v2/models/open/infer", json=body).json()["parameters"]

    given: dict[str, Any] = {"inputs": ROWS, "params": {"explain": True}}
    scored = asked.ask("POST", "/invocations/open", json=given)
    assert scored.status_code == 200, scored.text
    assert scored.json()["explanation"] == expected
    given["inputs"] = {name: values * 40 for name, values in ROWS.items()}
    refused = asked.ask("POST", "/invocations/open", json=given)
    assert (refused.status_code, "120 rows are to be explained" in refused.text) == (400, True)


@pytest.mark.requirement("SRV-09")
def test_in_process(asked: Asked) -> None:
    with load("open@live", settings=asked.app.settings) as model:
        why = model.explain(ROWS)
        predicted = model.predict(ROWS).outputs["predict"]
        with pytest.raises(InvalidInput, match="Expected at most 100 at once"):
            model.explain(cars(101, seed=6))
    for value, row in zip(predicted, why.rows, strict=True):
        assert row.base + sum(row.contributions.values()) == pytest.approx(value)
    assert [row.contributions for row in why.rows] == [
        pytest.approx(row["contributions"])
        for row in asked.predict("open", explain="true").json()["explanation"]["rows"]
    ]


def test_the_page_of_an_answer_draws_what_its_inputs_contributed(asked: Asked) -> None:
    answer = asked.predict("open", explain="true").json()
    page = asked.page("open").text
    assert f"/projects/open/answers?id={answer['id']}" in page
    shown = asked.page("open", id=f"{answer['id']}:1")
    assert (shown.status_code, shown.text.count('class="bar"')) == (200, len(INPUTS))
    contributions = answer["explanation"]["rows"][1]["contributions"]
    largest = max(contributions, key=lambda name: abs(contributions[name]))
    first = shown.text.partition('class="bar"')
    assert f'class="named">{largest}<' in first[0]
    assert 'width="50.0"' in first[2].partition("</svg>")[0]
    assert asked.page("open", id=answer["id"]).text.count('class="bar"') == 3 * len(INPUTS)
    columns = {name: cars(12, seed=5)[name] for name in INPUTS}
    many = asked.ask("POST", "/api/v1/predict/open", json={"columns": columns}).json()
    page = asked.page("open", id=many["id"]).text
    assert page.count('class="bar"') == 10 * len(INPUTS)
    assert "The first 10 of 12 rows." in page
    assert asked.page("open", id=f"{many['id']}:11").text.count('class="bar"') == len(INPUTS)
    unknown = asked.page("open", id=new_id(asked.app.clock.now()))
    assert (unknown.status_code, "There is no answer" in unknown.text) == (404, True)


def test_the_page_of_an_answer_shows_what_was_asked(asked: Asked) -> None:
    answer = asked.predict("open").json()
    page = asked.page("open", id=f"{answer['id']}:1").text
    shown = {"year": f"{ROWS['year'][1]:.0f}", "diesel": "yes" if ROWS["diesel"][1] else "no"}
    shown |= {"listed": f"{ROWS['listed'][1]:.7g}"}
    for name, value in shown.items():
        assert f">{value}<" in page.partition(f'class="named">{name}<')[2].partition("</tr>")[0]
    assert "not recorded" not in page


def test_of_a_table_nothing_is_called_off_topic(asked: Asked) -> None:
    answer = asked.predict("open").json()
    said = {"thumbs": "down"}
    kept = asked.ask("POST", f"/api/v1/projects/open/answers/{answer['id']}:0/feedback", json=said)
    assert kept.status_code < 300, kept.text
    page = asked.ask("GET", "/projects/open/labelling", params={"answer": f"{answer['id']}:0"}).text
    assert f"year: {ROWS['year'][0]:.0f}, " in page
    assert ("off topic" in page, "What is wrong with it" in page) == (False, False)
    assert f"{answer['predictions'][0]['predict']:.7g}" in page


def test_one_row_of_an_answer_is_explained_by_its_subject(asked: Asked) -> None:
    answer = asked.predict("open", explain="true").json()
    one = asked.explained("open", answer["subjects"][2]).json()
    assert one["rows"] == answer["explanation"]["rows"][2:]
    assert asked.explained("open", f"{answer['id']}:9").status_code == 404


@pytest.fixture
def private(asked: Asked) -> Iterator[Asked]:
    """The same, while one input is dropped from its record."""
    project = asked.project
    declare(project.app, project.me, project.write(LINEAR, DROPPED).folder)
    yield asked
    declare(project.app, project.me, project.write(LINEAR).folder)


def test_an_input_that_is_not_recorded_is_explained_with_the_answer_only(private: Asked) -> None:
    answer = private.predict("open", explain="true").json()
    assert answer["explanation"]["rows"][0]["contributions"]["mileage"] != 0
    refused = private.explained("open", answer["id"])
    assert refused.status_code == 409
    assert "'mileage' is not recorded as it came" in refused.json()["detail"]
    page = private.page("open", id=f"{answer['id']}:0")
    assert (page.status_code, "is not recorded as it came" in page.text) == (409, True)
    assert f'<dt>year</dt><dd class="words">{ROWS["year"][0]:.0f}</dd>' in page.text


def test_a_loosening_that_waits_for_approval_does_not_count(asked: Asked) -> None:
    masked = (DROPPED[0], DROPPED[1].replace("mileage: drop", "diesel: mask"))
    project = asked.site.project("held", LINEAR, masked)
    assert project.released().state == "live"
    declare(project.app, project.me, project.write(LINEAR).folder)
    asked.server.parts.routes.refresh()
    refused = asked.explained("held", asked.predict("held").json()["id"])
    assert refused.status_code == 409, "otherwise it would be explained as if it had been asked about nothing"


@pytest.mark.requirement("SRV-09")
def test_whoever_may_not_read_the_record_gets_no_explanation_of_it(asked: Asked) -> None:
    answer = asked.predict("open").json()["id"]
    asked.app.identities.add("vic", ["viewer"], actor=AUTHOR)
    assert asked.explained("open", answer, by="vic").status_code == 403
    assert asked.ask(
        "POST", "/api/v1/predict/open", by="vic", params={"explain": "true"}, json={"columns": ROWS}
    ).status_code == 403  # fmt: skip
    assert asked.ask("GET", "/projects/open/answers", by="vic").status_code == 403
    vic = asked.app.identities.resolve("vic")
    with pytest.raises(NotFound, match="in the record that you may read"):
        explain_answer(asked.app, Explainers(asked.app), vic, answer)
    with pytest.raises(Denied):
        explain_answer(asked.app, Explainers(asked.app), vic, answer, "open")


def test_what_cannot_be_explained_is_refused_by_name(asked: Asked) -> None:
    unknown = asked.explained("open", new_id(asked.app.clock.now()))
    assert unknown.status_code == 404
    odd = asked.explained("open", "7")
    assert (odd.status_code, "no id of an answer" in odd.json()["detail"]) == (400, True)
    many = {name: values * 40 for name, values in ROWS.items()}
    refused = asked.ask("POST", "/api/v1/predict/open", params={"explain": "true"}, json={"columns": many})
    assert refused.status_code == 400
    assert "120 rows are to be explained" in refused.json()["detail"]


@pytest.mark.requirement("FEA-06")
def test_of_a_model_features_and_data_are_listed_and_of_an_answer_the_values_are_logged(asked: Asked) -> None:
    answer = asked.predict("open").json()
    report = asked.ask("GET", f"/api/v1/releases/{answer['release']}").json()
    manifest = report["release"]["manifest"]
    assert manifest["features"] == list(INPUTS)
    (snapshot,) = manifest["snapshots"]
    assert asked.app.store.snapshots.get(snapshot["id"]).digest == snapshot["digest"]
    stream = "open/predictions"
    logged = [
        decode_prediction(record)
        for segment in asked.app.store.events.segments(stream)
        for record in asked.app.store.events.read(stream, segment.name, 0, 1 << 20)[0]
    ]
    (mine,) = [one for one in logged if one.id == answer["id"]]
    assert mine.columns == ROWS
    assert mine.release_id == answer["release"]


@pytest.mark.requirement("SRV-09")
def test_whoever_was_erased_is_in_no_background_from_then_on(asked: Asked) -> None:
    before = asked.predict("open", explain="true").json()
    erasures = asked.project.work.erasures
    ordered = erasures.order(asked.project.me, "open", "7", reason="asked for by letter")
    assert [one.rows for one in erasures.result(ordered).snapshots] == [1]
    after = asked.predict("open", explain="true").json()
    assert after["predictions"] == before["predictions"]
    assert after["explanation"] != before["explanation"], "a server that was up draws its rows anew"
    columns = {name: np.array(values) for name, values in ROWS.items()}
    fresh = Explainers(asked.app).explain(after["release"], columns)
    assert [row["base"] for row in after["explanation"]["rows"]] == [row.base for row in fresh.rows]
