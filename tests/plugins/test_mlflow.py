"""The tracker against a real MLflow database, also from several processes at once."""

from __future__ import annotations

import json
import math
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace.core.data import Artifact, ModelVersion, Point, Run
from headrace.core.errors import Conflict, InvalidInput, Unavailable
from headrace.plugins.mlflow import MlflowTracker, workspace_name
from headrace.testing.suites.tracker import TrackerSuite
from tests.pace import until

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FILE = Artifact(digest="ab" * 32, size_bytes=3, media_type="text/plain")

pytestmark = [
    # MLflow's own code, on the newest SQLAlchemy and Python.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def run_named(run_id: str = "run-1", project: str = "cars", **changes: Any) -> Run:
    run = Run(
        id=run_id,
        build_id="build-1",
        project=project,
        variant="lightgbm",
        cause="manual",
        author="ann",
        state="finished",
        fingerprint="f" * 64,
        snapshot_id="snapshot-1",
        code=FILE,
        environment=FILE,
        params={"n_estimators": 20, "kind": "gbdt"},
        seed=7,
        started_at=NOW,
        finished_at=NOW,
        package=FILE,
        metrics={"mae": 1.5, "rmse": 2.5},
        timings_s={"train": 0.25},
    )
    return replace(run, **changes)


def model_of(run_id: str = "run-1", version: int = 1, project: str = "cars") -> ModelVersion:
    return ModelVersion(project=project, version=version, run_id=run_id, package=FILE, registered_at=NOW)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its tables: making them takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.sqlite"
    MlflowTracker(f"sqlite:///{path}").log_run(run_named("warm-up", "warm-up"))
    return path


@pytest.fixture
def url(empty: Path, tmp_path: Path) -> str:
    path = tmp_path / "mlflow.sqlite"
    path.write_bytes(empty.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "model.package"
    path.write_bytes(b"abc")
    return path


class TestMlflowTracker(TrackerSuite):
    """What every tracker promises."""

    @pytest.fixture
    def tracker(self, url: str) -> MlflowTracker:
        return MlflowTracker(url)


def _client(url: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=url, registry_uri=url)


@pytest.mark.requirement("EXP-01")
def test_a_run_arrives_with_parameters_metrics_and_lineage(url: str) -> None:
    tracking_id = MlflowTracker(url).log_run(run_named())
    logged = _client(url).get_run(tracking_id)
    assert logged.data.params == {"n_estimators": "20", "kind": "gbdt", "seed": "7", "variant": "lightgbm"}
    assert logged.data.metrics == {"mae": 1.5, "rmse": 2.5, "time_train_s": 0.25}
    assert logged.info.status == "FINISHED"
    tags = logged.data.tags
    assert tags["headrace.run_id"] == "run-1"
    assert tags["headrace.snapshot"] == "snapshot-1"
    assert tags["headrace.code"] == tags["headrace.environment"] == tags["headrace.package"] == FILE.digest
    assert tags["mlflow.user"] == "ann"
    assert logged.info.start_time == int(NOW.timestamp() * 1000)


def test_a_database_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mlflow.sqlite'}"
    program = f"from headrace.plugins.mlflow import MlflowTracker as T; T({url!r}).set_live('cars', '1')"
    making = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program])
    until(lambda: making.poll() is not None or _has_table(tmp_path, "datasets"))
    making.kill()
    assert making.wait() == -signal.SIGKILL, "it ended before it was killed"
    tracking_id = MlflowTracker(url).log_run(run_named())
    assert _client(url).get_run(tracking_id).data.params["variant"] == "lightgbm"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mlflow.sqlite", "mlflow.sqlite.lock"]


