"""How good the variants of a build are, and how a candidate compares on rows that nobody trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.comparison import SegmentDifference, paired_interval, segment_differences
from headrace.checks.metrics import Interval, mean_interval, row_losses
from headrace.checks.mislabelled import doubtful_classes, doubtful_numbers, summary
from headrace.checks.tasks import GENERATIVE, UNSUPERVISED
from headrace.checks.unlabelled import losses_without_truth, spaced
from headrace.core.data import Run
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.data.frames import take
from headrace.store import Store
from headrace.training.archives import unpack_arrays
from headrace.training.package import PackageScorer
from headrace.training.pipeline import ANSWERS, UNLABELLED, losses_in, recipe_of
from headrace.training.training_set import Rows, codes_of, load_rows, load_training_set

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One finished variant on the test rows.

    Attributes:
        losses: the gate metric of each test row, ``(n_test,)``, in the order of the training set; without
            truth of at most 5,000 rows.
        loss: their mean with its interval.
        against_first: interval of the mean difference to the first variant's losses on the same rows.
    """

    run_id: str
    variant: str
    metrics: dict[str, float]
    losses: Floats
    loss: Interval
    against_first: Interval


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two packages on the same rows; ``difference`` below zero says that the first one is better.

    ``segments`` are the differences in each segment that was asked for.
    """

    difference: Interval
    loss: float
    other_loss: float
    n_rows: int
    n_excluded: int
    segments: tuple[SegmentDifference, ...] = ()


def evaluate(store: Store, runs: Sequence[Run]) -> list[Evaluation]:
    """Losses of the finished runs of one build, from the original estimators' stored answers."""
    finished = [run for run in runs if run.state == "finished"]
    if not finished:
        return []
    recipe = recipe_of(store, finished[0])
    made = load_training_set(store.artifacts, recipe.training_set.digest)
    rows = load_rows(store, recipe.project, made)
    gate = recipe.project.gates.model
    groups = rows.groups(recipe.project)
    if groups is not None and recipe.project.task in UNSUPERVISED:
        groups = groups[spaced(len(groups))]
    first: Floats | None = None
    evaluations = []
    for run in finished:
        losses = losses_of(store, run, rows)
        first = losses if first is None else first
        evaluations.append(
            Evaluation(
                run_id=run.id,
                variant=run.variant,
                metrics=run.metrics,
                losses=losses,
                loss=mean_interval(losses, gate.confidence),
                against_first=paired_interval(losses, first, gate.confidence, groups),
            )
        )
    return evaluations


def losses_of(store: Store, run: Run, rows: Rows) -> Floats:
    """The gate metric of each test row, ``(n_test,)``, of a finished run; without truth of at most 5,000."""
    if UNLABELLED in run.outputs:
        return np.asarray(losses_in(store.artifacts.get(run.outputs[UNLABELLED].digest)))
    recipe = recipe_of(store, run)
    made = load_training_set(store.artifacts, recipe.training_set.digest)
    truth: Any = rows.truth()
    if ANSWERS in run.outputs:
        texts = json.loads(store.artifacts.get(run.outputs[ANSWERS].digest))
        return row_losses(recipe.project.gates.model.metric, truth, {"predict": texts})
    answers = unpack_arrays(store.artifacts.get(run.outputs["test_predictions"].digest), "The predictions")
    codes = None
    if recipe.project.task == "classification":
        truth, codes = codes_of(truth, made.classes).astype(np.float64), list(range(len(made.classes)))
    return row_losses(recipe.project.gates.model.metric, truth, answers, classes=codes)


def doubtful_labels(store: Store, run: Run) -> list[dict[str, Any]]:
    """Test rows whose label is probably wrong, by the answers of a finished run, which has not learnt from
    them: each reason with its number of rows and the surest of them, by their place in the snapshot."""
    recipe = recipe_of(store, run)
    if recipe.project.task in (*UNSUPERVISED, *GENERATIVE):
        return []
    made = load_training_set(store.artifacts, recipe.training_set.digest)
    rows = load_rows(store, recipe.project, made)
    answers = unpack_arrays(store.artifacts.get(run.outputs["test_predictions"].digest), "The predictions")
    if recipe.project.task == "classification":
        found = doubtful_classes(codes_of(rows.truth(), made.classes), answers["probability"], made.classes)
    else:
        found = doubtful_numbers(rows.truth().astype(np.float64), answers["predict"])
    return summary(found, rows.test)


def compare_with(
    package: PackageScorer,
    other: PackageScorer,
    columns: Columns,
    truth: NDArray[Any],
    metric: str,
    *,
    excluded: NDArray[np.bool_] | None = None,
    groups: NDArray[Any] | None = None,
    confidence: float = 0.95,
    segments: Mapping[str, NDArray[Any]] | None = None,
) -> Comparison:
    """Compare two packages on the same rows, without those that either trained on.

    Args:
        columns: prepared columns, as :func:`prepare_table` gives.
        truth: the target, ``(n_rows,)``.
        excluded: rows to leave out, ``(n_rows,)``; see :func:`headrace.training.training_set.trained_on`.
        groups: what each row belongs to, ``(n_rows,)``, where rows of one say little about others.
        segments: by column the segment of each row, ``(n_rows,)``, in which they are compared as well.

    Raises:
        InvalidInput: no rows are left, a package cannot answer these columns, or without truth the two have
            other inputs.
    """
    kept = np.arange(len(truth)) if excluded is None else np.flatnonzero(~excluded)
    if not len(kept):
        raise InvalidInput(
            f"None of {len(truth)} rows is new to both models, so they cannot be compared. "
            "Bring rows that neither was trained on."
        )
    if package.task in UNSUPERVISED and set(package.encoding.columns) != set(other.encoding.columns):
        raise InvalidInput(
            "They have other inputs. Without truth they can only be compared where they see the same."
        )
    if package.task in UNSUPERVISED:
        kept = kept[spaced(len(kept))]
    rows = take(columns, kept)
    losses = [_losses(metric, scorer, rows, truth[kept]) for scorer in (package, other)]
    of = None if groups is None else groups[kept]
    within = {column: names[kept] for column, names in (segments or {}).items()}
    return Comparison(
        difference=paired_interval(losses[0], losses[1], confidence, of),
        loss=float(losses[0].mean()),
        other_loss=float(losses[1].mean()),
        n_rows=len(kept),
        n_excluded=len(truth) - len(kept),
        segments=tuple(segment_differences(losses[0], losses[1], within, confidence, of)),
    )


def _losses(metric: str, scorer: PackageScorer, rows: Columns, truth: NDArray[Any]) -> Floats:
    if scorer.task not in UNSUPERVISED:
        return row_losses(metric, truth, scorer.score(rows), classes=scorer.classes)
    inputs = {name: rows[name] for name in scorer.encoding.columns}
    return losses_without_truth(metric, scorer.score, inputs)
