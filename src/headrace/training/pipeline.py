"""Trains one variant as a step of a durable build: the run is recorded before anything happens.

A step that is repeated finds what it did before: a run that has ended is returned as it is, and one
that was interrupted is trained again under the same id.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from headrace.checks.artefacts import UnsafeArtefact, require_safe
from headrace.checks.metrics import report, row_losses
from headrace.checks.tasks import UNSUPERVISED
from headrace.core.canonical import canonical_json, digest_of, plain
from headrace.core.data import Artifact, Run
from headrace.core.errors import HeadraceError, InternalError, NotFound, UserCodeError
from headrace.core.ids import derived_id
from headrace.core.ports import Clock
from headrace.core.project import Project, Variant
from headrace.data.frames import take
from headrace.data.sources import PARQUET, write_parquet
from headrace.store import Store
from headrace.store.documents import from_plain
from headrace.training.archives import pack_arrays, unpack_arrays
from headrace.training.job import MEASURED, PACKAGE, PROBE_TABLE, PROBES, STATE, TEST
from headrace.training.launch import WorkerResult, log_of, run_worker
from headrace.training.lock import unpack_code
from headrace.training.online import TRAINER as ONLINE
from headrace.training.own_code import scan_package
from headrace.training.package import MEDIA_TYPE as PACKAGE_TYPE
from headrace.training.package import PackageInfo
from headrace.training.registered import TRAINER, unpack_model
from headrace.training.training_set import (
    ARRAYS,
    Rows,
    TrainingSet,
    codes_of,
    history_of,
    input_columns,
    load_rows,
    load_training_set,
)

RECIPE = "application/vnd.headrace.recipe+json"
_FORMAT = 1
TIMEOUT_S = 3600.0
PROBE_ROWS = "probe_rows"
"""The output of a run that holds raw rows; an erasure removes it."""
UNLABELLED = "unlabelled"
"""The output of a run without truth: ``losses`` of test rows, and ``stability`` in each refit."""
ANSWERS = "answers"
"""The output of a run whose answers are texts: a JSON list of those to the test rows."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a run consists of, beside code and environment: enough to make it again.

    Attributes:
        training_set: the artefact that :func:`make_training_set` kept.
        model: what :func:`headrace.training.registered.pack_model` kept, where the model was made elsewhere.
    """

    project: Project
    variant: Variant
    training_set: Artifact
    model: Artifact | None = None
    format: int = _FORMAT


@dataclass(frozen=True, kw_only=True)
class Build:
    """What the variants of one build share.

    Attributes:
        code: archive by :func:`headrace.training.lock.archive_code`; it is what is run.
        scratch: a folder for temporary files.
        timeout_s: how long one variant may train.
        model: of the variant whose trainer is :data:`headrace.training.registered.TRAINER`, or
            :data:`headrace.training.online.TRAINER`.
    """

    id: str
    project: Project
    training_set: Artifact
    code: Artifact
    environment: Artifact
    author: str
    cause: str
    scratch: Path
    timeout_s: float = TIMEOUT_S
    model: Artifact | None = None


class Making(Protocol):
    """How a variant is made from a run that has been recorded."""

    def __call__(self, store: Store, run: Run, folder: Path, timeout_s: float, /) -> Run:
        """The run with its package, metrics and outputs; raises a :class:`HeadraceError` where it fails."""


def train_variant(
    store: Store, clock: Clock, build: Build, variant: Variant, make: Making | None = None
) -> Run:
    """Make one variant and record everything about it; returns the run, finished or failed.

    The original estimator answers the test and probe rows, and those answers are kept as the outputs
    ``test_predictions`` and ``probe_predictions``. A run with equal data, code, environment, parameters
    and seed that finished before is reused, where it was trained: its output ``reused`` names it.

    What the user's code does wrong makes a failed run, never an exception.

    Args:
        make: training, unless given.
    """
    run_id = derived_id("run", build.id, variant.name)
    run = _find(store, run_id)
    if run is None:
        run = _start(store, clock, build, variant, run_id)
    if run.state != "running":
        return run
    # What is made by asking others, as a prompt's answers are, may come out otherwise: they are asked again.
    earlier = store.runs.find_finished(run.project, run.fingerprint) if make is None else None
    if earlier is not None and earlier.package is not None:
        return _finish(store, clock, _reused(store, run, earlier))
    folder = build.scratch / run_id
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return _finish(store, clock, (make or _trained)(store, run, folder, build.timeout_s))
    except UnsafeArtefact as error:
        store.audit.append(
            run.author, "artefact.refused", f"run:{run.id}", {"threats": [str(t) for t in error.threats]}
        )
        return _fail(store, clock, run, folder, str(error))
    except InternalError as error:
        return _fail(store, clock, run, folder, f"Our fault: {error}")
    except HeadraceError as error:
        return _fail(store, clock, run, folder, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trained(store: Store, run: Run, folder: Path, timeout_s: float) -> Run:
    return _kept(store, run, train_recipe(store, run, folder, timeout_s), folder)


def recipe_of(store: Store, run: Run) -> Recipe:
    """What the run was made from. Raises NotFound for a run that has no recipe."""
    if "recipe" not in run.outputs:
        raise NotFound(f"Run {run.id} has no recipe. Only runs that Headrace made have one.")
    return from_plain(Recipe, json.loads(store.artifacts.get(run.outputs["recipe"].digest)))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a worker left behind, before anything is kept; ``unlabelled`` where there is no truth."""

    package: bytes
    test: bytes
    probes: bytes
    probe_rows: bytes
    metrics: dict[str, float]
    result: WorkerResult
    unlabelled: bytes | None = None