def test_a_database_that_was_made_in_part_is_named_with_what_to_do(url: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        database.executescript("DROP TABLE inputs; DELETE FROM alembic_version")
    with pytest.raises(Unavailable, match=r"made only in part.*from a backup"):
        MlflowTracker(url).log_run(run_named())


def _has_table(folder: Path, name: str) -> bool:
    """Whether a database in ``folder``, whatever its name, has this table."""
    for file in folder.glob("mlflow.sqlite*"):
        if file.suffix in (".sqlite", ".making"):
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
                if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone():
                    return True
    return False


def test_the_same_run_is_one_run(url: str) -> None:
    first = MlflowTracker(url).log_run(run_named())
    assert MlflowTracker(url).log_run(run_named()) == first
    client = _client(url)
    experiment = client.get_experiment_by_name("cars")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_what_an_interrupted_attempt_left_is_completed(url: str) -> None:
    client = _client(url)
    left = client.create_run(client.create_experiment("cars"), tags={"headrace.run_id": "run-1"})
    assert MlflowTracker(url).log_run(run_named()) == left.info.run_id
    assert client.get_run(left.info.run_id).data.metrics["mae"] == 1.5
    assert client.get_run(left.info.run_id).info.status == "FINISHED"


@pytest.mark.requirement("EXP-06")
def test_metrics_arrive_by_step_under_names_that_mlflow_takes(url: str) -> None:
    points = [Point(step=step, at=NOW, value=1.0 / (step + 1)) for step in range(3)]
    run = run_named(metrics={"acc@5": 0.3, "other": 1.0}, params={"lr#1": 0.1, "../up": 2})
    series = {"acc@5": points, "loss//train": points, "nan": [Point(step=0, at=NOW, value=math.nan)]}
    tracking_id = MlflowTracker(url).log_run(run, series)
    client = _client(url)
    history = client.get_metric_history(tracking_id, "acc_5")
    assert [(one.step, round(one.value, 4)) for one in history] == [(0, 1.0), (1, 0.5), (2, 0.3333)]
    logged = client.get_run(tracking_id).data
    assert {"acc_5", "loss_/train", "nan", "other"} <= set(logged.metrics)
    assert logged.params["lr_1"] == "0.1"


def test_a_failed_run_arrives_with_its_error(url: str) -> None:
    failed = run_named(state="failed", error="project.py:4 in t: ValueError", package=None, metrics={})
    logged = _client(url).get_run(MlflowTracker(url).log_run(failed))
    assert logged.info.status == "FAILED"
    assert logged.data.tags["headrace.error"] == "project.py:4 in t: ValueError"
    with pytest.raises(InvalidInput, match="still under way"):
        MlflowTracker(url).log_run(run_named("run-2", state="running"))


def test_more_values_than_one_request_may_hold_arrive(url: str) -> None:
    many = run_named(
        params={f"p{i}": i for i in range(150)},
        metrics={f"confusion_{i}_{j}": 1.0 for i in range(40) for j in range(40)},
    )
    logged = _client(url).get_run(MlflowTracker(url).log_run(many))
    assert len(logged.data.params) == 152
    assert len(logged.data.metrics) == 1601


@pytest.mark.requirement("REG-01")
def test_versions_are_numbered_and_one_per_run(url: str, package: Path) -> None:
    tracker = MlflowTracker(url)
    tracking_id = tracker.log_run(run_named())
    assert tracker.register(model_of(), package) == "1"
    assert tracker.register(model_of("run-2", 2), package) == "2"
    assert MlflowTracker(url).register(model_of(), package) == "1"
    version = _client(url).get_model_version("cars", "1")
    assert version.run_id == tracking_id
    assert version.source == f"mlflow-artifacts:/workspaces/default/headrace/cars/1-{FILE.digest[:12]}"
    assert version.tags["headrace.version"] == "1"
    assert version.tags["headrace.package"] == FILE.digest


def test_the_alias_follows_what_is_live(url: str, package: Path) -> None:
    tracker = MlflowTracker(url)
    for version in (1, 2):
        tracker.register(model_of(f"run-{version}", version), package)
    for live in ("1", "2", "1", "1"):
        tracker.set_live("cars", live)
        assert str(_client(url).get_model_version_by_alias("cars", "champion").version) == live
    with pytest.raises(Conflict, match="version=9"):
        tracker.set_live("cars", "9")


def test_a_deleted_experiment_is_restored(url: str) -> None:
    tracker = MlflowTracker(url)
    tracker.log_run(run_named())
    client = _client(url)
    made = client.get_experiment_by_name("cars")
    assert made is not None
    client.delete_experiment(made.experiment_id)
    tracker.log_run(run_named("run-2"))
    restored = client.get_experiment_by_name("cars")
    assert restored is not None
    assert restored.lifecycle_stage == "active"


def test_threads_that_log_at_once_make_one_run_each(url: str) -> None:
    tracker = MlflowTracker(url)
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: ids.append(tracker.log_run(run_named(f"run-{i % 2}"))))
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == 2


@pytest.mark.slow
def test_processes_that_meet_a_new_database_share_one_run(tmp_path: Path, package: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'mlflow.sqlite'}"
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "from tests.plugins.test_mlflow import MlflowTracker, run_named, model_of; from pathlib import Path;"
        "t = MlflowTracker(sys.argv[1]); package = Path(sys.argv[3]);"
        "print(t.log_run(run_named()), t.register(model_of(), package))"
    )
    root = str(Path(__file__).parents[2])
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, url, root, str(package)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1
    # Nothing is left where the processes ran: MLflow likes to make folders there.
    assert {path.name for path in tmp_path.iterdir()} == {"new", package.name}


