"""On which inputs a finished run's package relies, and whether what explains it can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.checks.columns import missing
from headrace.checks.importances import same_as_controls, shares_of
from headrace.checks.tasks import UNSUPERVISED
from headrace.checks.training_faults import some_rows
from headrace.core.data import Run
from headrace.core.errors import HeadraceError, InternalError
from headrace.data.frames import take
from headrace.store import Store
from headrace.training.explaining import Explainer
from headrace.training.package import PackageScorer
from headrace.training.pipeline import recipe_of
from headrace.training.probed import MOST_TEST, Probed
from headrace.training.training_set import Rows, load_rows, load_training_set

_EXPLAINED, _EXPLAINED_BY_ASKING = 30, 3
"""Rows whose contributions are added up: where trees or slopes are read, and where the model is asked."""
_BACKGROUND = 10
_MOST_CELLS = 100_000_000
"""Conditions of trees that all these rows may meet: a large forest is asked for one row."""


@dataclass(frozen=True, kw_only=True)
class Relied:
    """One input.

    Attributes:
        share: in how far answers move when the input is shuffled; all of them sum to 1.
        alone: how well it says the target by itself, as of :class:`headrace.training.probed.Probed`; None
            where that was not measured.
    """

    name: str
    share: float
    alone: float | None


@dataclass(frozen=True, kw_only=True)
class Reliance:
    """What was found; with ``why`` nothing could be asked.

    Attributes:
        inputs: the one relied on most comes first.
        same: whether models with shuffled labels rely on them alike; None where that could not be asked.
        n_controls: how many such models there were.
        n_explained: rows whose contributions were added up.
        wrong: how they missed the answer; empty where they add up.
        unexplained: why no row was explained; empty where some were.
    """

    why: str = ""
    inputs: tuple[Relied, ...] = ()
    same: bool | None = None
    n_controls: int = 0
    n_explained: int = 0
    wrong: str = ""
    unexplained: str = ""


def reliance_of(store: Store, run: Run, scorer: PackageScorer, probed: Probed, *, explainer: str) -> Reliance:
    """Ask the package of a finished run, on up to 200 test rows.

    Args:
        scorer: of the run's package.
        probed: what its inputs say alone, and on what models with shuffled labels rely, as far as was
            measured.
        explainer: which one the project has chosen; contributions need to add up only by ``shapley``.
    """
    project = recipe_of(store, run).project
    if project.task in UNSUPERVISED:
        return Reliance(why="not applicable: without truth nothing can be learnt from labels")
    if run.package is None:
        return Reliance(why=f"not applicable: run {run.id} has no package")
    made = load_training_set(store.artifacts, recipe_of(store, run).training_set.digest)
    rows = load_rows(store, project, made)
    test = take(rows.columns, rows.test[some_rows(len(rows.test), MOST_TEST)])
    names = scorer.encoding.columns
    inputs = {name: test[name] for name in names}
    ask = _probabilities(scorer) if project.task == "classification" else scorer.score
    shares = shares_of(ask, inputs, names)
    found = [
        Relied(name=name, share=float(share), alone=probed.alone.get(name))
        for name, share in zip(names, shares, strict=True)
    ]
    n_explained, wrong, unexplained = 0, "", f"contributions need not add up by {explainer}"
    if explainer == "shapley":
        package = store.artifacts.path(run.package.digest)
        n_explained, wrong, unexplained = _added_up(package, scorer, rows, inputs)
    return Reliance(
        inputs=tuple(sorted(found, key=lambda one: -one.share)),
        same=same_as_controls(shares, probed.controls),
        n_controls=len(probed.controls),
        n_explained=n_explained,
        wrong=wrong,
        unexplained=unexplained,
    )


def _probabilities(scorer: PackageScorer) -> Any:
    """Answers without their labels, which are no numbers."""
    return lambda columns: {"probability": scorer.score(columns)["probability"]}


def _added_up(
    package: Any, scorer: PackageScorer, rows: Rows, inputs: dict[str, Any]
) -> tuple[int, str, str]:
    """How many rows were explained, how their contributions missed the answer, and why none was."""
    known = rows.train[~missing(np.asarray(rows.columns[rows.target]))[rows.train]]
    drawn = take({name: rows.columns[name] for name in inputs}, known[some_rows(len(known), _BACKGROUND)])
    try:
        explainer = Explainer(package, scorer, drawn)
        exact = explainer.method in ("linear", "trees")
        most = min(_EXPLAINED, max(1, _MOST_CELLS // max(1, explainer.row_cells)))
        few = some_rows(len(next(iter(inputs.values()))), most if exact else _EXPLAINED_BY_ASKING)
        return len(explainer.explain(take(inputs, few)).rows), "", ""
    except InternalError as error:
        return 0, str(error), ""
    except HeadraceError as error:
        return 0, "", str(error)
