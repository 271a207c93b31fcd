"""Measures answers by the metrics that a project declares: Headrace's own here, the user's in a process of
their own, from the archived code, so that a release is always measured by the code it was approved with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.fairness import Group, compare_groups, is_favourable
from headrace.checks.metrics import labels_of, probabilities
from headrace.checks.packs import Measured, Scored, concluded, known_metrics, measure_metric
from headrace.checks.tasks import answers_classes
from headrace.core.data import Artifact, Run
from headrace.core.errors import NotFound
from headrace.core.ports import ArtifactStore, Columns
from headrace.core.project import FairnessSpec, Project
from headrace.data.frames import take
from headrace.data.sources import write_parquet
from headrace.store import Store
from headrace.training.archives import unpack_arrays
from headrace.training.definition import marked_names
from headrace.training.job import MEASURED
from headrace.training.launch import run_worker
from headrace.training.lock import unpack_code
from headrace.training.pipeline import UNLABELLED, recipe_of
from headrace.training.training_set import Rows, history_of, input_columns, load_rows, load_training_set

TIMEOUT_S = 600.0


def check_metrics(project: Project, folder: Path) -> None:
    """Whether each declared metric is known here or marked in ``project.py``; none of its code is run.

    Raises:
        NotFound: one is neither; the message lists those that there are.
    """
    own = marked_names(folder, "metric") if project.metrics else frozenset()
    known = known_metrics(project.task)
    for spec in project.metrics:
        if spec.name not in known | own:
            raise NotFound(
                f"There is no metric {spec.name!r} for {project.task}. Headrace has: "
                f"{', '.join(sorted(known))}; project.py has: {', '.join(sorted(own)) or 'none'}. Mark a "
                f'function there with @headrace.metric("{spec.name}"), or correct headrace.yaml.'
            )


def measure_run(store: Store, project: Project, run: Run, scratch: Path) -> dict[str, Measured]:
    """The metrics that ``project`` declares, of a finished run's answers on its test rows.

    Raises:
        UserCodeError: the user's code failed.
    """
    recipe = recipe_of(store, run)
    made = load_training_set(store.artifacts, recipe.training_set.digest)
    rows = load_rows(store, recipe.project, made)
    scored = scored_rows(store, run, rows, made.classes)
    return measure(store.artifacts, project, run.code, [scored], scratch)[0]


def group_run(store: Store, run: Run, spec: FairnessSpec) -> dict[str, list[Group]]:
    """What each group of a finished run's test rows was answered, by column; any column of the table."""
    recipe = recipe_of(store, run)
    made = load_training_set(store.artifacts, recipe.training_set.digest)
    rows = load_rows(store, recipe.project, made)
    scored, columns = scored_rows(store, run, rows, made.classes), rows.test_columns()
    selected, deserved = (
        is_favourable(values, spec.favourable) for values in (scored.outputs["predict"], scored.truth)
    )
    absent = [name for name in spec.groups if name not in columns]
    if absent:
        raise NotFound(
            f"The table has no column {absent[0]!r} (has: {', '.join(list(columns)[:20])}). "
            "Correct fairness.groups in headrace.yaml."
        )
    return {name: compare_groups(columns[name], selected, deserved) for name in spec.groups}


def scored_rows(store: Store, run: Run, rows: Rows, classes: Sequence[Any]) -> Scored:
    """The test rows with the run's answers, labels in place of positions among the classes."""
    project = recipe_of(store, run).project
    answers = unpack_arrays(store.artifacts.get(run.outputs["test_predictions"].digest), "The predictions")
    if answers_classes(project.task):
        labels = np.array(labels_of(list(classes)), dtype=object)
        answers = answers | {"predict": labels[answers["predict"].astype(np.int64)]}
    columns = rows.test_columns()
    history = stability = losses = None
    if UNLABELLED in run.outputs:
        found = unpack_arrays(store.artifacts.get(run.outputs[UNLABELLED].digest), "What was measured")
        stability, losses = found["stability"], found["losses"]
    if project.task == "forecasting":
        history = history_of(take(rows.columns, rows.train), project).values
    return Scored(
        truth=rows.truth(),
        outputs=answers,
        columns={column.name: columns[column.name] for column in input_columns(project)},
        classes=classes or None,
        history=history,
        stability=stability,
        losses=losses,
    )


def measure(
    artifacts: ArtifactStore, project: Project, code: Artifact, parts: Sequence[Scored], scratch: Path
) -> list[dict[str, Measured]]:
    """Every declared metric of each part, by name; what a part's rows cannot tell is left out.

    Args:
        code: archive that holds the user's own metrics.
        scratch: a folder to work in; it is gone afterwards.

    Raises:
        NotFound: a metric is neither known here nor in the code.
        UserCodeError: the user's code failed.
    """
    known = known_metrics(project.task)
    own = [spec.name for spec in project.metrics if spec.name not in known]
    theirs = _ask(artifacts, code, own, parts, scratch) if own and parts else {}
    measured = []
    for index, scored in enumerate(parts):
        found = {
            spec.name: concluded(theirs[f"{index}:{spec.name}"])
            if spec.name in own
            else measure_metric(spec, project.task, scored)
            for spec in project.metrics
        }
        measured.append({name: one for name, one in found.items() if one is not None})
    return measured


def _ask(
    artifacts: ArtifactStore, code: Artifact, names: Sequence[str], parts: Sequence[Scored], scratch: Path
) -> Mapping[str, Any]:
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        folder = scratch / "code"
        unpack_code(artifacts.get(code.digest), folder)
        tables = [(scratch / f"{index}.parquet").resolve() for index in range(len(parts))]
        for scored, table in zip(parts, tables, strict=True):
            write_parquet(_table(scored), table)
        job = {
            "kind": "measure",
            "folder": str(folder.resolve()),
            "metrics": list(names),
            "tables": [str(table) for table in tables],
        }
        result = run_worker(job, scratch / "worker", cwd=folder, timeout_s=TIMEOUT_S)
        found = unpack_arrays((result.output / MEASURED).read_bytes(), "What the metrics returned")
        return {name: float(values) if values.shape == () else values for name, values in found.items()}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _table(scored: Scored) -> Columns:
    columns = {"truth": _plain(scored.truth), "predict": _plain(scored.outputs["predict"])}
    if "probability" in scored.outputs:
        given = probabilities(scored.outputs, len(scored.truth))
        columns |= {f"probability_{index}": given[:, index] for index in range(given.shape[1])}
    return columns | {f"in_{name}": values for name, values in scored.columns.items()}


def _plain(values: Any) -> NDArray[Any]:
    """Numbers as float64, labels as they compare: live labels are kept as either, whatever they were."""
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    labels = labels_of(array)
    if all(label is None or isinstance(label, float) for label in labels):
        return np.array([np.nan if label is None else label for label in labels], dtype=np.float64)
    return np.array([None if label is None else str(label) for label in labels], dtype=object)
