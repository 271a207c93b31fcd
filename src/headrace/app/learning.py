"""Learning online: labelled answers are learnt in batches, each row once; what learns becomes a candidate.

A batch is first the test of what has learnt all rows before it, and is learnt then. How far the learning has
got is one measurement per batch, which names the model's state and the ledger of all rows that it has learnt:
whoever is killed before that is kept has learnt nothing, and whoever is killed after it does not learn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.app.composition import App
from headrace.app.data.table import Sourced, in_columns_of
from headrace.checks.changes import changes
from headrace.checks.metrics import mean_interval, row_losses
from headrace.core.data import Artifact
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.ports import Columns
from headrace.core.project import Project, Variant
from headrace.core.record import Finding
from headrace.core.release import Measurement, Outcome4, Release, Verdict
from headrace.data.frames import concat, nulls, take
from headrace.data.snapshots import archive_columns
from headrace.data.sources import read_file
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.releases.gates import verdict
from headrace.store.documents import from_plain, to_plain
from headrace.training.archives import pack_arrays, unpack_arrays
from headrace.training.online import MEDIA_TYPE, TRAINER, Batch, learn_batch, state_of
from headrace.training.pipeline import recipe_of
from headrace.training.training_set import (
    Continued,
    Rows,
    TrainingSet,
    codes_of,
    declared_hashes,
    load_rows,
    load_training_set,
    trained_on,
)

NAME = "online"
"""Name of the measurements, one per batch: the loss of the answers before each row was learnt."""
KIND = "learning"
GATE = "batch_drift"
_LEDGER = "application/vnd.headrace.ledger+npz"
_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How far the learning has got.

    Attributes:
        id: of the measurement that kept it; of the release that it begins with, before the first batch.
        origin: the release whose training it goes on from.
        state: the pickled model; ``ledger``: hashes of all rows that it has learnt since.
        n_learnt: how many these are.
    """

    id: str
    origin: str
    state: Artifact
    ledger: Artifact
    n_learnt: int


def checkpoint(app: App, project: Project) -> Checkpoint | None:
    """How far the learning of a project has got; None where nothing that learns online was released."""
    origin = _origin(app, project)
    if origin is None:
        return None
    for kept in reversed(app.store.evidence.measurements(project.name, name=NAME)):
        if kept.detail["origin"] == origin.id:
            return from_plain(Checkpoint, kept.detail["checkpoint"])
    return _begun(app, project, origin)


def due(app: App, project: Project) -> dict[str, Any] | None:
    """What asks for the build that learns the next batch, once it is whole."""
    if project.online is None:
        return None
    at = checkpoint(app, project)
    if at is None or len(_unlearnt(app, project, at)) < project.online.every_labels:
        return None
    return {
        "build_id": f"build:{project.name}:{derived_id(NAME, project.name, at.id)}",
        "folder": app.store.projects.path(project.name),
        "project": project.name,
        "author": f"trigger:{NAME}",
        "cause": f"online: {project.online.every_labels:,} labelled answers after {at.n_learnt:,} learnt",
        "online": True,
    }


