"""Gate 3a: the deployable artefact, tested end to end, returns the same results as the original model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.access.privacy.fields import handling_of
from headrace.checks.equivalence import Equivalence, compare_outputs
from headrace.checks.metrics import labels_of
from headrace.checks.searching import ask_each
from headrace.core.canonical import plain
from headrace.core.data import Run
from headrace.core.errors import InternalError, InvalidInput, NotFound
from headrace.core.ports import Columns
from headrace.core.project import Project
from headrace.core.release import Outcome4
from headrace.data.frames import is_null
from headrace.data.sources import PARQUET, read_file
from headrace.store import Store
from headrace.training.archives import unpack_arrays
from headrace.training.package import Label, PackageScorer, load_scorer
from headrace.training.pipeline import PROBE_ROWS, recipe_of
from headrace.training.training_set import Rows, input_columns, load_rows, load_training_set

_ALONE_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Whether the package equals the original. ``evidence`` is JSON: per set of rows what was measured."""

    outcome: Outcome4
    reason: str
    evidence: dict[str, Any]


def prove_package(store: Store, run: Run) -> Proof:
    """Load a run's package, let it answer raw rows, and compare with the original estimator's answers.

    The rows are the test rows, some of them one by one too, and those that the search for a disagreement kept
    as evidence, the worst it found among them. For forecasting the package must also compute from its own
    history the lags that training used. What cannot be measured is an ``error``, never a pass.
    """
    try:
        return _prove(store, run)
    except (InvalidInput, NotFound, InternalError) as error:
        return Proof(
            outcome="error",
            reason=f"the package could not be compared with the original: {error}",
            evidence={"run_id": run.id, "error": str(error)},
        )


def compare_answers(
    original: Mapping[str, NDArray[Any]],
    scorer: PackageScorer,
    columns: Columns,
    tolerance: float,
    *,
    classes: Sequence[Label] = (),
    alone: bool = False,
    spread: float | None = None,
) -> Equivalence:
    """Let the package answer raw rows and hold that against the original's answers on the same rows.

    Args:
        classes: classification: the labels that the original's codes stand for.
        alone: ask the package for one row after the other.
        spread: of the original's predictions, by which differences are measured; see
            :func:`headrace.checks.equivalence.compare_outputs`.

    Rows that the original refused are NaN in ``original``; the package has to refuse them too, one by one.
    """
    position: dict[Any, float] = {label: float(code) for code, label in enumerate(classes)}

    def ask(rows: Columns) -> dict[str, Any]:
        answers = scorer.score(rows)
        if scorer.classes is not None:
            # By the training set's classes, not the package's own: that its labels are right is part of it.
            answers["predict"] = np.array(
                [position.get(label, -1.0) for label in labels_of(answers["predict"])]
            )
        return answers

    answers = ask_each(ask, columns, alone=alone)
    answers = answers or {name: np.full_like(v, np.nan) for name, v in original.items()}
    found = compare_outputs(original, answers, tolerance, spread=spread)
    row = found.worst_row
    if row is None or found.outcome == "passed" or found.max_difference is not None:
        return found
    for one, other, whose in (
        (original, answers, "which the original refuses, gets an answer from the package"),
        (answers, original, "which the original answers, is refused by the package"),
    ):
        if np.isnan(one["predict"][row]) and not np.isnan(other["predict"][row]):
            return replace(found, reason=f"row {row}, {whose}")
    return found


def history_difference(scorer: PackageScorer, rows: Rows) -> float:
    """How much lags that the package computes itself differ from those of training; 0 when they agree.

    NaN counts as equal to NaN, and as infinitely far from a number.
    """
    if scorer.history is None or scorer.info.time is None:
        return 0.0
    days = rows.columns[scorer.info.time][rows.test]
    computed = scorer.history.features(days, scorer.info.lags_days, scorer.info.horizon_days)
    largest = 0.0
    for name, values in computed.items():
        trained = rows.columns[name][rows.test]
        differ = (values != trained) & ~(np.isnan(values) & np.isnan(trained))
        if differ.any():
            gaps = np.abs(values[differ] - trained[differ])
            largest = max(largest, float(np.where(np.isnan(gaps), np.inf, gaps).max()))
    return largest


