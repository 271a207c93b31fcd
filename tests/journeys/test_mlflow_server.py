"""HEADRACE_MLFLOW_URL: a server that the team has started itself, behind the door."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.app.composition import open_app
from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from tests.journeys.conftest import Shell
from tests.journeys.server import free_port, serving

pytestmark = [
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own code, on the newest of everything
]


@contextmanager
def mlflow_server(folder: Path, *more: str) -> Iterator[str]:
    """``mlflow server`` on loopback, as a team starts it; its address."""
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'team.sqlite'}",
        "--artifacts-destination", str(folder / "kept"), *more,
    ]  # fmt: skip
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.requirement("EXP-06", "ORG-16")
@pytest.mark.requirement("GOV-02")
@pytest.mark.requirement("MCP-06")
def test_the_team_s_own_server_is_served_through_the_same_door(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import RestException

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with mlflow_server(tmp_path, "--enable-workspaces") as theirs:
        shell.environment["HEADRACE_MLFLOW_URL"] = theirs
        environment = {"HEADRACE_HOME": str(shell.home), "HEADRACE_USER": "ann"}
        with open_app(read_settings(environment)) as app, serving(shell) as url:
            app.me()
            app.identities.add("dev", ["developer"], actor="ann")
            app.identities.add("bea", ["developer"], actor="ann", workspace="team-b")

            def become(name: str) -> None:
                token = app.tokens.issue(app.identities.resolve(name))
                monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)

            become("dev")
            mlflow.set_tracking_uri(f"{url}/mlflow")
            mlflow.set_experiment("notebook")
            with mlflow.start_run() as run:
                mlflow.log_metric("mae", 3.5)
                mlflow.log_text("seen", "notes/seen it.txt")
            client = MlflowClient(f"{url}/mlflow", f"{url}/mlflow")
            client.create_registered_model("cars")
            client.create_model_version("cars", f"runs:/{run.info.run_id}/notes", run_id=run.info.run_id)
            assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/seen it.txt") == "seen"

            # It is the team's server that has it.
            direct = httpx.get(
                f"{theirs}/api/2.0/mlflow/runs/get", params={"run_id": run.info.run_id}, trust_env=False
            )
            assert direct.json()["run"]["data"]["metrics"][0]["value"] == 3.5

            with pytest.raises(RestException, match="only an approved release moves it") as refused:
                client.set_registered_model_alias("cars", "champion", "1")
            assert refused.value.error_code == "PERMISSION_DENIED"

            become("bea")
            assert client.search_experiments() == []
            assert client.search_registered_models() == []
            hidden: tuple[Callable[[], Any], ...] = (
                lambda: client.get_run(run.info.run_id),
                lambda: client.set_tag(run.info.run_id, "a", "b"),
                lambda: mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/seen it.txt"),
            )
            for attempt in hidden:
                with pytest.raises(Exception, match="not found|400 Client|403 Client|does not exist|No such"):
                    attempt()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 120
    while process.poll() is None and clock.monotonic_s() < deadline_s:
        with suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        clock.sleep(0.2)
    raise AssertionError(f"mlflow server does not answer at {url}")