def train_recipe(
    store: Store, run: Run, folder: Path, timeout_s: float, *, python: Path | None = None
) -> Trained:
    """Train what ``run`` records, from its archived code, in ``folder``; keeps nothing.

    Args:
        python: of another environment, as for :func:`headrace.training.launch.run_worker`.

    Raises:
        UserCodeError: the user's code failed.
        InvalidInput: the estimator cannot be converted.
        InternalError: the worker failed otherwise.
    """
    recipe = recipe_of(store, run)
    made = load_training_set(store.artifacts, recipe.training_set.digest)
    rows = load_rows(store, recipe.project, made)
    job = write_job(store, run, made, rows, folder)
    result = run_worker(job, folder / "worker", cwd=Path(job["folder"]), timeout_s=timeout_s, python=python)
    # What user code leaves behind is not ours until it was looked at.
    package = (result.output / PACKAGE).read_bytes()
    require_safe(scan_package(package, PACKAGE).threats, PACKAGE)
    test = (result.output / TEST).read_bytes()
    unlabelled = None
    if recipe.project.task in UNSUPERVISED:
        unlabelled = (result.output / MEASURED).read_bytes()
        metrics = {recipe.project.gates.model.metric: float(losses_in(unlabelled).mean())}
    else:
        metrics = metrics_of(recipe.project, made, rows.truth(), unpack_arrays(test, "The predictions"))
    return Trained(
        package=package,
        test=test,
        probes=(result.output / PROBES).read_bytes(),
        probe_rows=(result.output / PROBE_TABLE).read_bytes(),
        metrics=metrics,
        result=result,
        unlabelled=unlabelled,
    )


