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

from headrace.app.composition import open_app
from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.data.sources import read_file
from headrace.training.package import load_scorer
from tests.journeys.conftest import Shell
from tests.journeys.server import serving
from tests.journeys.tables import write_cars

pytestmark = [
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own code, on the newest of everything
]


@dataclass(frozen=True, kw_only=True)
class Team:
    """A project that is live, and a server that people of two workspaces reach."""

    shell: Shell
    url: str
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
    environment = {"HEADRACE_HOME": str(shell.home), "HEADRACE_USER": "ann"}
    with open_app(read_settings(environment)) as app, pytest.MonkeyPatch.context() as patch:
        app.identities.add("dev", ["developer"], actor="ann")
        app.identities.add("vera", ["validator"], actor="ann")
        app.identities.add("bea", ["developer", "admin"], actor="ann", workspace="team-b")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

        def token(name: str) -> str:
            return app.tokens.issue(app.identities.resolve(name))

        with serving(project) as url:
            (waiting,) = app.store.releases.list("cars")
            release, bearer = waiting.id, {"authorization": f"Bearer {token('vera')}"}
            decided = httpx.post(
                f"{url}/api/v1/releases/{release}/approve", headers=bearer, timeout=60, trust_env=False
            )
            assert decided.json()["state"] == "live", decided.text
            patch.setenv("MLFLOW_TRACKING_URI", f"{url}/mlflow")
            yield Team(
                shell=project,
                url=url,
                become=lambda name: patch.setenv("MLFLOW_TRACKING_TOKEN", token(name)),
                token=token,
            )


@pytest.mark.requirement("EXP-06")
@pytest.mark.requirement("GOV-02")
@pytest.mark.requirement("REG-08")
def test_an_unchanged_client_logs_and_registers_and_moves_nothing(team: Team, tmp_path: Path) -> None:
    import mlflow
    from mlflow import MlflowClient
    from sklearn.linear_model import LinearRegression

    assert _pids(team) == [], "nothing of MLflow's server runs before somebody asks for it"
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
    release = _release_of(team, "models:/cars/2")
    assert release["state"] == "refused"
    assert release["reason"].startswith("champion: mae against model:cars@1")
    assert release["author"] == "dev"

    # A server that dies is started again.
    (pid,) = _pids(team)
    os.kill(pid, signal.SIGKILL)
    team.become("dev")
    assert client.get_run(run.info.run_id).data.metrics == {"mae": 3.5}
    assert _pids(team) not in ([], [pid])


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
    assert client.search_experiments() == []
    assert client.search_runs([run.info.experiment_id]) == []
    attempts: tuple[Callable[[], Any], ...] = (
        lambda: client.get_run(run.info.run_id),
        lambda: client.set_tag(run.info.run_id, "a", "b"),
        lambda: client.get_model_version("cars", champion.version),
        lambda: client.list_artifacts(run.info.run_id),
        lambda: mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/seen it.txt"),
    )
    for hidden in attempts:
        with pytest.raises(Exception, match="not found|400 Client Error|does not exist|No such"):
            hidden()


def _champion(client: Any) -> Any:
    """The live version; the alias is set right after the release is live."""
    from mlflow.exceptions import RestException

    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 30
    while True:
        try:
            return client.get_model_version_by_alias("cars", "champion")
        except RestException:
            assert clock.monotonic_s() < deadline_s, "the alias does not follow the live release"
            clock.sleep(0.2)


def _release_of(team: Team, uri: str) -> dict[str, Any]:
    """The release of a registered version, once its gates have passed or refused it."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 60
    headers = {"authorization": f"Bearer {team.token('ann')}"}
    with httpx.Client(base_url=team.url, headers=headers, trust_env=False, timeout=30) as client:
        while clock.monotonic_s() < deadline_s:
            found = client.get("/api/v1/releases?project=cars").json()
            mine = [r for r in found if r["manifest"]["params"].get("model") == uri]
            if mine and mine[0]["state"] != "proposed":
                return dict(mine[0])
            clock.sleep(0.3)
    raise AssertionError(f"there is no release of {uri}: {found}")


def _pids(team: Team) -> list[int]:
    """Processes of MLflow's server over this home."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"headrace.plugins.mlflow_server" in command and str(team.shell.home).encode() in command:
                found.append(int(folder.name))
    return found
