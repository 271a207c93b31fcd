"""A model that answers elsewhere gets a place here: a registry entry, a baseline, a record, and watching.

Nothing about it is redeployed, and nothing here can send it traffic: its release has the state ``external``,
from which no step leads on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headrace.access.privacy.fields import altered_inputs
from headrace.app.composition import App
from headrace.app.operations import declare
from headrace.checks.estimation import LossModel
from headrace.checks.metrics import row_losses
from headrace.checks.profiles import Profile
from headrace.checks.tasks import UNSUPERVISED
from headrace.core.canonical import canonical_json, digest_bytes
from headrace.core.data import Artifact, Run, Snapshot
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.data.frames import is_null
from headrace.data.snapshots import take_snapshot
from headrace.data.sources import media_type_of, read_file
from headrace.monitoring.baseline import MEDIA_TYPE as BASELINE
from headrace.monitoring.baseline import make_baseline, text_profiles
from headrace.releases.manifest import propose
from headrace.training.registry import register_model
from headrace.training.training_set import input_columns

STATEMENT = "application/vnd.headrace.external-model+json"
PREDICTION, PROBABILITY = "prediction", "probability"
"""Columns of a log that hold what the model said; the second, of two classes, is the last one's."""
_LONGEST = 2_000


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A model that answers elsewhere.

    Attributes:
        version: how it is called there.
        reference: a log of good days, as CSV or Parquet, that later ones are compared with: the inputs, a
            column ``prediction``, and the target where it is known.
        file: the model itself, of which only the digest is kept.
        statement: what is known of how it was made, in words.
    """

    version: str
    reference: Path
    file: Path | None = None
    statement: str = ""


def attach_model(app: App, me: Principal, folder: Path, foreign: Foreign) -> Release:
    """Register the model under the project that ``folder`` declares; the same one again changes nothing.

    Raises:
        Denied: ``me`` may not run builds of the project.
        InvalidInput: neither file nor statement is given, or the reference lacks a column.
        Conflict: this version is known with another digest, statement or reference.
    """
    if foreign.file is None and not foreign.statement.strip():
        raise InvalidInput(
            "Nothing says which model this is. Give --file with the model, of which the digest is kept, or "
            "--statement with what is known of it."
        )
    if len(foreign.statement) > _LONGEST or not foreign.version.strip() or len(foreign.version) > 200:
        raise InvalidInput(
            f"Expected a version of 1 to 200 characters, and a statement of up to {_LONGEST:,}."
        )
    project = declare(app, me, folder)
    if project.task in UNSUPERVISED:
        raise InvalidInput(
            f"A model of {project.task} cannot be attached: nothing measures it without truth."
        )
    if project.task == "forecasting":
        raise InvalidInput("A forecasting model cannot be attached yet; models with plain inputs can.")
    _require_no_answer_among_inputs(project)
    table = _columns(foreign.reference)
    statement = {
        "external": foreign.version,
        "project": project.name,
        "sha256": None if foreign.file is None else _digest(foreign.file),
        "statement": foreign.statement,
        "reference": _digest(foreign.reference),
    }
    build_id = derived_id("external", project.name, foreign.version)
    release_id = derived_id("release", build_id)
    said = app.store.artifacts.put(canonical_json(statement), STATEMENT)
    known = [one for one in app.store.releases.list(project.name) if one.id == release_id]
    if known:
        if known[0].manifest.subject.package != said:
            raise Conflict(
                f"Version {foreign.version!r} is attached to {project.name!r} already, with another digest, "
                "statement or reference. Give the other model another version."
            )
        return known[0]
    baseline = app.store.artifacts.put(_baseline(app, project, table).to_bytes(), BASELINE)
    snapshot = _snapshot(app, me, project, foreign.reference, table)
    run = _run(me, said, snapshot, build_id=build_id, external=foreign.version, now=app.clock.now())
    with app.store.transaction():
        app.store.runs.save(run)
        model = register_model(app.store, app.clock, run)
        release = propose(
            project, run, model, snapshot, baseline, commit=None, parent=None, at=app.clock.now()
        )
        release = replace(release, state="external", reason=f"answers elsewhere as {foreign.version}")
        release = replace(release, signature=app.access.signatures.sign(release))
        detail = {
            "digest": release.digest,
            "run": run.id,
            "version": foreign.version,
            "sha256": statement["sha256"],
        }
        app.store.audit.append(me.name, "model.attach", f"release:{release.id}", detail)
        return app.store.releases.add(release)


def _require_no_answer_among_inputs(project: Project) -> None:
    """What the model said is not what it was asked: watched as an input it would count every shift twice."""
    said = [one.name for one in input_columns(project) if one.name in (PREDICTION, PROBABILITY)]
    if said:
        raise InvalidInput(
            f"Column {said[0]!r} is an input in headrace.yaml, and in a log it is what the model said. Set "
            "its role to ignored there and attach again."
        )


def stated(app: App, release: Release) -> dict[str, Any]:
    """What was said of an attached model: ``external`` (its version there), ``sha256``, ``statement``, ..."""
    found: dict[str, Any] = json.loads(app.store.artifacts.get(release.manifest.subject.package.digest))
    return found


def attached(app: App, project: str, version: str) -> Release:
    """The release of an attached version.

    Raises:
        NotFound: there is none.
    """
    release_id = derived_id("release", derived_id("external", project, version))
    found = [one for one in app.store.releases.list(project) if one.state == "external"]
    for one in found:
        if one.id == release_id:
            return one
    names = ", ".join(str(one.manifest.params["external"]) for one in found) or "none"
    raise NotFound(
        f"No model answers elsewhere as version {version!r} of {project!r} (attached: {names}). Attach it in "
        "the project's folder: headrace model attach --version NAME --reference LOG --file MODEL"
    )


def predictions_of(table: Mapping[str, Any], project: Project) -> dict[str, Any]:
    """What the model said, by the names that our own models give it: arrays ``(n_rows,)``.

    Raises:
        InvalidInput: a column is missing, or holds no number where one is needed.
    """
    if PREDICTION not in table:
        raise InvalidInput(
            f"The log has no column {PREDICTION!r} (has: {', '.join(list(table)[:20])}). Rename the one that "
            "holds what the model said."
        )
    values = np.asarray(table[PREDICTION])
    if project.task != "classification":
        return {"predict": _numbers(PREDICTION, values)}
    outputs = {"predict": values}
    if PROBABILITY in table:
        outputs["probability"] = _numbers(PROBABILITY, np.asarray(table[PROBABILITY]))
    return outputs


def _numbers(name: str, values: Any) -> Any:
    if values.dtype.kind not in "fiub" or not np.isfinite(values.astype(np.float64)).all():
        raise InvalidInput(f"Column {name!r} holds something that is no finite number. Leave such rows out.")
    return values.astype(np.float64)


def _columns(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Give a CSV or Parquet file.")
    return dict(read_file(path))


def _digest(path: Path) -> str:
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.")
    return digest_bytes(path.read_bytes())


def _baseline(app: App, project: Project, table: dict[str, Any]) -> Any:
    inputs = tuple(input_columns(project))
    missing = [column.name for column in inputs if column.name not in table]
    if missing:
        raise InvalidInput(
            f"The reference has no column {missing[0]!r}, which headrace.yaml names as an input "
            f"(has: {', '.join(list(table)[:20])})."
        )
    outputs = predictions_of(table, project)
    truth = table.get(project.data.target)
    metric = project.gates.model.metric
    classes = None
    if project.task == "classification":
        seen = {v.item() if hasattr(v, "item") else v for v in outputs["predict"]}
        seen |= set() if truth is None else {v for v in np.asarray(truth).tolist() if not is_null(v)}
        classes = tuple(sorted(seen, key=lambda label: (label == project.data.positive, str(label))))
    if truth is None:
        # Without truth no loss is known: 0 is what says so to watching, which then judges none.
        losses, residuals = np.zeros(1), None
    else:
        losses = row_losses(metric, truth, _judged(outputs, metric, classes), classes=classes)
        known = np.isfinite(losses)
        if not known.any():
            raise InvalidInput(
                f"No row of the reference has a {project.data.target!r} that says how good it was."
            )
        residuals = None if classes else (np.asarray(truth, dtype=np.float64) - outputs["predict"])[known]
        losses = losses[known]
    loss_model = None
    if truth is not None:
        answers = _judged(outputs, metric, classes)
        hidden = altered_inputs(project)
        recorded = [column for column in inputs if column.name not in hidden]
        loss_model = LossModel.fit(metric, truth, table, answers, recorded, classes=classes)
    return make_baseline(
        Profile.fit(table, inputs),
        outputs["predict"],
        losses,
        metric,
        residuals=residuals,
        trained_until=None,
        classes=classes,
        loss_model=loss_model,
        texts=text_profiles(table, inputs, app.access.privacy.rules(project.name).column),
    )


def _judged(outputs: dict[str, Any], metric: str, classes: tuple[Any, ...] | None) -> dict[str, Any]:
    """The outputs as losses take them: of two classes, a column of probabilities for each."""
    if classes is None or metric == "error_rate":
        return outputs
    if PROBABILITY not in outputs or len(classes) != 2:
        raise InvalidInput(
            f"gates.model.metric is {metric}, which needs a column {PROBABILITY!r} in the log, "
            f"of the last of two classes (seen: {len(classes)}). Or set it to error_rate in headrace.yaml."
        )
    last = outputs[PROBABILITY]
    return {**outputs, PROBABILITY: np.column_stack([1 - last, last])}


def _snapshot(app: App, me: Principal, project: Project, path: Path, table: dict[str, Any]) -> Snapshot:
    return take_snapshot(
        project=project.name,
        columns=table,
        raw=app.store.artifacts.put_file(path, media_type_of(path)),
        source=path.name,
        privacy=project.privacy,
        tables=app.store.tables,
        snapshots=app.store.snapshots,
        clock=app.clock,
        noted=partial(_noted, app, me),
    )


@contextmanager
def _noted(app: App, me: Principal, snapshot: Snapshot) -> Iterator[None]:
    detail = {"snapshot": snapshot.id, "digest": snapshot.digest, "rows": snapshot.n_rows}
    with app.store.transaction():
        app.store.audit.append(me.name, "data.snapshot", f"project:{snapshot.project}", detail)
        yield


def _run(
    me: Principal, said: Artifact, snapshot: Snapshot, *, build_id: str, external: str, now: datetime
) -> Run:
    return Run(
        id=derived_id("run", build_id),
        build_id=build_id,
        project=snapshot.project,
        variant="external",
        cause="answers elsewhere",
        author=me.name,
        state="finished",
        fingerprint=said.digest,
        snapshot_id=snapshot.id,
        code=said,
        environment=said,
        params={"external": external},
        seed=0,
        started_at=now,
        finished_at=now,
        package=said,
    )