def write_job(store: Store, run: Run, made: TrainingSet, rows: Rows, folder: Path) -> dict[str, Any]:
    """Write into ``folder`` what a worker needs to train ``run`` on ``rows``; returns the job."""
    recipe = recipe_of(store, run)
    code = folder / "code"
    unpack_code(store.artifacts.get(run.code.digest), code)
    inputs = folder / "inputs.npz"
    inputs.write_bytes(pack_arrays(_inputs(recipe.project, made, rows)))
    wanted = rows.encoding.columns
    tables = {"train": take(rows.columns, rows.train), "test": rows.test_columns()}
    for name, columns in tables.items():
        write_parquet({column: columns[column] for column in wanted}, folder / f"{name}.parquet")
    job = {
        "kind": "train",
        "folder": str(code.resolve()),
        "inputs": str(inputs.resolve()),
        "train": str((folder / "train.parquet").resolve()),
        "test": str((folder / "test.parquet").resolve()),
        "columns": plain(input_columns(recipe.project)),
        "tolerance": recipe.project.gates.package.tolerance,
        "trainer": recipe.variant.trainer,
        "params": recipe.variant.params,
        "seed": recipe.project.seed,
        "encoding": rows.encoding.to_dict(),
        "info": plain(_info(recipe, made)),
        "metric": recipe.project.gates.model.metric,
        "budget": recipe.project.outputs.budget,
    }
    if recipe.model is not None and recipe.variant.trainer == ONLINE:
        (folder / STATE).write_bytes(store.artifacts.get(recipe.model.digest))
        job["model"] = str((folder / STATE).resolve())
    elif recipe.model is not None:
        unpack_model(store.artifacts.get(recipe.model.digest), folder / "model")
        job["model"] = str((folder / "model").resolve())
    return job


def losses_in(unlabelled: bytes) -> Any:
    """The losses of test rows, ``(n_rows,)``, of what was measured without truth."""
    return unpack_arrays(unlabelled, "What was measured")["losses"]


def metrics_of(project: Project, made: TrainingSet, truth: Any, answers: dict[str, Any]) -> dict[str, float]:
    """Every metric of the original estimator's answers on the test rows, the gate's included."""
    if project.task == "classification":
        truth = codes_of(truth, made.classes).astype(np.float64)
    codes = list(range(len(made.classes))) or None
    measured = report(project.task, truth, answers, codes)
    metric = project.gates.model.metric
    losses = row_losses(metric, truth, answers, classes=codes)
    if np.isfinite(losses).any():
        measured[metric] = float(np.nanmean(losses))
    return measured


def _start(store: Store, clock: Clock, build: Build, variant: Variant, run_id: str) -> Run:
    recipe = Recipe(
        project=build.project,
        variant=variant,
        training_set=build.training_set,
        model=_model(build, variant),
    )
    run = Run(
        id=run_id,
        build_id=build.id,
        project=build.project.name,
        variant=variant.name,
        cause=build.cause,
        author=build.author,
        state="running",
        fingerprint=_fingerprint(build, variant),
        snapshot_id=load_training_set(store.artifacts, build.training_set.digest).snapshot_id,
        code=build.code,
        environment=build.environment,
        params=dict(variant.params),
        seed=build.project.seed,
        started_at=clock.now(),
        outputs={
            "recipe": store.artifacts.put(canonical_json(recipe), RECIPE),
            "training_set": build.training_set,
        },
    )
    _save(store, run)
    return run


def _save(store: Store, run: Run) -> None:
    detail = {"run": run.id, "build": run.build_id, "variant": run.variant, "fingerprint": run.fingerprint}
    with store.transaction():
        store.runs.save(run)
        store.audit.append(run.author, f"run.{run.state}", f"project:{run.project}", detail)


def _model(build: Build, variant: Variant) -> Artifact | None:
    return build.model if variant.trainer in (TRAINER, ONLINE) else None


def _fingerprint(build: Build, variant: Variant) -> str:
    model = _model(build, variant)
    return digest_of(
        ({} if model is None else {"model": model.digest})
        | {
            "format": _FORMAT,
            "training_set": build.training_set.digest,
            "code": build.code.digest,
            "environment": build.environment.digest,
            "variant": variant.name,
            "trainer": variant.trainer,
            "params": variant.params,
            "seed": build.project.seed,
            "data": build.project.data,
            "metric": build.project.gates.model.metric,
        }
        | _declared_answers(build.project)
    )


