"""Asks a finished run's package about test rows that are a little off, lack an input, or mean harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import missing
from headrace.checks.comparison import FEWEST_ROWS, paired_interval
from headrace.checks.metrics import Floats, Interval, Outputs, labels_of, row_losses
from headrace.checks.robustness import Span, Stress, attack, noisy, stress, together, without
from headrace.checks.searching import ask_each
from headrace.checks.tasks import UNSUPERVISED
from headrace.checks.training_faults import constant_losses, some_rows
from headrace.core.data import Run
from headrace.core.ports import Columns
from headrace.core.project import Project
from headrace.data.frames import kind_of, take
from headrace.store import Store
from headrace.training.package import PackageScorer
from headrace.training.pipeline import recipe_of
from headrace.training.training_set import Rows, TrainingSet, codes_of, load_rows, load_training_set

_MOST_ROWS = 2_000
_MOST_APART = 500
"""Rows of a model in another process, which takes about a millisecond for each."""
_MOST_MISSING = 20
_ATTACKED = 40


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What is done to the rows.

    Attributes:
        allowed: the share, of what the model spares of a constant's loss, that losses are held against.
        noise, reach: in spreads of each number: of the noise, and how far an adversary may move it.
        missing: inputs that may be missing; those of which the training rows lack a value, unless named.
    """

    allowed: float
    noise: float
    reach: float
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """What was found; without ``noise`` and with ``why`` nothing could be asked.

    Attributes:
        spares: interval of the model's loss less a constant's, on the same test rows; below 0 it is better.
        noise: of all numbers at once; None where the model has none.
        missing: of one input after the other.
        refused: inputs without which the model gives no answer.
        attack: of the few rows that were attacked.
    """

    why: str = ""
    n_rows: int = 0
    spares: Interval | None = None
    noise: Stress | None = None
    missing: tuple[Stress, ...] = ()
    refused: tuple[str, ...] = ()
    attack: Stress | None = None


def disturb_run(store: Store, run: Run, scorer: PackageScorer, done: Disturbance) -> Disturbed:
    """Ask the package of a finished run; at most 2,000 of its test rows, and 20 inputs that may be missing.

    All intervals hold together with the confidence of ``gates.model``. The same run is asked the same.

    Args:
        scorer: of the run's package.
    """
    project = recipe_of(store, run).project
    if project.task in UNSUPERVISED:
        return Disturbed(why="not applicable: without truth there is no loss to hold answers against")
    made = load_training_set(store.artifacts, recipe_of(store, run).training_set.digest)
    whole = load_rows(store, project, made)
    chosen = whole.test[some_rows(len(whole.test), _MOST_ROWS if scorer.inline else _MOST_APART)]
    asked = _Asked(scorer, project, made, replace(whole, test=chosen), done)
    known = np.isfinite(asked.before) & np.isfinite(asked.constant)
    if known.sum() < FEWEST_ROWS:
        return Disturbed(why=f"{int(known.sum())} test rows are too few to judge", n_rows=int(known.sum()))
    lacking = asked.may_be_missing()
    level = together(project.gates.model.confidence, 2 + len(lacking))
    random = np.random.default_rng(run.seed)
    noise = attacked = None
    if asked.spans:
        noise = asked.stress("noise", noisy(asked.columns, asked.spans, done.noise, random), level)
        attacked = asked.attack(done.reach, random, level)
    lost = {name: asked.stress(name, without(asked.columns, name), level) for name in lacking}
    return Disturbed(
        n_rows=int(known.sum()),
        spares=paired_interval(asked.before[known], asked.constant[known], level),
        noise=noise,
        missing=tuple(found for found in lost.values() if found is not None),
        refused=tuple(name for name, found in lost.items() if found is None),
        attack=attacked,
    )


