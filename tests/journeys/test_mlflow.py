"""An unchanged MlflowClient through the door: it logs, it registers, and moves nothing that is followed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Error, Response, expect

from headrace.app.composition import open_app
from headrace.app.operations import declare
from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.data.sources import read_file
from headrace.training.package import load_scorer
from headrace.web.mlflow_routes import find_route
from tests.journeys.conftest import Shell
from tests.journeys.server import served
from tests.journeys.tables import write_cars
from tests.web.browsing import chrome

pytestmark = [
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own code, on the newest of everything
]


@dataclass(frozen=True, kw_only=True)
class Team:
    """A project that is live, one that has nothing live yet, and a server that two workspaces reach."""

    shell: Shell
    url: str
    sign_in: str
    become: Callable[[str], None]
    token: Callable[[str], str]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("mlflow")
    shell = Shell(home=folder / "home", folder=folder)
    write_cars(folder / "cars.csv")
    made = shell(
        "init", "cars", "--data", "cars.csv", "--target", "price", "--time", "sold", "--key", "car_id"
    )
    assert made.code == 0, made.err
    project = Shell(home=shell.home, folder=folder / "cars")
    ran = project("run")
    assert ran.code == 4, ran.err + ran.out
    made = shell(
        "init", "vans", "--data", "cars.csv", "--target", "price", "--time", "sold", "--key", "car_id"
    )
    assert made.code == 0, made.err
    environment = {"HEADRACE_HOME": str(shell.home), "HEADRACE_USER": "ann"}
    with open_app(read_settings(environment)) as app, pytest.MonkeyPatch.context() as patch:
        declare(app, app.me(), folder / "vans")
        app.identities.add("dev", ["developer", "validator"], actor="ann")
        app.identities.add("vera", ["validator"], actor="ann")
        app.identities.add("bea", ["developer", "admin"], actor="ann", workspace="team-b")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

        def token(name: str) -> str:
            return app.tokens.issue(app.identities.resolve(name))

        with served(project) as said:
            url = said["url"]
            (waiting,) = app.store.releases.list("cars")
            release, bearer = waiting.id, {"authorization": f"Bearer {token('vera')}"}
            ticked = httpx.post(
                f"{url}/api/v1/releases/{release}/flight", headers=bearer, timeout=60, trust_env=False,
                json={"note": "looked at the rows"},
            )  # fmt: skip
            assert ticked.status_code == 200, ticked.text
            decided = httpx.post(
                f"{url}/api/v1/releases/{release}/approve", headers=bearer, timeout=60, trust_env=False
            )
            assert decided.json()["state"] == "live", decided.text
            patch.setenv("MLFLOW_TRACKING_URI", f"{url}/mlflow")
            assert _pids(shell.home) == [], "nothing of MLflow's server runs before somebody asks for it"
            yield Team(
                shell=project,
                url=url,
                sign_in=said["sign_in"],
                become=lambda name: patch.setenv("MLFLOW_TRACKING_TOKEN", token(name)),
                token=token,
            )


@pytest.mark.requirement("EXP-06")
@pytest.mark.requirement("GOV-02")
@pytest.mark.requirement("REG-08")
@pytest.mark.requirement("ORG-13")
def test_an_unchanged_client_logs_and_registers_and_moves_nothing(team: Team, tmp_path: Path) -> None:
    import mlflow
    from mlflow import MlflowClient
    from sklearn.linear_model import LinearRegression

    team.become("dev")
    client = MlflowClient(f"{team.url}/mlflow", f"{team.url}/mlflow")
    champion = _champion(client)
    assert champion.tags["headrace.version"] == "1"

    # Runs, artefacts and models: as ever.
    mlflow.set_tracking_uri(f"{team.url}/mlflow")
    mlflow.set_experiment("notebook")
    exported = team.shell("model", "export", "cars@1", "--to", str(tmp_path / "cars"))
    assert exported.code == 0, exported.err
    rows = read_file(team.shell.folder / "data" / "cars.csv")
    X = load_scorer(tmp_path / "cars" / "model.package").encoding.encode(rows)
    with mlflow.start_run() as run:
        mlflow.log_metric("mae", 3.5)
        mlflow.log_text("seen", "notes/seen it.txt")
        model = LinearRegression().fit(X, np.asarray(rows["price"], dtype=np.float64))
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name="cars", pip_requirements=["scikit-learn"]
        )
    assert client.get_run(run.info.run_id).data.metrics == {"mae": 3.5}
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/seen it.txt") == "seen"

    # What MLflow holds of ours answers as the endpoint does.
    import pandas as pd

    inputs = [spec.name for spec in load_scorer(tmp_path / "cars" / "model.package").inputs]
    frame = pd.DataFrame({name: rows[name] for name in inputs}).head(3)
    assert mlflow.pyfunc.load_model("models:/cars@champion").predict(frame).shape == (3,)

    assert_nobody_moves_the_champion(team, client, champion)
    assert_another_workspace_sees_nothing(team, client, champion, run)

    # The version that was registered went through the gates: it takes fuel for a number, and is worse for it.
    release = _release_of(team, "cars", "models:/cars/2")
    assert release["state"] == "refused"
    assert release["reason"].startswith("champion: mae against model:cars@1")
    assert release["author"] == "dev"

    # A server that dies is started again.
    (pid,) = _pids(team.shell.home)
    os.kill(pid, signal.SIGKILL)
    team.become("dev")
    assert client.get_run(run.info.run_id).data.metrics == {"mae": 3.5}
    assert _pids(team.shell.home) not in ([], [pid])


@pytest.mark.requirement("REG-08")
@pytest.mark.requirement("GOV-02")
@pytest.mark.requirement("REG-02")
def test_a_registered_model_goes_live_by_a_release_that_somebody_else_approves(
    team: Team, tmp_path: Path
) -> None:
    import mlflow
    from lightgbm import LGBMRegressor
    from mlflow import MlflowClient

    # A notebook as it is: fitted on the older rows alone, logged and registered in one call.
    team.become("dev")
    mlflow.set_tracking_uri(f"{team.url}/mlflow")
    mlflow.set_experiment("vans by hand")
    exported = team.shell("model", "export", "cars@1", "--to", str(tmp_path / "cars"))
    assert exported.code == 0, exported.err
    rows = read_file(team.shell.folder / "data" / "cars.csv")
    X = load_scorer(tmp_path / "cars" / "model.package").encoding.encode(rows)
    y = np.asarray(rows["price"], dtype=np.float64)
    older = np.argsort(np.asarray(rows["sold"]).astype(str))[: int(0.6 * len(y))]
    with mlflow.start_run():
        mlflow.log_params({"n_estimators": 200})
        model = LGBMRegressor(n_estimators=200, verbosity=-1).fit(X[older], y[older])
        mlflow.lightgbm.log_model(
            model, name="model", registered_model_name="vans", pip_requirements=["lightgbm"]
        )

    # It is scanned, evaluated and put through the gates, and waits; whoever made it cannot decide on it.
    release = _release_of(team, "vans", "models:/vans/1")
    assert release["state"] == "waiting", release["reason"]
    assert release["author"] == "dev"
    assert release["manifest"]["cause"] == "registered in MLflow: vans version 1"
    client = MlflowClient(f"{team.url}/mlflow", f"{team.url}/mlflow")
    verdicts = _asked(team, "dev", "GET", f"/api/v1/releases/{release['id']}").json()["verdicts"]
    outcomes = {verdict["gate"]: verdict["outcome"] for verdict in verdicts}
    assert outcomes["baseline"] == "passed", "it beats the simplest variant"
    assert outcomes["package"] == "passed"
    own = _asked(team, "dev", "POST", f"/api/v1/releases/{release['id']}/approve")
    assert own.status_code == 403
    assert "own work" in own.json()["detail"]

    noted = {"note": "looked at the rows"}
    assert (
        _asked(team, "vera", "POST", f"/api/v1/releases/{release['id']}/flight", json=noted).status_code
        == 200
    )
    # Somebody else approves: the alias follows, onto the version that Headrace itself has registered.
    decided = _asked(team, "vera", "POST", f"/api/v1/releases/{release['id']}/approve")
    assert decided.json()["state"] == "live", decided.text
    champion = _champion(client, "vans")
    assert champion.tags["headrace.package"] == release["manifest"]["subject"]["package"]["digest"]
    assert _tag(client, "headrace.release") == release["id"]
    active = team.shell("model", "active", "--json").json
    (vans,) = [one for one in active if one["project"] == "vans"]
    assert (vans["mlflow_version"], vans["mlflow_alias"]) == (champion.version, "champion")
    assert vans["approved_by"] == ["vera"]

    for name in ("dev", "ann", "bea"):
        assert_no_endpoint_moves_the_champion(team, name, champion.version)
    team.become("dev")
    still = client.get_model_version_by_alias("vans", "champion")
    assert (still.version, still.source, still.current_stage) == (champion.version, champion.source, "None")
    assert [model.name for model in client.search_registered_models()] == ["cars", "vans"]


@pytest.mark.browser
@pytest.mark.requirement("MCP-06", "UI-06")
def test_mlflows_own_pages_show_the_experiments_of_ones_own_workspace(team: Team, chromium: Path) -> None:
    for name, experiment in (("dev", "seen by us"), ("bea", "seen by them")):
        made = _asked(
            team, name, "POST", "/mlflow/api/2.0/mlflow/experiments/create", json={"name": experiment}
        )
        assert made.status_code == 200, made.text
    run_id, experiment_id = _trained(team)
    errors: list[Error] = []
    asked: list[str] = []
    refused: list[tuple[str, str]] = []

    def answered(answer: Response) -> None:
        asked.append(answer.url)
        if answer.status >= 400:
            refused.append((answer.request.method, httpx.URL(answer.url).path.removeprefix("/mlflow")))

    with chrome(chromium) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - playwright needs a function
        page.on("response", answered)
        page.goto(team.sign_in)
        page.wait_for_url(f"{team.url}/")
        page.goto(f"{team.url}/mlflow/#/experiments")
        expect(page.get_by_text("seen by us")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("seen by them")).to_have_count(0)
        page.goto(f"{team.url}/mlflow/#/experiments/{experiment_id}/runs/{run_id}/model-metrics")
        expect(page.locator(".js-plotly-plot .scatterlayer path.js-line").first).to_be_visible(timeout=60_000)
        expect(page.get_by_text("valid_loss").first).to_be_visible()
        page.goto(f"{team.url}/mlflow/#/models")
        expect(page.get_by_role("link", name="cars", exact=True)).to_be_visible(timeout=60_000)
    assert errors == []
    assert [url for url in asked if not url.startswith((team.url, "data:", "blob:"))] == []
    # MLflow asks for more than it serves; what it serves and we do not close works.
    assert [request for request in refused if _is_open(*request)] == []


def _trained(team: Team) -> tuple[str, str]:
    """Log a run of six steps; ids of it and of its experiment."""
    path = "/mlflow/api/2.0/mlflow"
    made = _asked(team, "dev", "POST", f"{path}/experiments/create", json={"name": "by step"}).json()
    wanted = {"experiment_id": made["experiment_id"], "start_time": 1_700_000_000_000}
    run = _asked(team, "dev", "POST", f"{path}/runs/create", json=wanted).json()["run"]["info"]["run_id"]
    metrics = [
        {"key": "valid_loss", "value": 1 / (step + 1), "step": step, "timestamp": 1_700_000_000_000 + step}
        for step in range(6)
    ]
    logged = _asked(team, "dev", "POST", f"{path}/runs/log-batch", json={"run_id": run, "metrics": metrics})
    assert logged.status_code == 200, logged.text
    return run, made["experiment_id"]


def _is_open(method: str, path: str) -> bool:
    route = find_route(method, path)
    return route is not None and route.kind != "closed"


def assert_no_endpoint_moves_the_champion(team: Team, name: str, version: str) -> None:
    """By every way to say it that MLflow, an older MLflow, a catalogue or a proxy might understand."""
    alias = {"name": "vans", "alias": "champion", "version": "1"}
    one = {"name": "vans", "version": version}
    prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    staged = {**one, "stage": "Production", "archive_existing_versions": True}
    ways: list[tuple[str, str, dict[str, Any]]] = [
        *[("POST", path.replace("@", "registered-models/alias"), alias) for path in PATHS],
        ("DELETE", "/api/2.0/mlflow/registered-models/alias", {"name": "vans", "alias": "champion"}),
        ("DELETE", "/ajax-api/2.0/mlflow/registered-models/alias", {"name": "vans", "alias": "CHAMPION"}),
        ("POST", "/api/2.0/mlflow/registered-models/alias", {**alias, "alias": "Champion"}),
        ("POST", "/api/2.0/mlflow/registered-models/alias", {**alias, "alias": " champion"}),
        ("POST", "/api/2.0/mlflow/model-versions/transition-stage", staged),
        ("POST", "/api/2.0/preview/mlflow/model-versions/transition-stage", staged),
        ("DELETE", "/api/2.0/mlflow/model-versions/delete", one),
        ("DELETE", "/api/2.0/mlflow/model-versions/delete", {**one, "version": f"0{version}"}),
        ("DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": "vans"}),
        ("POST", "/api/2.0/mlflow/registered-models/rename", {"name": "vans", "new_name": "gone"}),
        ("POST", "/api/2.0/mlflow/registered-models/rename", {"name": "vans", "newName": "gone"}),
        ("PATCH", "/api/2.0/mlflow/registered-models/update", {"name": "vans", "aliases": [alias]}),
        ("POST", "/api/2.0/mlflow/registered-models/set-tag", {"name": "vans", **prompt}),
        ("POST", "/api/2.0/mlflow/model-versions/create", {**alias, "source": "/etc", "tags": [prompt]}),
        ("POST", "/graphql", {"query": 'mutation { setRegisteredModelAlias(name: "vans") { name } }'}),
        ("POST", "/api/2.1/unity-catalog/models/vans/aliases/champion", alias),
        ("PUT", "/api/2.0/mlflow/unity-catalog/registered-models/alias", alias),
        ("POST", "/api/2.0/mlflow/unity-catalog/prompts/vans/aliases", alias),
    ]
    for method, path, body in ways:
        answer = _asked(team, name, method, f"/mlflow{path}", json=body)
        elsewhere = name == "bea" and answer.status_code == 404  # her workspace has no such model
        passed = path == "/graphql" or path.endswith("/update")  # MLflow itself has no such thing there
        assert passed or elsewhere or answer.status_code in (400, 403), (method, path, answer.text)
    override = {"x-http-method-override": "POST", "x-method-override": "DELETE"}
    at = "/mlflow/api/2.0/mlflow/registered-models/alias?name=vans&alias=champion&version=1"
    _asked(team, name, "GET", at, headers=override)


PATHS = (
    "/api/2.0/mlflow/@", "/ajax-api/2.0/mlflow/@", "/api/2.0/preview/mlflow/@", "/api/3.0/mlflow/@",
    "/API/2.0/mlflow/@", "//api/2.0/mlflow/@", "/api/2.0//mlflow/@", "/api/2.0/mlflow/./@",
    "/api/2.0/mlflow/x/../@", "/api/2.0/mlflow/@/", "/api/2.0/mlflow/%2e/@", "/api%2F2.0/mlflow/@",
    "/api/2.0/mlflow/%2572egistered-models/alias", "/mlflow/api/2.0/mlflow/@", "/api/2.0/mlflow/@;x=1",
    "/api/2.0/mlflow/@%00", "/api/2.0/mlflow/databricks-uc/@",
)  # fmt: skip
"""Addresses of one endpoint, of which MLflow serves two; @ is the endpoint."""


def _asked(team: Team, name: str, method: str, path: str, **more: Any) -> httpx.Response:
    """One request of somebody, its path as it stands."""
    headers = {"authorization": f"Bearer {team.token(name)}"} | more.pop("headers", {})
    with httpx.Client(trust_env=False, timeout=60) as client:
        url = httpx.URL(team.url)
        request = client.build_request(method, url.copy_with(raw_path=path.encode()), headers=headers, **more)
        return client.send(request)


def assert_nobody_moves_the_champion(team: Team, client: Any, champion: Any) -> None:
    from mlflow.exceptions import RestException

    # Production follows the champion; nobody but a release moves it, not even an administrator.
    moves: tuple[Callable[[], Any], ...] = (
        lambda: client.set_registered_model_alias("cars", "champion", "2"),
        lambda: client.delete_registered_model_alias("cars", "champion"),
        lambda: client.transition_model_version_stage("cars", "2", "Production"),
        lambda: client.rename_registered_model("cars", "vans"),
        lambda: client.delete_registered_model("cars"),
        lambda: client.delete_model_version("cars", champion.version),
    )
    for name in ("dev", "ann"):
        team.become(name)
        for refused in moves:
            with pytest.raises(RestException, match="only an approved release moves it") as caught:
                refused()
            assert caught.value.error_code == "PERMISSION_DENIED"
    still = client.get_model_version_by_alias("cars", "champion")
    assert (still.version, still.source) == (champion.version, champion.source)


def assert_another_workspace_sees_nothing(team: Team, client: Any, champion: Any, run: Any) -> None:
    import mlflow

    # Another workspace sees and touches nothing of it.
    team.become("bea")
    assert client.search_registered_models() == []
    assert {one.name for one in client.search_experiments()} <= {"seen by them"}
    assert client.search_runs([run.info.experiment_id]) == []
    attempts: tuple[Callable[[], Any], ...] = (
        lambda: client.get_run(run.info.run_id),
        lambda: client.set_tag(run.info.run_id, "a", "b"),
        lambda: client.get_model_version("cars", champion.version),
        lambda: client.list_artifacts(run.info.run_id),
        lambda: mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/seen it.txt"),
    )
    for hidden in attempts:
        with pytest.raises(Exception, match="not found|40[03] Client Error|does not exist|No such"):
            hidden()


def _champion(client: Any, project: str = "cars") -> Any:
    """The live version; the alias is set right after the release is live."""
    from mlflow.exceptions import RestException

    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 30
    while True:
        try:
            return client.get_model_version_by_alias(project, "champion")
        except RestException:
            assert clock.monotonic_s() < deadline_s, "the alias does not follow the live release"
            clock.sleep(0.2)


def _tag(client: Any, name: str) -> str:
    """A tag of the version that came from the notebook; it is set when the build has ended."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 30
    while name not in (tags := client.get_model_version("vans", "1").tags):
        assert clock.monotonic_s() < deadline_s, f"the version does not say {name}: {tags}"
        clock.sleep(0.2)
    return str(tags[name])


def _release_of(team: Team, project: str, uri: str) -> dict[str, Any]:
    """The release of a registered version, once its gates have passed or refused it."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 60
    headers = {"authorization": f"Bearer {team.token('ann')}"}
    with httpx.Client(base_url=team.url, headers=headers, trust_env=False, timeout=30) as client:
        while clock.monotonic_s() < deadline_s:
            found = client.get(f"/api/v1/releases?project={project}").json()
            mine = [r for r in found if r["manifest"]["params"].get("model") == uri]
            if mine and mine[0]["state"] != "proposed":
                return dict(mine[0])
            clock.sleep(0.3)
    raise AssertionError(f"there is no release of {uri}: {found}")


def _pids(home: Path) -> list[int]:
    """Processes of MLflow's server over this home."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"headrace.plugins.mlflow_server" in command and str(home).encode() in command:
                found.append(int(folder.name))
    return found