def _declared_answers(project: Project) -> dict[str, Any]:
    """What the charter says of answers that no truth does."""
    return {"outputs": project.outputs} if project.task in UNSUPERVISED else {}


def _find(store: Store, run_id: str) -> Run | None:
    try:
        return store.runs.get(run_id)
    except NotFound:
        return None


def _finish(store: Store, clock: Clock, run: Run) -> Run:
    ended = replace(run, state="finished", finished_at=clock.now())
    _save(store, ended)
    return ended


def _fail(store: Store, clock: Clock, run: Run, folder: Path, error: str) -> Run:
    outputs = run.outputs
    log = log_of(folder / "worker")
    if log:
        outputs = outputs | {"log": store.artifacts.put(log, "text/plain")}
    ended = replace(run, state="failed", finished_at=clock.now(), error=error, outputs=outputs)
    _save(store, ended)
    return ended


def _reused(store: Store, run: Run, earlier: Run) -> Run:
    note = store.artifacts.put(canonical_json({"run_id": earlier.id}), "application/json")
    return replace(
        run,
        package=earlier.package,
        metrics=earlier.metrics,
        outputs={**earlier.outputs, **run.outputs, "reused": note},
    )


def _kept(store: Store, run: Run, trained: Trained, folder: Path) -> Run:
    estimator = canonical_json(trained.result.report["estimator"])
    kept = {
        "test_predictions": store.artifacts.put(trained.test, ARRAYS),
        "probe_predictions": store.artifacts.put(trained.probes, ARRAYS),
        PROBE_ROWS: store.artifacts.put(trained.probe_rows, PARQUET),
        "search": store.artifacts.put(canonical_json(trained.result.report["search"]), "application/json"),
        "estimator": store.artifacts.put(estimator, "application/json"),
        "log": store.artifacts.put(log_of(folder / "worker"), "text/plain"),
    }
    if trained.unlabelled is not None:
        kept[UNLABELLED] = store.artifacts.put(trained.unlabelled, ARRAYS)
    return replace(
        run,
        package=store.artifacts.put(trained.package, PACKAGE_TYPE),
        metrics=trained.metrics,
        timings_s=trained.result.timings_s,
        outputs=run.outputs | kept,
    )


def _inputs(project: Project, made: TrainingSet, rows: Rows) -> dict[str, Any]:
    if project.task in UNSUPERVISED:
        return {"y": np.zeros(len(rows.train))}
    target = rows.columns[project.data.target][rows.train]
    classifies = project.task == "classification"
    arrays = {
        "y": codes_of(target, made.classes) if classifies else target.astype(np.float64),
    }
    if project.task == "forecasting":
        history = history_of(rows.columns, project)
        arrays |= {"times": history.times, "values": history.values}
    return arrays


def _info(recipe: Recipe, made: TrainingSet) -> PackageInfo:
    data = recipe.project.data
    forecasting = recipe.project.task == "forecasting"
    return PackageInfo(
        project=recipe.project.name,
        variant=recipe.variant.name,
        task=recipe.project.task,
        target=data.target,
        classes=made.classes,
        time=data.time if forecasting else None,
        lags_days=data.lags_days if forecasting else (),
        horizon_days=data.horizon_days if forecasting else 0,
    )


def choose_best(runs: Sequence[Run], metric: str) -> Run:
    """The finished run with the smallest ``metric``; of equal ones the first.

    Raises:
        UserCodeError: none finished; the message has each variant's error.
    """
    measured = [run for run in runs if run.state == "finished" and metric in run.metrics]
    if not measured:
        failed: dict[str, list[str]] = {}
        for run in runs:
            failed.setdefault(run.error or f"no {metric} could be measured", []).append(run.variant)
        reasons = "; ".join(f"{', '.join(variants)}: {error}" for error, variants in failed.items())
        raise UserCodeError(f"No variant can be released. {reasons or 'No variant is declared.'}")
    return min(measured, key=lambda run: run.metrics[metric])
