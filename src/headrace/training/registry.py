"""Numbered models, and the way back from a number to everything it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.core.data import Artifact, ModelVersion, Run, Snapshot
from headrace.core.errors import InvalidInput
from headrace.core.ports import Clock, Tracker
from headrace.store import Store
from headrace.training.pipeline import recipe_of
from headrace.training.training_set import FeatureView, TrainingSet, load_training_set


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What one model version was made from; every artefact named here was found to be kept."""

    model: ModelVersion
    run: Run
    snapshot: Snapshot
    training_set: TrainingSet
    features: FeatureView
    code: Artifact
    environment: Artifact
    params: dict[str, Any]
    seed: int


def register_model(store: Store, clock: Clock, run: Run) -> ModelVersion:
    """Give a finished run's package the project's next number; a run keeps the number it has.

    Raises:
        InvalidInput: the run has no package.
    """
    if run.package is None:
        raise InvalidInput(
            f"Run {run.id} is {run.state} and has no package. Only a finished run is registered."
        )
    wanted = ModelVersion(
        project=run.project, version=0, run_id=run.id, package=run.package, registered_at=clock.now()
    )
    with store.transaction():
        is_new = all(known.run_id != run.id for known in store.models.list(run.project))
        model = store.models.add(wanted)
        if is_new:
            detail = {"version": model.version, "run": run.id, "package": run.package.digest}
            store.audit.append(run.author, "model.register", f"project:{run.project}", detail)
    return model


def publish_model(store: Store, tracker: Tracker, model: ModelVersion) -> str:
    """Tell the team's tracker about a run and its model; returns the tracker's number of it.

    Repeating it changes nothing.

    Raises:
        Unavailable: the tracker does not answer.
    """
    tracker.log_run(store.runs.get(model.run_id))
    number = tracker.register(model, store.artifacts.path(model.package.digest))
    with store.transaction():
        if store.models.get(model.project, model.version).registry_version is None:
            author = store.runs.get(model.run_id).author
            detail = {"version": model.version, "tracked_as": number}
            store.audit.append(author, "model.publish", f"project:{model.project}", detail)
        store.models.set_registry_version(model.project, model.version, number)
    return number


def lineage(store: Store, project: str, version: int) -> Lineage:
    """Resolve a model version to its data, features, code, environment and parameters.

    Raises:
        NotFound: there is no such version, or something that it was made from is not kept any more.

    Example::

        lineage(store, "cars", 3).snapshot.raw.digest  # '9c56cc51b374...'
    """
    model = store.models.get(project, version)
    run = store.runs.get(model.run_id)
    made = load_training_set(store.artifacts, recipe_of(store, run).training_set.digest)
    snapshot = store.snapshots.get(run.snapshot_id)
    kept = (model.package, run.code, run.environment, snapshot.raw, made.view.encoding, made.split)
    for artifact in kept:
        store.artifacts.path(artifact.digest)  # verifies, and raises when it is gone
    return Lineage(
        model=model,
        run=run,
        snapshot=snapshot,
        training_set=made,
        features=made.view,
        code=run.code,
        environment=run.environment,
        params=run.params,
        seed=run.seed,
    )
