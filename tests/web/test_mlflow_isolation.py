"""What a workspace keeps in MLflow is out of reach of every other, by each route that a real server has."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headrace.app.composition import open_app
from headrace.testing import make_settings
from headrace.web.mlflow_routes import Route, find_route, routes
from tests.web.mlflow_attempts import PROXIED, THREE, TWO, Attempt, Owned, attempts, fill, spans_of
from tests.web.mlflow_real import Real, Rows, real_door

pytestmark = [pytest.mark.slow]
ATTACHMENT = "0b0e6a2c-30b5-4f0c-8a3e-111111111111"
OF_NOBODY = {
    "GET /", "GET /health", "GET /version", "GET /static-files/{*}", "GET /api/3.0/mlflow/server-info",
}  # fmt: skip
"""Routes that hold nothing of any workspace: MLflow's own page and what it says of itself."""


class Two(NamedTuple):
    """Two workspaces over one server, each with one of everything."""

    real: Real
    main: Owned
    other: Owned


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with open_app(make_settings(tmp_path_factory.mktemp("isolation") / "home")) as app:
        app.me()
        app.identities.add("dev", ["developer"], actor="ann")
        app.identities.add("bea", ["developer", "admin"], actor="ann", workspace="team-b")
        with real_door(app) as real:
            main = fill(partial(real.ask, "dev"), "workspaces/default", "north")
            other = fill(partial(real.ask, "bea"), "workspaces/team-b", "south")
            yield Two(real, main, other)


def send(real: Real, by: str, attempt: Attempt, own: Owned) -> httpx.Response:
    """One attempt; spans say whose experiment they are for."""
    more: dict[str, Any] = {"json": attempt.body} if isinstance(attempt.body, dict) else {}
    if isinstance(attempt.body, bytes):
        more = {"content": attempt.body}
    if attempt.path == "/v1/traces":
        more["headers"] = {"x-mlflow-experiment-id": own.experiment}
    return real.ask(by, attempt.method, attempt.path, **more)


def route_of(attempt: Attempt) -> Route:
    """The route that an attempt takes."""
    route = find_route(attempt.method, attempt.path.partition("?")[0])
    assert route is not None, attempt
    return route


def test_there_is_an_attempt_for_every_route_that_is_open(two: Two) -> None:
    tried = {route_of(attempt) for attempt in attempts(two.main, two.other)}
    opened = {r for r in routes() if r.kind != "closed" and f"{r.method} {r.pattern}" not in OF_NOBODY}
    assert tried == opened


@pytest.mark.requirement("MCP-06")
@pytest.mark.parametrize("stranger", ["bea", "dev"])
def test_nobody_of_another_workspace_reads_or_changes_anything_by_any_route(two: Two, stranger: str) -> None:
    own, mine = (two.main, two.other) if stranger == "bea" else (two.other, two.main)
    before = two.real.rows(), two.real.files()
    shown = {}
    for attempt in attempts(own, mine):
        answer = send(two.real, stranger, attempt, own)
        asked = f"{attempt.path} {attempt.body}"
        if holds(answer.text, own, asked):
            shown[attempt.method, attempt.path] = answer.text[:200]
    assert not shown
    assert changes(before, two.real, own) == []


def changes(before: tuple[Rows, dict[str, str]], real: Real, own: Owned) -> list[str]:
    """What is gone or other than before, and what has been added to ``own``."""
    rows, files = before
    now, kept = real.rows(), real.files()
    found = [place for place, digest in files.items() if kept.get(place) != digest]
    found += [place for place in kept.keys() - files.keys() if place.startswith(own.artifacts)]
    for table, then in rows.items():
        found += [f"{table} lost {row}" for row in then - now[table]]
        found += [f"{table} got {row}" for row in now[table] - then if holds(row, own)]
    return found


def holds(text: str, own: Owned, asked: str = "") -> bool:
    """Whether a text holds something of ``own``; what was asked for may be repeated."""
    held = own.mark, f"'experiment_id': {own.experiment},", *own.ids.values()
    return any(one in text and one not in asked for one in held if one not in (own.artifacts, own.model_name))


@pytest.mark.parametrize("owner", ["dev", "bea"])
def test_the_same_requests_do_what_they_say_for_whoever_owns_it(two: Two, owner: str) -> None:
    place = (two.main if owner == "dev" else two.other).artifacts
    own = fill(partial(two.real.ask, owner), place, f"own-{owner}")
    failed = []
    for attempt in attempts(own, own):
        answer = send(two.real, owner, attempt, own)
        if answer.status_code != attempt.status or (attempt.shows and own.mark not in answer.text):
            failed.append((attempt, answer.status_code, answer.text[:300]))
    assert not failed