def test_a_server_that_does_not_answer_and_other_addresses_are_said() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer.*try again"):
        MlflowTracker("http://ann:secret@127.0.0.1:9").set_live("cars", "1")
    with pytest.raises(InvalidInput, match=r"Expected sqlite:///FILE or http") as caught:
        MlflowTracker("ftp://ann:secret@host").set_live("cars", "1")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_nothing_is_reported_to_anyone_and_nothing_is_printed(tmp_path: Path) -> None:
    program = (
        "import json, sys, threading; from headrace.plugins.mlflow import MlflowTracker, workspace_name;"
        "loaded = 'mlflow' in sys.modules; tracker = MlflowTracker(sys.argv[1]);"
        "tracker.set_live.__self__._client().search_experiments();"
        "from mlflow.telemetry import get_telemetry_client;"
        "print(json.dumps([loaded, get_telemetry_client() is None, threading.active_count()]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, f"sqlite:///{tmp_path / 'm.sqlite'}"],
        capture_output=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.stderr == b""
    assert json.loads(done.stdout) == [False, True, 1]


@pytest.mark.requirement("IDN-02")
def test_each_workspace_has_runs_and_models_of_its_own(url: str, package: Path) -> None:
    tracker = MlflowTracker(url, {"cars": "main", "vans": "team-b", "vans2": "team_b"}.__getitem__)
    for project in ("cars", "vans", "vans2"):
        tracker.log_run(run_named(f"run-{project}", project))
        assert tracker.register(model_of(f"run-{project}", project=project), package) == "1"
        tracker.set_live(project, "1")
    # Whoever opens the database as one workspace sees that one.
    assert {e.name for e in _client(url).search_experiments()} >= {"cars"}
    assert not {e.name for e in _client(url).search_experiments()} & {"vans", "vans2"}
    assert [m.name for m in _client(url).search_registered_models()] == ["cars"]


def test_no_two_workspaces_share_a_name_in_mlflow() -> None:
    ours = ["main", "default", "team-b", "team_b", "a", "api", "workspaces", "team-", "headrace-x", "x" * 63]
    names = [workspace_name(name) for name in ours]
    assert len(set(names)) == len(ours)
    assert names[0] == "default"
    assert names[2] == "team-b"


@pytest.mark.requirement("REG-08")
def test_what_was_registered_is_a_folder_of_mlflow(url: str, package: Path, tmp_path: Path) -> None:
    tracker = MlflowTracker(url)
    tracker.log_run(run_named())
    number = tracker.register(model_of(), package)
    tracker.fetch("cars", "cars", number, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "MLmodel",
        "model.package",
        "requirements.txt",
    ]
    assert (tmp_path / "copy" / "model.package").read_bytes() == package.read_bytes()


def test_files_are_fetched_from_mlflows_own_folder_alone(url: str, tmp_path: Path) -> None:
    tracker = MlflowTracker(url)
    tracker.log_run(run_named())
    client = _client(url)
    client.create_registered_model("cars")
    (tmp_path / "secrets").mkdir()
    for source in ("file:///etc", "mlflow-artifacts:/../secrets", "mlflow-artifacts:/absent"):
        made = client.create_model_version("cars", source, await_creation_for=0)
        with pytest.raises(Conflict, match="no folder of its artefacts"):
            tracker.fetch("cars", "cars", str(made.version), tmp_path / "copy")
    with pytest.raises(Conflict, match="not found"):
        tracker.fetch("cars", "cars", "77", tmp_path / "copy")


@pytest.mark.requirement("MCP-06")
def test_a_version_that_names_the_files_of_another_workspace_is_not_fetched(
    url: str, package: Path, tmp_path: Path
) -> None:
    tracker = MlflowTracker(url, lambda project: "north" if project == "vans" else "main")
    tracker.log_run(run_named())
    tracker.log_run(run_named("run-2", "vans"))
    theirs = {}
    for project, run_id in (("cars", "run-1"), ("vans", "run-2")):
        tracker.register(model_of(run_id, project=project), package)
        theirs[project] = next((tmp_path / "mlflow").glob(f"workspaces/*/headrace/{project}/1-*"))
    for project, other in (("cars", "vans"), ("vans", "cars")):
        place = theirs[other].relative_to(tmp_path / "mlflow").as_posix()
        with tracker._session(project) as client:
            made = client.create_model_version(project, f"mlflow-artifacts:/{place}", await_creation_for=0)
        with pytest.raises(Conflict, match="no folder of its artefacts"):
            tracker.fetch(project, project, str(made.version), tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
