"""Measures what tells whether a pipeline learns: on rows it has learnt from, and with labels shuffled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.comparison import FEWEST_ROWS, paired_interval
from headrace.checks.importances import alone
from headrace.checks.metrics import Floats, Interval, row_losses
from headrace.checks.tasks import UNSUPERVISED
from headrace.checks.training_faults import (
    CONFIDENCE,
    Gain,
    InputFaults,
    best_constant_losses,
    constant_losses,
    gain_of,
    gap_interval,
    input_faults,
    shuffled_gain,
    some_rows,
)
from headrace.core.data import Run
from headrace.core.errors import HeadraceError
from headrace.core.project import Project
from headrace.data.frames import take
from headrace.store import Store
from headrace.training.archives import unpack_arrays
from headrace.training.evaluation import losses_of
from headrace.training.job import MEASURED
from headrace.training.launch import TimedOut, run_worker
from headrace.training.package import PackageScorer
from headrace.training.pipeline import recipe_of, write_job
from headrace.training.probing import REFITS
from headrace.training.training_set import Rows, TrainingSet, codes_of, load_rows, load_training_set

_MOST_TRAIN = 5_000
MOST_TEST = 2_000
_START_S = 60.0
_BASELINES = "headrace.training.baselines"
_RULES = {
    f"{_BASELINES}.ConstantModel": "it is a constant",
    f"{_BASELINES}.ColumnModel": "it answers with one of its inputs",
}
"""What learns next to nothing: nothing else is asked of it."""
_BEGINS_WITH_AN_INPUT = f"{_BASELINES}.DifferenceModel"
"""Without labels it knows that much."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What was found; a part is None where it could not be measured, and ``unmeasured`` says why.

    Attributes:
        loss, constant: on training rows, of the model and of the simplest one; ``learnt`` is the interval of
            their difference, below 0 where the model is better.
        gap: how much larger the loss is on test rows than on training rows.
        test_loss: on all test rows.
        gain: beside an ordinary model, on test rows.
        shuffled: what models with shuffled labels spare, as a share of the best constant's loss.
        alone: how well each input says the target by itself; see :func:`headrace.checks.importances.alone`.
            Empty where inputs are made from the target.
        controls: of each model with shuffled labels, on which inputs its answers hang; see
            :func:`headrace.checks.importances.shares_of`.
        broken: why the worker that makes the other models failed; empty where it did not. That it took too
            long is no failure: what it had come to counts.
    """

    inputs: InputFaults
    loss: float | None = None
    constant: float | None = None
    learnt: Interval | None = None
    test_loss: float | None = None
    gap: Interval | None = None
    gain: Gain | None = None
    shuffled: Interval | None = None
    alone: dict[str, float] = field(default_factory=dict)
    controls: tuple[Floats, ...] = ()
    unmeasured: tuple[str, ...] = ()
    broken: str = ""


def probe_run(
    store: Store,
    run: Run,
    scorer: PackageScorer,
    scratch: Path,
    *,
    timeout_s: float,
    least_gain: float,
    learns: bool = True,
) -> Probed:
    """Ask a finished run what it has learnt; at most 5,000 training rows and 2,000 test rows are looked at.

    Args:
        scorer: of the run's package.
        scratch: a folder of its own; it is gone afterwards.
        timeout_s: for the user's code, which learns shuffled labels; 0 leaves it alone.
        least_gain: see :func:`headrace.checks.training_faults.gain_of`.
        learns: whether it is meant to learn; of a baseline only the inputs are looked at.
    """
    project = recipe_of(store, run).project
    made = load_training_set(store.artifacts, recipe_of(store, run).training_set.digest)
    whole = load_rows(store, project, made)
    test = some_rows(len(whole.test), MOST_TEST)
    rows = replace(whole, train=_train_sample(project, whole), test=whole.test[test])
    inputs = _inputs(project, rows)
    if project.task in UNSUPERVISED or not learns:
        why = "it is the simplest model" if not learns else "without truth nothing else is asked"
        return Probed(inputs=inputs, unmeasured=(why,))
    tested = np.asarray(losses_of(store, run, whole))
    found = _on_training_rows(scorer, project, made, rows, tested)
    kind = json.loads(store.artifacts.get(run.outputs["estimator"].digest)).get("type")
    if kind in _RULES:
        return replace(found, inputs=inputs, learnt=None, unmeasured=(_RULES[kind],))
    left_alone = ""
    if kind == _BEGINS_WITH_AN_INPUT:
        left_alone = "no labels were shuffled: it begins with one of its inputs"
    elif timeout_s == 0:
        left_alone = "no labels were shuffled: proofs.training.timeout_s is 0"
    answers, why, broken = _answers(
        store, run, made, rows, scratch, timeout_s=0.0 if left_alone else timeout_s
    )
    why = left_alone or why
    asked = _Asked(project, made, rows, tested[test])
    return replace(
        found,
        inputs=inputs,
        gain=asked.gain(answers, least_gain),
        shuffled=asked.shuffled(answers),
        alone=asked.alone(answers),
        controls=tuple(values for name, values in sorted(answers.items()) if name.startswith("importance")),
        unmeasured=(why,) if why else (),
        broken=broken,
    )


@dataclass(frozen=True)
class _Asked:
    """Answers of other models about the sampled test rows, as losses."""

    project: Project
    made: TrainingSet
    rows: Rows
    candidate: Floats

    def gain(self, answers: Mapping[str, Any], least: float) -> Gain | None:
        ordinary = self._losses(answers, "ordinary")
        if ordinary is None or len(ordinary) < FEWEST_ROWS:
            return None
        learnt = _target(self.project, self.made, self.rows, self.rows.train)
        constant = constant_losses(self._metric, learnt, self._truth, len(self.made.classes))
        return gain_of(self.candidate, ordinary, constant, least, self.rows.groups(self.project))

    def alone(self, answers: Mapping[str, Any]) -> dict[str, float]:
        if self.project.task == "forecasting":
            return {}
        learnt = _target(self.project, self.made, self.rows, self.rows.train)
        said = {name: answers.get(f"alone{at}_predict") for at, name in enumerate(self.rows.encoding.columns)}
        classifies = self.project.task == "classification"
        return {
            name: alone(values, self._truth, learnt, classifies=classifies)
            for name, values in said.items()
            if values is not None
        }

    def shuffled(self, answers: Mapping[str, Any]) -> Interval | None:
        refits = [self._losses(answers, f"shuffled{index}") for index in range(REFITS)]
        constant = best_constant_losses(self._metric, self._truth, len(self.made.classes))
        return shuffled_gain([one for one in refits if one is not None], constant)

    @property
    def _metric(self) -> str:
        return self.project.gates.model.metric

    @property
    def _truth(self) -> NDArray[Any]:
        return _target(self.project, self.made, self.rows, self.rows.test)

    def _losses(self, answers: Mapping[str, Any], whose: str) -> Floats | None:
        outputs = {
            name.partition("_")[2]: values
            for name, values in answers.items()
            if name.partition("_")[0] == whose
        }
        if not outputs:
            return None
        codes = list(range(len(self.made.classes))) or None
        return row_losses(self._metric, self._truth, outputs, classes=codes)


def _train_sample(project: Project, rows: Rows) -> NDArray[np.int64]:
    labels = rows.columns[project.data.target][rows.train] if project.task == "classification" else None
    labels = None if labels is None else np.asarray(labels).astype(str)
    return rows.train[some_rows(len(rows.train), _MOST_TRAIN, labels)]


def _target(project: Project, made: TrainingSet, rows: Rows, chosen: NDArray[np.int64]) -> NDArray[Any]:
    target = rows.columns[project.data.target][chosen]
    if project.task == "classification":
        return codes_of(target, made.classes).astype(np.float64)
    return np.asarray(target, dtype=np.float64)


def _inputs(project: Project, rows: Rows) -> InputFaults:
    # Lags of a forecast are made from the target, and a steady series repeats itself.
    own = project.task not in (*UNSUPERVISED, "forecasting")
    columns = take(rows.columns, rows.train)
    names = [name for name in rows.encoding.columns if name in columns]
    truth = columns[project.data.target] if own else None
    return input_faults(columns, names, truth, classifies=project.task == "classification")


def _on_training_rows(
    scorer: PackageScorer, project: Project, made: TrainingSet, rows: Rows, tested: Floats
) -> Probed:
    """How the model does on rows that it has learnt from, beside a constant and beside the test rows."""
    metric, columns = project.gates.model.metric, take(rows.columns, rows.train)
    losses = row_losses(metric, columns[project.data.target], scorer.score(columns), classes=scorer.classes)
    target = _target(project, made, rows, rows.train)
    constant = constant_losses(metric, target, target, len(made.classes))
    known = np.isfinite(losses) & np.isfinite(constant)
    tested = tested[np.isfinite(tested)]
    if known.sum() < FEWEST_ROWS or len(tested) < FEWEST_ROWS:
        return Probed(inputs=InputFaults())
    return Probed(
        inputs=InputFaults(),
        loss=float(losses[known].mean()),
        constant=float(constant[known].mean()),
        learnt=paired_interval(losses[known], constant[known], CONFIDENCE),
        test_loss=float(tested.mean()),
        gap=gap_interval(losses[known], tested),
    )


def _answers(
    store: Store, run: Run, made: TrainingSet, rows: Rows, scratch: Path, *, timeout_s: float
) -> tuple[dict[str, Any], str, str]:
    """What the worker's other models answer, as far as it came, why it came no further, and how it failed."""
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        job = write_job(store, run, made, rows, scratch) | {"kind": "probe", "probe_s": timeout_s / 2}
        work, why, broken = scratch / "worker", "", ""
        try:
            result = run_worker(job, work, cwd=Path(job["folder"]), timeout_s=_START_S + timeout_s)
            why = result.report.get("stopped", "")
        except TimedOut as error:
            why = str(error)
        except HeadraceError as error:
            why = broken = str(error)
        file = work / "output" / MEASURED
        answers = unpack_arrays(file.read_bytes(), "The answers") if file.is_file() else {}
        return answers, why, broken
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
