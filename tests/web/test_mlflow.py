"""The door before MLflow: who gets in, what a request may change, and what MLflow gets to see of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from headrace.app.composition import App, open_app
from headrace.core.identity import Principal
from headrace.testing import FakeClock, make_model, make_project, make_run, make_settings, make_tokens
from headrace.web.guards import SecureHeaders
from headrace.web.identity import COOKIE, Identified
from headrace.web.mlflow import MlflowDoor, refuse_mlflow
from headrace.web.mlflow_routes import routes
from headrace.web.mlflow_upstream import Upstream
from headrace.web.problems import problem_of
from headrace.web.sessions import Sessions

API = "/api/2.0/mlflow/"
WORKSPACES = "/api/3.0/mlflow/workspaces"
LIVE = "3"


@dataclass(kw_only=True)
class Door:
    """The door with an MLflow behind it that only writes down what it is asked."""

    app: App
    sessions: Sessions
    divided: bool = True
    seen: list[httpx.Request] = field(default_factory=list)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    down: bool = False

    def __post_init__(self) -> None:
        upstream = Upstream("http://mlflow.test/base", httpx.MockTransport(self._mlflow))
        door = MlflowDoor(self.app, upstream, self._registered)

        def page(scope: Any, error: Any) -> Any:
            return problem_of(error, instance="page", now=self.app.clock.now())

        self._asgi = SecureHeaders(
            Identified(door, self.app, self.sessions, cookie_writes=True, refuse=refuse_mlflow(door, page))
        )

    def ask(self, method: str, path: str, *, by: str | None = "dev", **more: Any) -> httpx.Response:
        """One request to ``/mlflow`` + ``path``."""
        headers = dict(more.pop("headers", {}))
        if by is not None:
            token = self.app.tokens.issue(self.app.identities.resolve(by))
            headers["authorization"] = f"Bearer {token}"

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._asgi)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                return await client.request(method, f"/mlflow{path}", headers=headers, **more)

        return asyncio.run(send())

    def _registered(self, me: Principal, name: str, version: str) -> tuple[str, str]:
        self.told.append((me.name, name, version))
        return "build", "build:cars:mlflow:cars:4"

    def passed(self) -> httpx.Request:
        """The last request that reached MLflow."""
        return self.seen[-1]

    def _mlflow(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        if request.url.path.endswith("server-info"):
            return httpx.Response(200, json={"workspaces_enabled": self.divided, "store_type": "SqlStore"})
        self.seen.append(request)
        if request.url.path.endswith("model-versions/create"):
            asked = json.loads(request.content)
            return httpx.Response(200, json={"model_version": {"name": asked["name"], "version": "4"}})
        return httpx.Response(200, json={"done": True}, headers={"set-cookie": "mlflow=1", "server": "x"})


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(make_settings(tmp_path_factory.mktemp("door") / "home")) as app:
        app.me()
        app.identities.add("dev", ["developer"], actor="ann")
        app.identities.add("vic", ["viewer"], actor="ann")
        app.identities.add("root", ["admin", "validator", "operator"], actor="ann")
        app.identities.add("bea", ["developer"], actor="ann", workspace="team-b")
        app.identities.add("eve", ["viewer"], actor="ann")
        app.store.principals.save(replace(app.identities.resolve("eve"), roles=()))
        app.store.projects.save(make_project(name="cars"), "/cars")
        app.store.projects.save(make_project(name="vans"), "/vans", "team-b")
        run = make_run(project="cars")
        app.store.runs.save(run)
        model = app.store.models.add(make_model(project="cars", run_id=run.id))
        app.store.models.set_registry_version("cars", model.version, LIVE)
        app.store.epoch.advance()
        yield app


@pytest.fixture
def door(app: App) -> Door:
    return Door(app=app, sessions=Sessions(app.store.expiring, app.store.epoch, app.clock))


def test_a_request_reaches_mlflow_without_its_credentials(door: Door) -> None:
    answer = door.ask(
        "POST", f"{API}runs/create?name=smuggled", json={"experiment_id": "0"},
        headers={"cookie": "a=b", "x-http-method-override": "DELETE", "x-mlflow-workspace": "team-b"},
    )  # fmt: skip
    assert answer.status_code == 200
    sent = door.passed()
    assert str(sent.url) == f"http://mlflow.test/base{API}runs/create"
    assert json.loads(sent.content) == {"experiment_id": "0"}
    assert sent.headers["x-mlflow-workspace"] == "default"
    assert not {"authorization", "cookie", "x-http-method-override"} & set(sent.headers)
    assert "set-cookie" not in answer.headers


def test_every_request_is_within_the_workspace_of_who_asks(door: Door) -> None:
    door.ask("POST", f"{API}runs/search", by="bea", json={})
    assert [(r.url.path.removeprefix("/base"), r.headers.get("x-mlflow-workspace")) for r in door.seen] == [
        (WORKSPACES, None),
        (f"{API}runs/search", "team-b"),
    ]
    assert json.loads(door.seen[0].content) == {"name": "team-b"}
    door.ask("POST", f"{API}runs/search", by="bea", json={})
    assert len(door.seen) == 3, "a workspace is made once"


def test_a_server_with_one_workspace_serves_main_alone(app: App) -> None:
    door = Door(app=app, sessions=Sessions(app.store.expiring, app.store.epoch, app.clock), divided=False)
    assert door.ask("POST", f"{API}runs/search", json={}).status_code == 200
    assert "x-mlflow-workspace" not in door.passed().headers
    refused = door.ask("POST", f"{API}runs/search", by="bea", json={})
    assert refused.status_code == 403
    assert "one workspace only" in refused.json()["message"]


def test_clients_are_told_of_one_mlflow_theirs(door: Door) -> None:
    assert door.ask("GET", "/api/3.0/mlflow/server-info").json() == {
        "workspaces_enabled": False,
        "store_type": "SqlStore",
    }


@pytest.mark.parametrize(
    ("by", "method", "path", "status"),
    [
        (None, "GET", "/", 401),
        (None, "POST", f"{API}runs/create", 401),
        ("eve", "GET", f"{API}runs/get?run_id=1", 403),
        ("vic", "GET", f"{API}runs/get?run_id=1", 200),
        ("vic", "POST", f"{API}runs/search", 200),
        ("vic", "POST", "/graphql", 200),
        ("vic", "POST", f"{API}runs/create", 403),
        ("vic", "PUT", "/api/2.0/mlflow-artifacts/artifacts/1/a.txt", 403),
        ("vic", "DELETE", "/api/2.0/mlflow-artifacts/artifacts/1/a.txt", 403),
        ("vic", "POST", "/v1/traces", 403),
        ("dev", "POST", "/v1/traces", 200),
        ("dev", "GET", "/api/2.0/mlflow-artifacts/artifacts?path=workspaces/team-b", 403),
        ("bea", "GET", "/api/2.0/mlflow-artifacts/artifacts?path=workspaces/team-b", 200),
        ("dev", "PUT", "/api/2.0/mlflow-artifacts/artifacts/1/a.txt", 200),
        ("dev", "POST", f"{API}webhooks", 403),
        ("root", "POST", "/api/3.0/mlflow/gateway/secrets/create", 403),
        ("root", "GET", "/api/3.0/mlflow/workspaces", 403),
        ("root", "GET", "/api/9.9/mlflow/anything-new", 403),
        ("root", "DELETE", "/anything", 403),
    ],
)
def test_reading_needs_a_role_writing_another_and_the_rest_is_closed(
    door: Door, by: str | None, method: str, path: str, status: int
) -> None:
    answer = door.ask(method, path, by=by, content=b"{}" if method != "GET" else None)
    assert answer.status_code == status
    if status != 200:
        assert not door.seen
        error = answer.json()
        assert error["error_code"] == {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}[status]
        assert error["message"]


PROMPT = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
NO_PROMPT = [{"key": "mlflow.prompt.is_prompt", "value": "false"}]
MOVES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "registered-models/alias", {"name": "cars", "alias": "champion", "version": "1"}),
    ("POST", "registered-models/alias", {"name": "cars", "alias": "Champion", "version": "1"}),
    ("POST", "registered-models/alias", {"name": "any", "alias": "live", "version": "1"}),
    ("POST", "registered-models/alias", {"name": "any", "alias": " production ", "version": "1"}),
    ("DELETE", "registered-models/alias", {"name": "cars", "alias": "champion"}),
    ("POST", "model-versions/transition-stage", {"name": "any", "version": "1", "stage": "Production"}),
    ("POST", "model-versions/transition-stage", {"name": "any", "version": "1", "stage": "staging"}),
    ("POST", "model-versions/transition-stage", {"name": "cars", "version": "1", "stage": "Archived"}),
    ("POST", "registered-models/rename", {"name": "cars", "new_name": "other"}),
    ("POST", "registered-models/rename", {"name": "other", "new_name": "cars"}),
    ("DELETE", "registered-models/delete", {"name": "cars"}),
    ("DELETE", "model-versions/delete", {"name": "cars", "version": LIVE}),
    ("DELETE", "model-versions/delete", {"name": "cars", "version": f"0{LIVE}"}),
    # MLflow's prompts are registered models by another tag.
    ("POST", "registered-models/create", {"name": "cars", "tags": PROMPT}),
    ("POST", "registered-models/set-tag", {"name": "cars", **PROMPT[0]}),
    ("DELETE", "registered-models/delete-tag", {"name": "cars", "key": PROMPT[0]["key"]}),
    ("POST", "model-versions/create", {"name": "cars", "source": "dummy-source", "tags": PROMPT}),
]


@pytest.mark.requirement("GOV-02")
@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"])
@pytest.mark.parametrize(("method", "path", "body"), MOVES)
def test_nobody_moves_what_production_follows(
    door: Door, prefix: str, method: str, path: str, body: dict[str, Any]
) -> None:
    before = len(door.app.store.audit.list(limit=100_000))
    answer = door.ask(method, prefix + path, by="root", json=body)
    assert answer.status_code == 403
    assert answer.json()["error_code"] == "PERMISSION_DENIED"
    assert "only an approved release moves it" in answer.json()["message"]
    assert not door.seen
    entry = door.app.store.audit.list(after=before)[-1]
    assert (entry.actor, entry.action) == ("root", "access.denied")
    assert entry.detail["action"] == "alias.move"
    assert entry.resource == f"model:{body['name']}"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "registered-models/alias", {"name": "cars", "alias": "mine", "version": "1"}),
        ("DELETE", "registered-models/alias", {"name": "any", "alias": "mine"}),
        ("POST", "registered-models/rename", {"name": "one", "new_name": "two"}),
        # In the workspace main this is nobody's: the project vans belongs to team-b, and so do its models.
        ("DELETE", "registered-models/delete", {"name": "vans"}),
        ("DELETE", "model-versions/delete", {"name": "cars", "version": "7"}),
        ("POST", "model-versions/transition-stage", {"name": "any", "version": "1", "stage": "Archived"}),
        ("POST", "model-versions/create", {"name": "cars", "source": "runs:/r/model", "run_id": "r"}),
        ("POST", "model-versions/create", {"name": "any", "source": "models:/m-1"}),
        ("POST", "model-versions/create", {"name": "any", "source": "dummy-source", "tags": PROMPT}),
        ("POST", "registered-models/create", {"name": "any", "tags": PROMPT}),
    ],
)
def test_what_production_does_not_follow_is_for_whoever_may_write(
    door: Door, method: str, path: str, body: dict[str, Any]
) -> None:
    assert door.ask(method, API + path, json=body).status_code == 200
    assert json.loads(door.passed().content) == body


ALIAS = {"name": "cars", "alias": "champion", "version": "1"}


@pytest.mark.requirement("GOV-02")
@pytest.mark.parametrize(
    ("path", "content"),
    [
        # MLflow decodes a JSON text within JSON a second time.
        ("registered-models/alias", json.dumps(json.dumps(ALIAS))),
        ("registered-models/alias", json.dumps([ALIAS])),
        ("registered-models/alias", '{"name": "cars", "alias": ["champion"], "version": "1"}'),
        ("registered-models/alias", '{"name": "cars", "alias": "mine", "alias": "champion", "version": "1"}'),
        ("registered-models/rename", '{"name": "x", "newName": "cars"}'),
        ("registered-models/alias", "{"),
        ("registered-models/alias", "\xff"),
        ("registered-models/alias", "[" * 100_000),
    ],
)
def test_another_spelling_of_the_body_changes_nothing(door: Door, path: str, content: str) -> None:
    answer = door.ask("POST", API + path, content=content.encode("latin-1"))
    assert answer.status_code in (400, 403)
    assert not door.seen


@pytest.mark.parametrize(
    "path",
    [
        "//api/2.0/mlflow/registered-models/alias",
        "/api/2.0/mlflow//registered-models/alias",
        "/api/2.0/mlflow/registered-models/%2561lias",
        "/api/2.0/mlflow/registered-models%2Falias",
        "/api/2.0/mlflow/x/%2e%2e/registered-models/alias",
    ],
)
def test_another_spelling_of_the_path_is_refused_or_read_as_mlflow_does(door: Door, path: str) -> None:
    assert door.ask("POST", path, json=ALIAS).status_code == 403
    assert not door.seen


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "runs/set-tag", {"run_id": "r", "key": "headrace.run_id", "value": "x"}),
        ("POST", "runs/create", {"experiment_id": "0", "tags": [{"key": "Headrace.run_id", "value": "x"}]}),
        ("POST", "runs/log-batch", {"run_id": "r", "tags": [{"key": "headrace.logged", "value": "x"}]}),
        ("POST", "model-versions/set-tag", {"name": "cars", "version": "1", "key": "headrace.package"}),
        ("DELETE", "model-versions/delete-tag", {"name": "cars", "version": "1", "key": "headrace.version"}),
        ("DELETE", "logged-models/m-1/tags/headrace.version", {}),
        ("PATCH", "traces/t/tags", {"key": "mlflow.artifactLocation", "value": "file:///etc"}),
        ("POST", "experiments/create", {"name": "x", "artifact_location": "file:///etc"}),
        ("POST", "model-versions/create", {"name": "cars", "source": "file:///etc"}),
        ("POST", "model-versions/create", {"name": "cars", "source": "/etc"}),
        ("POST", "model-versions/create", {"name": "cars", "source": "http://host/x"}),
        ("POST", "model-versions/create", {"name": "any", "source": "file:///etc", "tags": PROMPT}),
        ("POST", "model-versions/create", {"name": "any", "source": "runs:/r/model", "tags": PROMPT}),
        ("POST", "model-versions/create", {"name": "any", "source": "file:///etc", "tags": NO_PROMPT}),
        (
            "POST",
            "traces/link-prompts",
            {"trace_id": "t", "tags": {"mlflow.trace.archiveLocation": "file:///"}},
        ),
    ],
)
def test_what_headrace_or_mlflow_goes_by_is_not_for_clients(
    door: Door, method: str, path: str, body: dict[str, Any]
) -> None:
    assert door.ask(method, API + path, json=body).status_code == 403
    assert not door.seen


@pytest.mark.requirement("GOV-02")
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("at", ["", "workspaces/default/", "workspaces/team-b/"])
def test_the_packages_that_headrace_registered_are_not_for_clients(door: Door, method: str, at: str) -> None:
    path = f"/api/2.0/mlflow-artifacts/artifacts/{at}headrace/cars/1/model.onnx"
    assert door.ask(method, path, content=b"").status_code == 403
    assert not door.seen
    assert door.ask("GET", path).status_code == (403 if "team-b" in at else 200)


def test_an_upload_passes_through_as_it_is(door: Door) -> None:
    body = bytes(range(256)) * 1000
    path = "/api/2.0/mlflow-artifacts/artifacts/1/a%20b.bin"
    assert door.ask("PUT", path, content=body, headers={"content-type": "image/png"}).status_code == 200
    sent = door.passed()
    assert sent.content == body
    assert sent.url.raw_path == b"/base" + path.encode()
    assert sent.headers["content-type"] == "image/png"


def test_mlflow_that_is_down_is_said_in_its_own_words(door: Door) -> None:
    door.down = True
    answer = door.ask("POST", f"{API}runs/search", json={})
    assert answer.status_code == 503
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"


def test_a_browser_reads_and_writes_from_the_same_origin_alone(door: Door) -> None:
    cookie = {"cookie": f"{COOKIE}={door.sessions.open('dev')}"}
    assert door.ask("GET", "/", by=None, headers=cookie).status_code == 200
    body: dict[str, Any] = {"experiment_id": "0"}
    path = f"{API}runs/create"
    foreign = {"sec-fetch-site": "cross-site", "origin": "http://evil.test"}
    assert door.ask("POST", path, by=None, headers=cookie | foreign, json=body).status_code == 403
    own = {"sec-fetch-site": "same-origin"}
    assert door.ask("POST", path, by=None, headers=cookie | own, json=body).status_code == 200


def test_only_mlflows_own_page_may_run_scripts(door: Door) -> None:
    page = door.ask("GET", "/").headers["content-security-policy"]
    assert "script-src testserver/mlflow/static-files/;" in page
    for path in ("/get-artifact?path=x.html&run_id=r", "/api/2.0/mlflow-artifacts/artifacts/1/x.html"):
        held = door.ask("GET", path).headers
        assert held["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert held["x-content-type-options"] == "nosniff"


def test_the_bare_address_leads_to_the_page(door: Door) -> None:
    answer = door.ask("GET", "")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/mlflow/"


def test_no_route_opens_without_an_identity_or_with_a_token_that_has_ended(door: Door) -> None:
    long_ago = FakeClock(door.app.clock.now() - timedelta(hours=1))
    tokens = make_tokens(door.app.settings.home / "keys", long_ago)
    ended = tokens.issue(door.app.identities.resolve("root"))
    for headers in ({}, {"authorization": f"Bearer {ended}"}, {"cookie": f"{COOKIE}=guessed"}):
        for route in routes():
            path = route.pattern.replace("{*}", "any/thing").replace("{}", "any")
            answer = door.ask(route.method, path, by=None, headers=headers)
            assert answer.status_code == 401, (route, headers)
    assert not door.seen


@pytest.mark.requirement("REG-08")
def test_whoever_registers_a_version_is_told_what_follows(door: Door) -> None:
    body = {"name": "cars", "source": "runs:/r/model", "run_id": "r"}
    answer = door.ask("POST", f"{API}model-versions/create", json=body)
    assert answer.headers["x-headrace-build"] == "build:cars:mlflow:cars:4"
    assert answer.json() == {"model_version": {"name": "cars", "version": "4"}}
    assert door.told == [("dev", "cars", "4")]
    door.ask("POST", f"{API}runs/search", json={})
    door.ask("POST", f"{API}model-versions/create", by="vic", json=body)
    assert len(door.told) == 1
