"""MLflow as the experiment tracker and model registry that users already have.

Headrace's own store stays the record; MLflow is told. Every call looks for what an earlier attempt left,
by the tag ``headrace.run_id``, so that repeating one changes nothing.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.data import ModelVersion, Point, Run
from headrace.core.errors import Conflict, InvalidInput, Unavailable
from headrace.core.identity import MAIN
from headrace.plugins.mlflow_database import SQLITE, artifact_folder, database_turn, make_database
from headrace.plugins.mlflow_model import write_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "champion"
SERVER_ENVIRONMENT = {
    "MLFLOW_ENABLE_WORKSPACES": "true",
    # Artefacts go through the server's door; without it MLflow would put them into the working directory.
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
}
"""How a database of ours is always opened."""
_IN_PART = re.compile(r"table \S+ already exists|duplicate column")
"""What it says of a database whose tables were being made, or brought up to date, by what was killed."""
_RUN_TAG = "headrace.run_id"
_DONE_TAG = "headrace.logged"
_ARTIFACTS = "mlflow-artifacts:"
_LONGEST_TAG = 5000
_LONGEST_PARAM = 6000
_MOST_METRICS = 1000
_MOST_PARAMS = 100
_RETRIES = 2
_TIMEOUT_S = 20
_DEFAULT = "default"
_FITTING = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
_UNFIT = re.compile(r"[^\w\-. :/]|^/+|/(?=/)|(?<![^/])\.+(?=/|$)")
_TAKEN = frozenset({_DEFAULT, "workspaces", "api", "ajax-api", "static-files"})
_HASHED = "headrace-"


class MlflowTracker:
    """Implements ``Tracker`` on an MLflow server (``http(s)://``) or database (``sqlite:///FILE``).

    Constructing it does nothing; MLflow is imported, and a new database made, on first use. What belongs to a
    project is kept in the MLflow workspace of the project's own workspace.

    Args:
        workspace_of: the workspace of a project.

    Example::

        tracker = MlflowTracker("sqlite:////home/me/.headrace/mlflow.sqlite")
        run_id = tracker.log_run(run)
    """

    def __init__(self, url: str, workspace_of: Callable[[str], str] = lambda _: MAIN) -> None:
        self._url = url
        self._workspace_of = workspace_of
        self._workspaces: set[str] = set()
        self._lock = threading.RLock()
        self._connected: MlflowClient | None = None

    def log_run(self, run: Run, series: Mapping[str, Sequence[Point]] | None = None) -> str:
        """Record an ended run with its parameters, metrics and lineage; returns MLflow's id of it.

        Args:
            series: values of metrics by step, where they are known, instead of the last ones.

        Raises:
            InvalidInput: the run is still under way.
            Unavailable: MLflow does not answer.
        """
        if run.state == "running":
            raise InvalidInput(f"Run {run.id} is still under way. Log it when it has ended.")
        with self._session(run.project) as client:
            known = self._find_run(client, run.project, run.id)
            if known is not None and known.data.tags.get(_DONE_TAG) == run.state:
                return str(known.info.run_id)
            started_ms = _milliseconds(run.started_at)
            if known is None:
                known = client.create_run(
                    self._experiment(client, run.project),
                    start_time=started_ms,
                    tags={_RUN_TAG: run.id},
                    run_name=run.variant,
                )
            tracking_id = str(known.info.run_id)
            ended_ms = _milliseconds(run.finished_at or run.started_at)
            _log_values(client, tracking_id, run, series or {}, ended_ms)
            client.set_terminated(
                tracking_id, "FINISHED" if run.state == "finished" else "FAILED", end_time=ended_ms
            )
            client.set_tag(tracking_id, _DONE_TAG, run.state)
            return tracking_id

    def register(self, model: ModelVersion, package: Path) -> str:
        """Register a version of the model called like the project; the same run gives the same number.

        What is registered is a folder that ``mlflow.pyfunc`` loads, kept where no client can write.

        Raises:
            Unavailable: MLflow does not answer.
        """
        with self._session(model.project) as client:
            self._ensure_model(client, model.project)
            found = client.search_model_versions(f"name = '{model.project}'")
            for version in sorted(found, key=lambda version: int(version.version)):
                if version.tags.get(_RUN_TAG) == model.run_id:
                    return str(version.version)
            logged = self._find_run(client, model.project, model.run_id)
            tracking_id = None if logged is None else str(logged.info.run_id)
            source = self._keep(client, model, package, tracking_id)
            made = client.create_model_version(
                model.project,
                source,
                run_id=tracking_id,
                tags={
                    _RUN_TAG: model.run_id,
                    "headrace.version": str(model.version),
                    "headrace.package": model.package.digest,
                },
                await_creation_for=0,
            )
            return str(made.version)

    def fetch(self, project: str, model: str, version: str, folder: Path) -> None:
        """Copy the files of a registered model version into ``folder``; nothing of them is loaded.

        Raises:
            Conflict: MLflow has no such version, or keeps its files where they cannot be had.
            Unavailable: MLflow does not answer.
        """
        with self._session(project) as client:
            if not self._is_database():
                from mlflow.artifacts import download_artifacts

                download_artifacts(
                    artifact_uri=f"models:/{model}/{version}",
                    dst_path=str(folder),
                    tracking_uri=self._url,
                    registry_uri=self._url,
                )
                return
            place = _place_of(client, str(client.get_model_version(model, version).source))
            root = artifact_folder(self._url).resolve()
            found = (root / place.removeprefix(_ARTIFACTS).lstrip("/")).resolve()
            if not place.startswith(_ARTIFACTS) or not self._is_of(project, found) or not found.is_dir():
                raise Conflict(
                    f"MLflow keeps {model} version {version} at {place[:200]!r}, which is no folder of its "
                    "artefacts. Log the model through /mlflow, then register it."
                )
            shutil.copytree(found, folder, symlinks=True, dirs_exist_ok=True)

    def annotate(self, project: str, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a registered version.

        Raises:
            Conflict: MLflow has no such version.
            Unavailable: MLflow does not answer.
        """
        with self._session(project) as client:
            for name, value in tags.items():
                client.set_model_version_tag(model, version, name, value[:_LONGEST_TAG])

    def set_live(self, project: str, registry_version: str) -> None:
        """Point the alias ``champion`` at this version.

        Raises:
            Conflict: MLflow has no such version.
            Unavailable: MLflow does not answer.
        """
        with self._session(project) as client:
            client.set_registered_model_alias(project, ALIAS, registry_version)

    def _is_of(self, project: str, folder: Path) -> bool:
        """Whether a resolved folder lies among the artefacts of the project's own workspace."""
        root = artifact_folder(self._url).resolve()
        name = workspace_name(self._workspace_of(project))
        # What was logged before there were workspaces lies beside them, and is the first one's.
        apart = name == _DEFAULT and not folder.is_relative_to(root / "workspaces")
        return folder.is_relative_to(root / "workspaces" / name) or (apart and folder.is_relative_to(root))

    def _keep(self, client: MlflowClient, model: ModelVersion, package: Path, tracking_id: str | None) -> str:
        """Put the version's folder where MLflow finds it; returns its address."""
        name = f"{model.version}-{model.package.digest[:12]}"
        if self._is_database():
            workspace = workspace_name(self._workspace_of(model.project))
            place = f"workspaces/{workspace}/headrace/{model.project}/{name}"
            write_model(artifact_folder(self._url) / place, model, package)
            return f"{_ARTIFACTS}/{place}"
        if tracking_id is None:
            raise Conflict(f"MLflow at {self._shown()} does not know run {model.run_id}. Log it first.")
        with tempfile.TemporaryDirectory() as scratch:
            write_model(Path(scratch) / name, model, package)
            client.log_artifacts(tracking_id, str(Path(scratch) / name), name)
        return f"runs:/{tracking_id}/{name}"

    @contextmanager
    def _session(self, project: str) -> Iterator[MlflowClient]:
        """One caller at a time, over all processes when it is a database: look, then write, is then safe."""
        turn = database_turn(self._url) if self._is_database() else nullcontext()
        with self._lock, turn, self._as_server():
            client = self._client()
            from mlflow.exceptions import MlflowException

            try:
                with self._workspace(client, self._workspace_of(project)):
                    yield client
            except MlflowException as error:
                reason = str(error).strip().splitlines()[0][:300]
                code = getattr(error, "error_code", "")
                if code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise Conflict(f"MLflow at {self._shown()} refuses: {reason}") from error
                raise Unavailable(
                    f"MLflow at {self._shown()} does not answer: {reason}. "
                    "Nothing is lost: try again when it does."
                ) from error

    @contextmanager
    def _as_server(self) -> Iterator[None]:
        """With what MLflow's server over the same database has in its environment, and nobody else here."""
        told = SERVER_ENVIRONMENT if self._is_database() else {}
        before = {name: os.environ.get(name) for name in told}
        os.environ.update(told)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    @contextmanager
    def _workspace(self, client: MlflowClient, workspace: str) -> Iterator[None]:
        """Within MLflow's workspace for ours. A server without workspaces is asked as if it were ``main``."""
        if workspace == MAIN and not self._is_database():
            yield
            return
        from mlflow.exceptions import MlflowException
        from mlflow.utils.workspace_context import ServerWorkspaceContext

        name = workspace_name(workspace)
        with ServerWorkspaceContext(name):
            if name != _DEFAULT and name not in self._workspaces:
                try:
                    client.create_workspace(name)
                except MlflowException as error:
                    if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                        raise
                self._workspaces.add(name)
            yield

    def _client(self) -> MlflowClient:
        if self._connected is None:
            if not self._url.startswith((SQLITE, "http://", "https://")):
                raise InvalidInput(
                    f"HEADRACE_MLFLOW_URL is {self._shown()!r}. Expected sqlite:///FILE or http(s)://HOST."
                )
            with garbage_waits():
                _quiet()
                if self._is_database():
                    make_database(self._url)
                self._connected = self._connect()
        return self._connected

    def _connect(self) -> MlflowClient:
        from mlflow import MlflowClient

        try:
            return MlflowClient(tracking_uri=self._url, registry_uri=self._url)
        except Exception as error:
            if not _IN_PART.search(str(error)):
                raise
            raise Unavailable(
                f"The tables of MLflow's database {self._shown()} were made only in part, by a process that "
                "was killed. Restore the file from a backup. Without one, move it away, and run again: what "
                "Headrace has built stands in its own record too."
            ) from error

    def _is_database(self) -> bool:
        return self._url.startswith(SQLITE)

    def _shown(self) -> str:
        """The address without a password."""
        return self._url.split("@")[-1]

    def _experiment(self, client: MlflowClient, project: str) -> str:
        known = client.get_experiment_by_name(project)
        if known is not None:
            if known.lifecycle_stage == "deleted":
                client.restore_experiment(known.experiment_id)
            return str(known.experiment_id)
        return str(client.create_experiment(project))

    def _find_run(self, client: MlflowClient, project: str, run_id: str) -> Any:
        experiment = client.get_experiment_by_name(project)
        if experiment is None:
            return None
        found = client.search_runs(
            [experiment.experiment_id], filter_string=f"tags.`{_RUN_TAG}` = '{run_id}'", max_results=1
        )
        return found[0] if found else None

    def _ensure_model(self, client: MlflowClient, project: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(project)
        except MlflowException as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise


def workspace_name(workspace: str) -> str:
    """MLflow's name for a workspace of ours; no two of ours share one.

    >>> workspace_name("main"), workspace_name("team-b")
    ('default', 'team-b')
    """
    if workspace == MAIN:
        return _DEFAULT
    if _FITTING.fullmatch(workspace) and workspace not in _TAKEN and not workspace.startswith(_HASHED):
        return workspace
    return _HASHED + sha256(workspace.encode()).hexdigest()[:16]


def _place_of(client: MlflowClient, source: str) -> str:
    """Where the files of a model version lie; its source may name a run or a logged model instead."""
    kind, _, rest = source.partition(":/")
    if kind == "runs":
        run_id, _, path = rest.lstrip("/").partition("/")
        return f"{client.get_run(run_id).info.artifact_uri}/{path}"
    if kind == "models":
        return str(client.get_logged_model(rest.lstrip("/")).artifact_location)
    return source


@contextmanager
def garbage_waits() -> Iterator[None]:
    """Loading MLflow makes no garbage: looking for it meanwhile takes up to a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _quiet() -> None:
    """Keep MLflow from reporting its use to its makers, from waiting long, and from chatting."""
    import mlflow.telemetry

    telemetry: Any = mlflow.telemetry
    settings: Any = mlflow.environment_variables
    settings.MLFLOW_DISABLE_TELEMETRY.set(True)
    telemetry.set_telemetry_client()
    # The defaults retry a dead server for minutes; a build must not wait that long for its tracker.
    for setting, value in (
        (settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES, _RETRIES),
        (settings.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR, 1),
        (settings.MLFLOW_HTTP_REQUEST_TIMEOUT, _TIMEOUT_S),
    ):
        if not setting.is_set():
            setting.set(value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _log_values(
    client: MlflowClient, tracking_id: str, run: Run, series: Mapping[str, Sequence[Point]], at_ms: int
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    tags = {
        "mlflow.user": run.author,
        "headrace.build_id": run.build_id,
        "headrace.variant": run.variant,
        "headrace.cause": run.cause,
        "headrace.snapshot": run.snapshot_id,
        "headrace.code": run.code.digest,
        "headrace.environment": run.environment.digest,
        "headrace.fingerprint": run.fingerprint,
        "headrace.package": run.package.digest if run.package else "",
        "headrace.error": run.error or "",
    }
    params = {"variant": run.variant, "seed": run.seed} | run.params
    timings = {f"time_{name}_s": value for name, value in run.timings_s.items()}
    last = {name: value for name, value in {**run.metrics, **timings}.items() if name not in series}
    metrics = [Metric(_fitting(name), value, at_ms, 0) for name, value in last.items()]
    metrics += [
        Metric(_fitting(name), point.value, _milliseconds(point.at), point.step)
        for name, points in series.items()
        for point in points
    ]
    entries = [Param(_fitting(name), str(value)[:_LONGEST_PARAM]) for name, value in params.items()]
    client.log_batch(
        tracking_id, tags=[RunTag(name, value[:_LONGEST_TAG]) for name, value in tags.items() if value]
    )
    for start in range(0, len(entries), _MOST_PARAMS):
        client.log_batch(tracking_id, params=entries[start : start + _MOST_PARAMS])
    for start in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(tracking_id, metrics=metrics[start : start + _MOST_METRICS])


def _fitting(name: str) -> str:
    """The name of a parameter or metric as MLflow takes it."""
    return _UNFIT.sub("_", name)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