def as_online(project: Project, at: Checkpoint) -> Project:
    """The project with what has learnt online as its candidate, beside the baseline."""
    if project.online is None:
        raise InvalidInput(f"{project.name!r} declares no 'online' in headrace.yaml.")
    params: dict[str, float | int | str | bool] = {"checkpoint": at.id, "learnt": at.n_learnt}
    learnt = Variant(name=project.online.variant, trainer=TRAINER, params=params)
    return replace(project, variants=(project.variants[0], learnt))


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The rows of a build: what the candidate has learnt, then the batch that tests it, ``n_batch`` rows."""

    sourced: Sourced
    at: Checkpoint
    batch: Artifact
    n_batch: int


def gather_batch(app: App, project: Project) -> Gathered:
    """Fix the next batch, and archive it after the rows that were learnt before.

    Raises:
        InvalidInput: there is no whole batch to learn.
    """
    at = checkpoint(app, project)
    if project.online is None or at is None:
        raise InvalidInput(f"Nothing of {project.name!r} learns online.")
    labelled = _labelled(app, project)
    hashes = _hashes(labelled.subject)
    known = np.isin(hashes, _ledger(app, at))
    batch = np.flatnonzero(~known)[: project.online.every_labels]
    if not len(batch):
        raise InvalidInput(f"No labelled answer of {project.name!r} is left to learn.")
    made, rows = _training_of(app, app.store.releases.get(at.origin))
    base = take(rows.columns, rows.train)
    parts = [base] + [
        in_columns_of(app, project, base, labelled.of(chosen))
        for chosen in (np.flatnonzero(known), batch)
        if len(chosen)
    ]
    raw = archive_columns(concat(parts), app.store.artifacts)
    source = (
        f"snapshot {made.snapshot_id}, {at.n_learnt:,} labelled answers learnt and {len(batch):,} to learn"
    )
    kept = app.store.artifacts.put(pack_arrays({"subjects": hashes[batch]}), _LEDGER)
    return Gathered(sourced=Sourced(raw=raw, source=source), at=at, batch=kept, n_batch=len(batch))


def continued(app: App, project: Project, state: dict[str, Any]) -> Continued:
    """Which rows of the build test the candidate, and what it was trained with."""
    made, rows = _training_of(app, app.store.releases.get(state["checkpoint"]["origin"]))
    hashes = declared_hashes(_archived(app, state), project)
    before, batch = hashes[: -state["n_batch"]], hashes[-state["n_batch"] :]
    return Continued(test=batch[~np.isin(batch, before)], encoding=rows.encoding, classes=made.classes)


def learn(app: App, project: Project, state: dict[str, Any], subject: str, scratch: Path) -> Verdict:
    """Learn the batch, unless an input is not what the model was trained with: then nothing is learnt.

    A batch that was learnt already is not learnt again.
    """
    at = from_plain(Checkpoint, state["checkpoint"])
    columns = take(_archived(app, state), np.arange(-state["n_batch"], 0))
    judged = _judged(app, project, at, columns, subject)
    if judged.outcome != "passed":
        return judged
    id_ = derived_id(NAME, project.name, at.id, state["batch"]["digest"])
    if all(kept.id != id_ for kept in app.store.evidence.measurements(project.name, name=NAME)):
        _keep(app, project, state, at, _learnt(app, project, at, columns, scratch), id_)
    return judged


def learning(app: App, me: Principal, name: str) -> list[Measurement]:
    """What each batch has brought, oldest first: the loss before it was learnt, on how many rows.

    Raises:
        Denied: ``me`` may not see the project.
    """
    app.gatekeeper.require(me, "project.read", f"project:{name}")
    return app.store.evidence.measurements(name, name=NAME)


def _origin(app: App, project: Project) -> Release | None:
    """The newest release that a trainer has made and that has been live: learning goes on from there."""
    if project.online is None:
        return None
    for release in app.store.releases.list(project.name):
        made = release.manifest.params
        trained = made.get("variant") == project.online.variant and "checkpoint" not in made
        if trained and release.state in ("live", "superseded"):
            return release
    return None


def _begun(app: App, project: Project, origin: Release) -> Checkpoint | None:
    """Before the first batch: the model as it was released, which has learnt what its table had."""
    app.signed.package(origin)
    pickled = state_of(app.store.artifacts.get(origin.manifest.subject.package.digest))
    if pickled is None:
        return None
    made, rows = _training_of(app, origin)
    labelled = _labelled(app, project)
    learnt = np.zeros(0, dtype=np.uint64)
    if len(labelled):
        own = in_columns_of(app, project, take(rows.columns, rows.train[:1]), labelled)
        if own:
            learnt = _hashes(labelled.subject)[trained_on(app.store.artifacts, made, own)]
    return Checkpoint(
        id=origin.id,
        origin=origin.id,
        state=app.store.artifacts.put(pickled, MEDIA_TYPE),
        ledger=app.store.artifacts.put(pack_arrays({"subjects": learnt}), _LEDGER),
        n_learnt=0,
    )


def _training_of(app: App, release: Release) -> tuple[TrainingSet, Rows]:
    recipe = recipe_of(app.store, app.store.runs.get(release.manifest.run_id))
    made = load_training_set(app.store.artifacts, recipe.training_set.digest)
    return made, load_rows(app.store, recipe.project, made)


def _labelled(app: App, project: Project) -> Labelled:
    """All answers whose truth has come, in the order in which it was observed."""
    labelled = labelled_rows(project.name, app.store.tables)
    return labelled.of(~nulls(labelled.truth)) if len(labelled) else labelled


def _unlearnt(app: App, project: Project, at: Checkpoint) -> NDArray[np.uint64]:
    hashes = _hashes(_labelled(app, project).subject)
    return hashes[~np.isin(hashes, _ledger(app, at))]


def _ledger(app: App, at: Checkpoint) -> NDArray[np.uint64]:
    return unpack_arrays(app.store.artifacts.get(at.ledger.digest), "The ledger")["subjects"]


def _hashes(subjects: Sequence[str] | NDArray[Any]) -> NDArray[np.uint64]:
    return np.array(
        [int.from_bytes(blake2b(str(one).encode(), digest_size=8).digest()) for one in subjects],
        dtype=np.uint64,
    )


def _archived(app: App, state: dict[str, Any]) -> Columns:
    raw = from_plain(Artifact, state["raw"])
    return read_file(app.store.artifacts.path(raw.digest), raw.media_type)


def _judged(app: App, project: Project, at: Checkpoint, columns: Columns, subject: str) -> Verdict:
    """Have the inputs moved from what the model was trained with? Moved rows are what it is to learn.

    An input that is not filled any more, or of another type, format or definition, would spoil it.
    """
    found = changes(app.scorers.baseline(at.origin).inputs, columns, project.monitors.shift)
    redefined = [one for one in found if one.redefined]
    outcome: Outcome4 = "inconclusive" if redefined else "passed"
    named = ", ".join(one.column for one in redefined or found)
    reason = f"differ from the training rows: {named}" if found else "no input differs from the training rows"
    if redefined:
        reason = f"nothing is learnt, for inputs are not what the model was trained with: {named}"
    evidence = {"against": at.origin, "rows": len(next(iter(columns.values()))), "inputs": named}
    return verdict(subject, GATE, outcome, reason, evidence=evidence, at=app.clock.now())


@dataclass(frozen=True, kw_only=True)
class _Learnt:
    """What a batch has made of the model, and how it had answered before."""

    state: Artifact
    losses: NDArray[np.float64]


def _learnt(app: App, project: Project, at: Checkpoint, columns: Columns, scratch: Path) -> _Learnt:
    origin = app.store.releases.get(at.origin)
    made, rows = _training_of(app, origin)
    truth = columns[project.data.target]
    classifies = project.task == "classification"
    y = codes_of(truth, made.classes) if classifies else truth.astype(np.float64)
    batch = Batch(code=origin.manifest.code, encoding=rows.encoding, columns=columns, y=y)
    learnt = learn_batch(app.store.artifacts, at.state, batch, scratch)
    codes = list(range(len(made.classes))) or None
    losses = row_losses(project.gates.model.metric, y.astype(np.float64), learnt.answers, classes=codes)
    return _Learnt(state=learnt.state, losses=np.asarray(losses)[np.isfinite(losses)])


def _keep(
    app: App, project: Project, state: dict[str, Any], at: Checkpoint, learnt: _Learnt, id_: str
) -> None:
    batch = unpack_arrays(app.store.artifacts.get(state["batch"]["digest"]), "The batch")["subjects"]
    ledger = np.concatenate([_ledger(app, at), batch])
    to = Checkpoint(
        id=id_,
        origin=at.origin,
        state=learnt.state,
        ledger=app.store.artifacts.put(pack_arrays({"subjects": ledger}), _LEDGER),
        n_learnt=at.n_learnt + len(batch),
    )
    losses = learnt.losses
    interval = mean_interval(losses, _LEVEL) if losses.size > 1 else None
    kept = Measurement(
        id=id_,
        project=project.name,
        name=NAME,
        value=float(losses.mean()) if losses.size else None,
        n_rows=len(batch),
        at=app.clock.now(),
        interval=None if interval is None else (float(interval.low), float(interval.high)),
        confidence=_LEVEL,
        detail={"origin": at.origin, "after": at.id, "build": state["build_id"], "checkpoint": to_plain(to)},
    )
    detail = {"after": at.id, "rows": len(batch), "learnt": to.n_learnt, "state": to.state.digest}
    with app.store.transaction():
        app.store.audit.append(state["author"], "model.learn", f"project:{project.name}", detail)
        app.store.evidence.measure([kept])


def held_back(app: App, project: Project, at_id: str, judged: Verdict) -> Finding:
    """What tells people that the learning waits for them."""
    route = app.store.rollouts.route(project.name)
    return Finding(
        id=derived_id("finding", project.name, KIND, at_id),
        project=project.name,
        kind=KIND,
        release_id="" if route is None else route.live,
        title=f"learning online has stopped: {judged.reason}",
        window=(judged.at, judged.at),
        evidence=dict(judged.evidence),
        size=1.0,
        at=judged.at,
    )
