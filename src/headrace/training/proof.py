"""Gate 3a: the deployable artefact, tested end to end, returns the same results as the original model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.equivalence import Equivalence, compare_outputs
from headrace.core.canonical import plain
from headrace.core.data import Run
from headrace.core.errors import InternalError, InvalidInput, NotFound
from headrace.core.ports import Columns
from headrace.core.release import Outcome4
from headrace.data.frames import take
from headrace.store import Store
from headrace.training.archives import unpack_arrays
from headrace.training.package import Label, OnnxScorer, load_scorer
from headrace.training.pipeline import probe_rows, recipe_of
from headrace.training.training_set import Rows, codes_of, load_rows, load_training_set


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Whether the package equals the original. ``evidence`` is JSON: per set of rows what was measured."""

    outcome: Outcome4
    reason: str
    evidence: dict[str, Any]


def prove_package(store: Store, run: Run) -> Proof:
    """Load a run's package, let it answer raw rows, and compare with the original estimator's answers.

    The rows are the test rows and probes at the edges of what was trained on. For forecasting the package
    must also compute from its own history the lags that training used. What cannot be measured is an
    ``error``, never a pass.
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
    scorer: OnnxScorer,
    columns: Columns,
    tolerance: float,
    *,
    classes: Sequence[Label] = (),
) -> Equivalence:
    """Let the package answer raw rows and hold that against the original's answers on the same rows.

    Args:
        classes: classification: the labels that the original's codes stand for.

    Rows that the original refused for a missing number are NaN in ``original``; the package has to
    refuse them too, one by one.

    Raises:
        InvalidInput: the package refuses rows that the original answered.
    """
    refused = np.isnan(original["predict"])
    for index in np.flatnonzero(refused):
        if not _refuses(scorer, take(columns, np.array([index]))):
            return Equivalence(
                outcome="failed",
                reason=f"row {index}, which the original refuses, gets an answer from the package",
                max_difference=None,
                n_rows=len(refused),
                worst_row=int(index),
            )
    answered = np.flatnonzero(~refused)
    answers = scorer.score(take(columns, answered))
    if scorer.classes is not None:
        # By the training set's classes, not the package's own: that its labels are right is part of it.
        answers["predict"] = codes_of(answers["predict"], classes).astype(np.float64)
    kept = {name: values[answered] for name, values in original.items()}
    return compare_outputs(kept, answers, tolerance)


def history_difference(scorer: OnnxScorer, rows: Rows) -> float:
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
    for name, columns in (("test", rows.test_columns()), ("probe", probe_rows(project, rows))):
        stored = store.artifacts.get(run.outputs[f"{name}_predictions"].digest)
        found = compare_answers(
            unpack_arrays(stored, "The predictions"), scorer, columns, tolerance, classes=made.classes
        )
        outcomes.append(found.outcome)
        reasons.append(f"{name} rows: {found.reason}")
        evidence[f"{name}_rows"] = plain(found)
    if scorer.history is not None:
        difference = history_difference(scorer, rows)
        outcomes.append("passed" if difference == 0 else "failed")
        reasons.append(f"lags from its own history differ by {difference:.3g}")
        evidence["history_difference"] = difference if isfinite(difference) else None
    return Proof(outcome=_worst(outcomes), reason="; ".join(reasons), evidence=evidence)


def _refuses(scorer: OnnxScorer, row: Columns) -> bool:
    try:
        scorer.score(row)
    except InvalidInput:
        return True
    return False


def _worst(outcomes: list[Outcome4]) -> Outcome4:
    order: tuple[Outcome4, ...] = ("error", "failed", "inconclusive", "passed")
    return min(outcomes, key=order.index)