@pytest.mark.requirement("MCP-06")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "?path=workspaces"),
        ("GET", "?path=./workspaces/team-b"),
        ("GET", "?path=%252e/workspaces/team-b"),
        ("GET", "?path=workspaces/team-b"),
        ("GET", "?path=1&path=./workspaces/team-b"),
        ("GET", "?path=file:workspaces/team-b"),
        ("GET", "/workspaces/team-b/{place}"),
        ("GET", "/file:./workspaces/team-b/{place}"),
        ("PUT", "/workspaces/team-b/{place}"),
        ("DELETE", "/workspaces/team-b/{place}"),
        ("DELETE", "/workspaces"),
        ("DELETE", "/Workspaces"),
    ],
)
def test_no_spelling_of_a_path_leads_to_the_artefacts_of_another_workspace(
    two: Two, method: str, path: str
) -> None:
    own = two.other
    before = two.real.rows(), two.real.files()
    asked = PROXIED + path.format(place=f"{own.experiment}/{own.run}/artifacts/{own.mark}.txt")
    answer = two.real.ask("dev", method, asked, content=b"x" if method == "PUT" else None)
    assert answer.status_code in (400, 403)
    assert "team-b" not in answer.text or "team-b" in path
    assert changes(before, two.real, own) == []


@pytest.mark.requirement("GOV-02")
@pytest.mark.parametrize(
    "place", ["workspaces/default", "workspaces/default/headrace", "headrace", "Headrace/cars"]
)
def test_what_headrace_keeps_is_not_deleted_by_the_folder_it_lies_in(two: Two, place: str) -> None:
    folder = two.real.app.settings.home / "mlflow" / "workspaces/default/headrace/cars/1-abc"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text("kept")
    answer = two.real.ask("dev", "DELETE", f"{PROXIED}/{place}")
    assert answer.status_code == 403
    assert (folder / "MLmodel").read_text() == "kept"


@pytest.mark.requirement("MCP-06")
@pytest.mark.parametrize("form", ["json", "protobuf", "gzip"])
@pytest.mark.parametrize(
    "tag", ["mlflow.artifactLocation", "mlflow.trace.archiveLocation", "headrace.run_id"]
)
def test_no_span_says_where_mlflow_finds_the_files_of_a_trace(two: Two, tag: str, form: str) -> None:
    real, own = two.real, two.other
    folder = real.app.settings.home / "elsewhere"
    (folder / "attachments").mkdir(parents=True, exist_ok=True)
    (folder / "attachments" / ATTACHMENT).write_text("a secret of the server")
    trace = hashlib.sha256(f"{tag} {form}".encode()).hexdigest()[:32]
    hostile = spans_of(trace, "hostile", **{f"mlflow.traceTag.{tag}": f"file://{folder}"})
    answer = export(real, form, hostile, own.experiment)
    assert answer.status_code == 403
    read = f"{TWO}/get-trace-artifact?request_id=tr-{trace}&path={ATTACHMENT}"
    assert "a secret" not in real.ask("bea", "GET", read).text
    plain = spans_of(trace, "plain", **{"mlflow.traceTag.team": "blue"})
    assert export(real, form, plain, own.experiment).status_code == 200
    kept = real.ask("bea", "GET", f"{THREE}/traces/tr-{trace}").json()["trace"]["trace_info"]
    assert kept["tags"]["team"] == "blue"


def export(real: Real, form: str, spans: dict[str, Any], experiment: str) -> httpx.Response:
    """Spans as OpenTelemetry's exporters send them."""
    headers = {"x-mlflow-experiment-id": experiment, "content-type": "application/json"}
    body = json.dumps(spans).encode()
    if form != "json":
        (span,) = spans["resourceSpans"][0]["scopeSpans"][0]["spans"]
        coded = {name: base64.b64encode(bytes.fromhex(span[name])).decode() for name in ("traceId", "spanId")}
        message = ParseDict(
            {"resourceSpans": [{"scopeSpans": [{"spans": [span | coded]}]}]}, ExportTraceServiceRequest()
        )
        body, headers["content-type"] = message.SerializeToString(), "application/x-protobuf"
    if form == "gzip":
        body, headers["content-encoding"] = gzip.compress(body, mtime=0), "gzip"
    return real.ask("bea", "POST", "/v1/traces", content=body, headers=headers)