class _Asked:
    """The sampled test rows, what the model and a constant lose on them, and what it answered."""

    def __init__(
        self,
        scorer: PackageScorer,
        project: Project,
        made: TrainingSet,
        rows: Rows,
        done: Disturbance,
    ) -> None:
        self._scorer, self._project, self._made, self._rows = scorer, project, made, rows
        self._done = done
        self._metric = project.gates.model.metric
        self._names = scorer.encoding.columns
        self.columns: Columns = {name: rows.columns[name][rows.test] for name in self._names}
        self._truth = self._target(rows.test)
        learnt = self._target(rows.train)
        self.constant = constant_losses(self._metric, learnt, self._truth, len(made.classes))
        self._answers = ask_each(self._ask, self.columns)
        self.before = self._losses(self._answers, self._truth)
        self._groups = rows.groups(project)
        self.spans = self._spans()

    def stress(self, name: str, columns: Columns, confidence: float) -> Stress | None:
        """None where the model answers none of these rows."""
        answers = ask_each(self._ask, columns)
        if not answers or not np.isfinite(answers["predict"]).any():
            return None
        losses = self._losses(answers, self._truth), self.before, self.constant
        return self._compared(name, losses, (answers, self._answers), self._groups, confidence)

    def attack(self, reach: float, random: np.random.Generator, confidence: float) -> Stress | None:
        """Of a few rows, each moved as far from its answer as a search came."""
        able = np.flatnonzero(np.isfinite(self.before))
        few = able[some_rows(len(able), _ATTACKED)]
        columns = take(self.columns, few)
        answers = ask_each(self._ask, attack(self._answered, columns, self.spans, reach, random))
        before = {name: np.asarray(values)[few] for name, values in self._answers.items()}
        losses = self._losses(answers, self._truth[few]), self.before[few], self.constant[few]
        of = None if self._groups is None else self._groups[few]
        return self._compared("attack", losses, (answers, before), of, confidence)

    def may_be_missing(self) -> list[str]:
        """As declared; else what the training rows lack somewhere."""
        names = self._done.missing or tuple(
            name
            for name in self._names
            if missing(np.asarray(self._rows.columns[name][self._rows.train])).any()
        )
        computed = {spec.name for spec in self._scorer.inputs if not spec.required}
        return [name for name in names if name in self._names and name not in computed][:_MOST_MISSING]

    def _compared(
        self,
        name: str,
        losses: tuple[Floats, Floats, Floats],
        answers: tuple[Outputs, Outputs],
        groups: NDArray[Any] | None,
        confidence: float,
    ) -> Stress | None:
        known = np.isfinite(losses[0]) & np.isfinite(losses[1])
        if known.sum() < FEWEST_ROWS:
            return None
        after, before, constant = losses
        # A row that is not answered any more is worth what a constant says of it.
        losses = np.where(np.isfinite(after), after, constant), before, constant
        allowed = self._done.allowed
        return stress(name, losses, answers, allowed=allowed, confidence=confidence, groups=groups)

    def _spans(self) -> dict[str, Span]:
        numeric = [one.name for one in self._scorer.encoding.inputs if one.role == "numeric"]
        found: dict[str, Span] = {}
        for name in numeric:
            values = np.asarray(self._rows.columns[name])
            if kind_of(values) == "number":
                span = Span.of(values[self._rows.train])
                if span is not None:
                    found[name] = span
        return found

    def _target(self, chosen: NDArray[np.int64]) -> NDArray[Any]:
        target = self._rows.columns[self._project.data.target][chosen]
        if self._project.task == "classification":
            return codes_of(target, self._made.classes).astype(np.float64)
        return np.asarray(target, dtype=np.float64)

    def _losses(self, answers: Outputs, truth: NDArray[Any]) -> Floats:
        codes = list(range(len(self._made.classes))) or None
        return row_losses(self._metric, truth, answers, classes=codes)

    @property
    def _answered(self) -> Callable[[Columns], Outputs]:
        return lambda columns: ask_each(self._ask, columns)

    def _ask(self, columns: Columns) -> Outputs:
        answers = dict(self._scorer.score(columns))
        if self._made.classes:
            position = {label: float(code) for code, label in enumerate(labels_of(list(self._made.classes)))}
            codes = [position.get(label, -1.0) for label in labels_of(answers["predict"])]
            answers["predict"] = np.array(codes)
        return answers
