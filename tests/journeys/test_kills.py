"""``kill -9`` at every step and at random moments: it goes on, nothing twice, nothing half done."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.core.settings import read_settings
from tests.journeys.conftest import Shell, recorded_ids
from tests.journeys.server import client_of, free_port, serving

pytestmark = [
    pytest.mark.journey,
    # MLflow's own client, which asks the registry here, uses what SQLAlchemy 2.1 has deprecated.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
HARNESS = Path(__file__).with_name("killed.py")
MOST_STEPS = 40


def run_killed_at(shell: Shell, step: int, *arguments: str) -> int:
    """Run a command that dies after the effect of its ``step``-th step."""
    ended = subprocess.run(
        [sys.executable, str(HARNESS), str(step), *arguments],
        cwd=shell.folder,
        env=shell.env(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    return ended.returncode


def state_of(shell: Shell) -> dict[str, Any]:
    """What the home holds, by the public commands."""
    return {
        "releases": shell("release", "ls", "cars", "--json").json,
        "models": shell("model", "ls", "cars", "--json").json,
        "runs": shell("model", "runs", "cars", "--json").json,
        "snapshots": shell("data", "ls", "cars", "--json").json,
    }


def registered_in_mlflow(shell: Shell) -> list[str]:
    """Version numbers that the tracker knows."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(read_settings(shell.env()).mlflow_url)
    return sorted(str(v.version) for v in client.search_model_versions("name = 'cars'"))


def assert_built_once(shell: Shell) -> None:
    state = state_of(shell)
    assert [release["state"] for release in state["releases"]] == ["waiting"]
    assert [model["version"] for model in state["models"]] == [1]
    assert sorted((run["variant"], run["state"]) for run in state["runs"]) == [
        ("baseline", "finished"),
        ("linear", "finished"),
    ]
    assert len(state["snapshots"]) == 1
    assert registered_in_mlflow(shell) == ["1"]
    assert shell("audit", "verify").code == 0
    scratch = shell.home / "scratch"
    assert not scratch.exists() or not any(scratch.iterdir())


@pytest.mark.slow
def test_killed_after_the_effect_of_every_step_of_a_run(cars: Shell) -> None:
    kills = 0
    for step in range(1, MOST_STEPS):
        # The step that was killed comes again, and is recorded now; the one after it dies next.
        code = run_killed_at(cars, min(step, 2), "run")
        if code == -signal.SIGKILL:
            kills += 1
            continue
        assert code == 4, f"attempt {step} ended with {code}"
        break
    assert kills >= 10
    assert_built_once(cars)


def test_killed_after_the_effect_of_every_step_of_a_delivery(cars: Shell) -> None:
    assert cars("run").code == 4
    release = cars("release", "ls", "--json").json[0]["id"]
    assert cars("release", "tick", release, "--note", "looked at the rows").code == 0
    codes = []
    for step in range(1, MOST_STEPS):
        code = run_killed_at(cars, min(step, 2), "release", "approve", release, "--as", "reviewer")
        codes.append(code)
        if codes[-1] != -signal.SIGKILL:
            break
    assert codes.count(-signal.SIGKILL) >= 3
    shown = cars("release", "show", release, "--json").json
    assert shown["release"]["state"] == "live"
    assert [approval["approver"] for approval in shown["approvals"]] == ["reviewer"]
    assert shown["rollout"]["state"] == "promoted"
    assert cars("audit", "verify").code == 0