def _prove(store: Store, run: Run) -> Proof:
    if run.package is None:
        raise InvalidInput(f"run {run.id} is {run.state} and has no package")
    project = recipe_of(store, run).project
    made = load_training_set(store.artifacts, run.outputs["training_set"].digest)
    rows = load_rows(store, project, made)
    scorer = load_scorer(store.artifacts.path(run.package.digest))
    tolerance = project.gates.package.tolerance
    evidence: dict[str, Any] = {"run_id": run.id, "package": run.package.digest, "tolerance": tolerance}
    outcomes: list[Outcome4] = []
    reasons = []
    searched = json.loads(store.artifacts.get(run.outputs["search"].digest))
    evidence["search"] = searched
    for name, columns, original, alone in _sets(store, run, rows.test_columns()):
        found = compare_answers(
            original, scorer, columns, tolerance, classes=made.classes, alone=alone, spread=searched["spread"]
        )
        outcomes.append(found.outcome)
        evidence[f"{name}_rows"] = plain(found)
        shown = ""
        if found.outcome == "failed" and found.worst_row is not None:
            worst = _shown(project, columns, found.worst_row)
            evidence[f"{name}_rows"]["worst_input"] = worst
            shown = f", on {worst}"
        reasons.append(f"{name} rows: {found.reason}{shown}")
    n_searched = sum(searched["n_rows"].values())
    reasons.append(f"{n_searched:,} rows were searched for a difference")
    scorer.close()
    if scorer.history is not None:
        difference = history_difference(scorer, rows)
        outcomes.append("passed" if difference == 0 else "failed")
        reasons.append(f"lags from its own history differ by {difference:.3g}")
        evidence["history_difference"] = difference if isfinite(difference) else None
    return Proof(outcome=_worst(outcomes), reason="; ".join(reasons), evidence=evidence)


class _Set(NamedTuple):
    """Rows and what the original answered to all of them at once; ``alone``: the package is asked for one
    after the other, as callers do, and rows that wait together must not change what each of them gets."""

    name: str
    columns: Columns
    original: Mapping[str, NDArray[Any]]
    alone: bool = False


def _sets(store: Store, run: Run, test: Columns) -> list[_Set]:
    probes = read_file(store.artifacts.path(run.outputs[PROBE_ROWS].digest), PARQUET)
    stored = {
        name: unpack_arrays(store.artifacts.get(run.outputs[f"{name}_predictions"].digest), "The predictions")
        for name in ("test", "probe")
    }
    n_rows = len(next(iter(test.values())))
    some = np.unique(np.linspace(0, n_rows - 1, _ALONE_ROWS).astype(np.intp))
    return [
        _Set("test", test, stored["test"]),
        _Set("probe", probes, stored["probe"]),
        _Set("single", _taken(test, some), _taken(stored["test"], some), alone=True),
    ]


def _taken(columns: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(values)[rows] for name, values in columns.items()}


def _shown(project: Project, columns: Columns, row: int) -> dict[str, Any]:
    """One row of the inputs, as far as their values may be written down."""
    return {
        name: _plain(values[row]) if handling_of(project, name) == "keep" else f"<{name}>"
        for name, values in columns.items()
        if name in {column.name for column in input_columns(project)}
    }


def _plain(value: Any) -> Any:
    return None if is_null(value) else value.item() if isinstance(value, np.generic) else value


def _worst(outcomes: list[Outcome4]) -> Outcome4:
    order: tuple[Outcome4, ...] = ("error", "failed", "inconclusive", "passed")
    return min(outcomes, key=order.index)
