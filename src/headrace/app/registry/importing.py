"""Runs that other tools have logged become runs of a project: recorded once, shown with its own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.app.composition import App
from headrace.core.canonical import digest_bytes
from headrace.core.data import Run
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.plugins.sacred import sacred_runs
from headrace.plugins.tensorboard import tensorboard_runs
from headrace.training.captured import Captured

MEDIA_TYPE = "application/vnd.headrace.captured-run+json"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A run of another tool and the run that it is here; ``new``: whether this import has made it."""

    run: Run
    new: bool


def import_runs(app: App, me: Principal, project: str, folder: Path) -> list[Imported]:
    """Record what Sacred or TensorBoard's writers have left in ``folder``. A run is imported once.

    The last value of each metric is the run's; all of them, by step, are kept with it and told to MLflow.

    Raises:
        Denied: ``me`` may not write runs of the project.
        NotFound: there is no such folder or project.
        InvalidInput: the folder holds no run that has ended, or a damaged one; what came before it is kept.
    """
    app.gatekeeper.require(me, "tracking.write", f"project:{project}")
    app.store.projects.get(project)
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}. Give the one that Sacred or TensorBoard wrote to.")
    found = [_imported(app, me, project, one) for one in _captured(folder)]
    if not found:
        raise InvalidInput(
            f"{folder} holds no run that has ended. Expected folders with run.json (Sacred's "
            "FileStorageObserver) or events.out.tfevents.* files (TensorBoard)."
        )
    return found


def _captured(folder: Path) -> Iterator[Captured]:
    yield from sacred_runs(folder)
    yield from tensorboard_runs(folder)


def _imported(app: App, me: Principal, project: str, captured: Captured) -> Imported:
    run = _run(app, me, project, captured)
    try:
        standing, new = app.store.runs.get(run.id), False
    except NotFound:
        standing, new = run, True
        detail = {"tool": captured.tool, "source": captured.source_id, "run": run.id}
        app.store.audit.append(me.name, "run.import", f"project:{project}", detail)
        app.store.runs.save(run)
    # MLflow recognises a run that it was told of, also by an import that was killed right here.
    tracking_id = app.tracker.log_run(standing, captured.series)
    if standing.tracking_id is None:
        standing = replace(standing, tracking_id=tracking_id)
        app.store.runs.save(standing)
    return Imported(run=standing, new=new)


def _run(app: App, me: Principal, project: str, captured: Captured) -> Run:
    record = json.dumps(_plain(captured), sort_keys=True, allow_nan=False).encode()
    kept = app.store.artifacts.put(record, MEDIA_TYPE)
    # Which code, environment and data it was is not recorded: these are what nothing looks like.
    nothing = app.store.artifacts.put(b"", "application/x-empty")
    run_id = derived_id("run", project, captured.tool, captured.source_id)
    return Run(
        id=run_id,
        build_id=f"import:{run_id}",
        project=project,
        variant=captured.name,
        cause=f"imported from {captured.tool}",
        author=me.name,
        state="finished" if captured.error is None else "failed",
        fingerprint=digest_bytes(record),
        snapshot_id="",
        code=nothing,
        environment=nothing,
        params=captured.params,
        seed=_seed(captured.params),
        started_at=captured.started_at,
        finished_at=captured.finished_at,
        outputs={"captured": kept},
        metrics={name: value for name, value in captured.metrics.items() if math.isfinite(value)},
        error=captured.error,
    )


def _seed(params: dict[str, Any]) -> int:
    seed = params.get("seed", 0)
    return int(seed) if isinstance(seed, (int, float)) and math.isfinite(seed) else 0


def _plain(captured: Captured) -> dict[str, Any]:
    """A record of what was read; a value that is no number is null."""
    series = {
        name: [[p.step, p.at.isoformat(), p.value if math.isfinite(p.value) else None] for p in points]
        for name, points in captured.series.items()
    }
    return {
        "tool": captured.tool, "source": captured.source_id, "name": captured.name,
        "params": {name: str(value) for name, value in captured.params.items()}, "series": series,
        "started_at": captured.started_at.isoformat(), "finished_at": captured.finished_at.isoformat(),
        "tags": captured.tags, "error": captured.error,
    }  # fmt: skip