@pytest.mark.slow
def test_killed_at_random_moments(cars: Shell) -> None:
    dice = random.Random(20130501)
    kills = 0
    while kills < 25:
        process = cars.start(["run"])
        try:
            process.wait(timeout=dice.uniform(0.2, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:
            assert process.returncode == 4
        finally:
            if process.stdout is not None:
                process.stdout.close()
        # Also one that was killed when its release waited already.
        for release in cars("release", "ls", "cars", "--json").json:
            if release["state"] == "waiting":
                assert cars("release", "reject", release["id"], "--as", "reviewer").code == 0
    ended = cars("run")
    assert ended.code == 4, ended.err
    state = state_of(cars)
    assert state["releases"][0]["state"] == "waiting"
    assert {release["state"] for release in state["releases"][1:]} <= {"rejected"}
    versions = [model["version"] for model in state["models"]]
    assert versions == list(range(1, len(versions) + 1))
    assert len(versions) == len(state["releases"]), "no half-registered release"
    assert registered_in_mlflow(cars) == sorted(str(v) for v in versions)
    assert {run["state"] for run in state["runs"]} == {"finished"}
    assert cars("audit", "verify").code == 0


@pytest.mark.slow
@pytest.mark.requirement("DEP-02")
@pytest.mark.requirement("SRV-06")
def test_a_server_killed_again_and_again_finishes_the_rollout_and_loses_no_answer(cars: Shell) -> None:
    charter = cars.folder / "headrace.yaml"
    quick = charter.read_text().replace("min_requests: 50", "min_requests: 4")
    charter.write_text(quick.replace("interval_s: 5.0", "interval_s: 0.2"))
    for alpha in ("1.0", "2.0"):
        charter.write_text(charter.read_text().replace("alpha: 1.0", f"alpha: {alpha}"))
        assert cars("run").code == 4
        release = cars("release", "ls", "--json").json[0]["id"]
        assert cars("release", "tick", release, "--note", "looked at the rows").code == 0
        assert cars("release", "approve", release, "--as", "reviewer").code == 0
    assert cars("release", "show", release, "--json").json["release"]["state"] == "rolling_out"

    acknowledged: list[str] = []
    kills = 0
    for life in range(12):
        port = free_port()
        # Each life is a little longer: the first ones die while they take over, later ones between looks.
        process = subprocess.Popen(
            [sys.executable, str(HARNESS), str(2 + 2 * life), "up", "--json", "--port", str(port)],
            cwd=cars.folder,
            env=cars.env(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        acknowledged += answers_until_it_dies(process, cars, port)
        kills += process.wait(timeout=30) == -signal.SIGKILL
        if cars("release", "show", release, "--json").json["release"]["state"] == "live":
            break
    assert kills >= 3
    shown = cars("release", "show", release, "--json").json
    assert shown["release"]["state"] == "live"
    looks = [v for v in shown["verdicts"] if v["gate"].startswith("canary look")]
    assert [v["outcome"] for v in looks] == ["passed", "passed"]
    assert cars("release", "ls", "cars", "--json").json[1]["state"] == "superseded"
    with serving(cars) as url, client_of(cars, url, "ann") as client:
        logged = client.get("/api/v1/projects/cars/predictions/count").json()["requests"]
    assert logged >= len(set(acknowledged)) > 0
    rows = recorded_ids(cars)
    assert set(acknowledged) <= rows


def answers_until_it_dies(process: subprocess.Popen[bytes], shell: Shell, port: int) -> list[str]:
    """Ids of answers that arrived while the server lived (bounded in number and time)."""
    body = {
        "inputs": [
            {"name": "year", "shape": [1], "datatype": "FP64", "data": [2015.0]},
            {"name": "mileage", "shape": [1], "datatype": "FP64", "data": [50_000.0]},
            {"name": "fuel", "shape": [1], "datatype": "BYTES", "data": ["Petrol"]},
        ]
    }
    ids: list[str] = []
    with client_of(shell, f"http://127.0.0.1:{port}", "ann") as client:
        end = time.monotonic() + 40
        while process.poll() is None and len(ids) < 3_000 and time.monotonic() < end:
            keyed = body | {"parameters": {"key": f"k{len(ids)}"}}
            try:
                answer = client.post("/v2/models/cars/infer", json=keyed)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 200:
                ids.append(answer.json()["id"])
    if process.poll() is None:
        process.kill()
    return ids
