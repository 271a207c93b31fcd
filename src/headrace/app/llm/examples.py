"""What a candidate answers where it differs most from the live release, or, of texts, where it is wrong: rows
for whoever decides about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from headrace.access.privacy.fields import altered_inputs, handling_of
from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.checks.columns import label
from headrace.checks.tasks import GENERATIVE, UNSUPERVISED, answers_classes
from headrace.core.errors import HeadraceError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ports import Columns
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.data.frames import take
from headrace.monitoring.ingest import ingest, predictions_table
from headrace.training.evaluation import losses_of
from headrace.training.pipeline import ANSWERS, recipe_of
from headrace.training.training_set import load_rows, load_training_set

MOST_READ = 500
"""Rows that both are asked: the newest of the record, or the last test rows."""
SHOWN = 8
TEXTS_SHOWN = 20
"""Of wrong answers more are shown: what they have in common is what has to be seen."""
RECORD, TEST = "recent answers", "test rows"
"""Where rows come from."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row, and what both answer.

    Attributes:
        inputs: those that may be shown, by name.
        apart: how far the answers are from each other; of classes 1 where they are others, and added to it
            the largest difference in a probability; of texts the loss of this one.
        live: what the live release answers; of texts None where it was not asked this.
        truth: what is known to be true; of test rows only.
    """

    inputs: dict[str, Any]
    candidate: Any
    live: Any
    apart: float
    truth: Any = None


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The rows on which a candidate and the live release are furthest apart, those first.

    Attributes:
        source: ``recent answers`` or ``test rows``.
        n_rows, n_apart: rows that both were asked, and on how many they differ.
        withheld: inputs that are not shown, because they may not be recorded as they come.
        problem: why there are none.
        wrong: whether these are rows that a prompt has answered wrong, whatever the live one says.
    """

    release: str
    digest: str
    against: str
    source: str = ""
    n_rows: int = 0
    n_apart: int = 0
    rows: tuple[Example, ...] = ()
    withheld: tuple[str, ...] = ()
    problem: str = ""
    wrong: bool = False


def examples(app: App, me: Principal, release_id: str) -> Examples | None:
    """Ask both the same rows; who has read them is in the audit log. None where nothing else is live.

    Rows come from the record where it has any that both can be asked again, else from the candidate's test
    rows, which it has not learnt from. Of a prompt it is what it has answered to its evaluation set, also
    where nothing else is live: asked again, it costs money and may answer otherwise than it was judged by.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such release.
    """
    release = app.store.releases.get(release_id)
    app.gatekeeper.require(me, "data.read", f"project:{release.project}")
    route = app.store.rollouts.route(release.project)
    live = "" if route is None or route.live == release.id else route.live
    project = app.access.charters.in_force(release.project)
    of_texts = project.task in GENERATIVE
    if not live and not of_texts:
        return None
    # The entry comes first: nobody has seen a row that the log does not know of.
    detail = {"release": release.id, "against": live, "rows": TEXTS_SHOWN if of_texts else SHOWN}
    app.store.audit.append(me.name, "data.read", f"project:{release.project}", detail)
    found = Examples(release=release.id, digest=release.digest, against=live, wrong=of_texts)
    try:
        if of_texts:
            return replace(found, **_wrong(app, project, release, live))
        asked = _rows(app, project, release)
        return replace(found, **_compared(app, project, asked, (release.id, live)))
    except HeadraceError as error:
        return replace(found, problem=str(error))


class _Rows(NamedTuple):
    """What both are asked; ``truth`` of each row where it is known."""

    source: str
    columns: Columns
    truth: Any = None


def _rows(app: App, project: Project, release: Release) -> _Rows:
    recorded = None if altered_inputs(project) else _recorded(app, project)
    if recorded is not None:
        return _Rows(RECORD, recorded)
    run = app.store.runs.get(release.manifest.run_id)
    recipe = recipe_of(app.store, run)
    made = load_training_set(app.store.artifacts, recipe.training_set.digest)
    rows = load_rows(app.store, recipe.project, made)
    truth: Any = rows.truth()[-MOST_READ:]
    if project.task in UNSUPERVISED or all(value is None for value in truth.tolist()):
        truth = None
    test = rows.test_columns()
    newest = np.arange(len(rows.test))[-MOST_READ:]
    columns = {name: test[name] for name in rows.encoding.columns}
    return _Rows(TEST, take(columns, newest), truth)


def _recorded(app: App, project: Project) -> Columns | None:
    """The newest rows of the record, as they were asked; None where there are none."""
    store, table = app.store, predictions_table(project.name)
    ingest(project.name, store.events, store.tables, numeric=numeric_inputs(store, project))
    if store.tables.version(table) is None:
        return None
    rows = store.tables.query(
        "select * from p where arm <> 'shadow' order by \"at\" desc, subject limit ?",
        {"p": (table, None)},
        [MOST_READ],
    )
    inputs = {name[3:]: values for name, values in rows.items() if name.startswith("in_")}
    return inputs if inputs and len(rows["subject"]) else None


def _compared(app: App, project: Project, asked: _Rows, both: tuple[str, str]) -> dict[str, Any]:
    columns, truth = asked.columns, asked.truth
    outputs = [app.scorers.of_release(one).score(columns) for one in both]
    new, old = (np.asarray(one["predict"]) for one in outputs)
    apart = _apart(project, outputs)
    if not np.isfinite(apart).all():
        raise InvalidInput("An answer is not a finite number: the two cannot be held against each other.")
    furthest = np.argsort(-apart, kind="stable")[:SHOWN]
    # What is recorded is redacted already; a test row is as it came.
    allowed = ("keep", "redact") if asked.source == RECORD else ("keep",)
    shown = [name for name in columns if handling_of(project, name) in allowed]
    cells = {name: columns[name][furthest].tolist() for name in shown}
    return {
        "source": asked.source,
        "n_rows": len(new),
        "n_apart": int(np.count_nonzero(apart)),
        "withheld": tuple(name for name in columns if name not in shown),
        "rows": tuple(
            Example(
                inputs={name: cells[name][at] for name in shown},
                candidate=_said(new[row]),
                live=_said(old[row]),
                apart=float(apart[row]),
                truth=None if truth is None else _said(truth[row]),
            )
            for at, row in enumerate(furthest.tolist())
            if apart[row] > 0
        ),
    }


def _apart(project: Project, outputs: list[dict[str, Any]]) -> Any:
    new, old = (np.asarray(one["predict"]) for one in outputs)
    if not answers_classes(project.task):
        return np.abs(new.astype(np.float64) - old.astype(np.float64))
    differ = np.array([label(a) != label(b) for a, b in zip(new.tolist(), old.tolist(), strict=True)], float)
    chances = [np.asarray(one["probability"]) for one in outputs if "probability" in one]
    if len(chances) == 2 and chances[0].shape == chances[1].shape:
        return np.abs(chances[0] - chances[1]).max(axis=1) + differ
    return differ


def _said(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


class _Evaluated(NamedTuple):
    """A prompt's answers to its evaluation set, as they were kept."""

    columns: Columns
    truth: Any
    texts: list[str | None]
    losses: Any

    def asked(self) -> list[tuple[str, ...]]:
        """What tells each row from the others."""
        return list(zip(*([str(cell) for cell in column] for column in self.columns.values()), strict=True))


def _evaluated(app: App, release: Release) -> _Evaluated:
    run = app.store.runs.get(release.manifest.run_id)
    recipe = recipe_of(app.store, run)
    rows = load_rows(
        app.store, recipe.project, load_training_set(app.store.artifacts, recipe.training_set.digest)
    )
    test = rows.test_columns()
    columns = {name: test[name] for name in rows.encoding.columns}
    texts = json.loads(app.store.artifacts.get(run.outputs[ANSWERS].digest))
    return _Evaluated(columns, rows.truth(), texts, losses_of(app.store, run, rows))


def _wrong(app: App, project: Project, release: Release, live: str) -> dict[str, Any]:
    ours, before = _evaluated(app, release), dict[tuple[str, ...], str | None]()
    if live:
        try:
            other = _evaluated(app, app.store.releases.get(live))
            before = dict(zip(other.asked(), other.texts, strict=True))
        except NotFound:
            # It came from another installation: what it answered there is not here.
            before = {}
    losses = np.nan_to_num(np.asarray(ours.losses, dtype=np.float64))
    worst, asked = np.argsort(-losses, kind="stable")[:TEXTS_SHOWN], ours.asked()
    redact = app.access.privacy.redactor(project)
    forms = {name: handling_of(project, name) for name in ours.columns}
    shown = [name for name, form in forms.items() if form in ("keep", "redact")]
    # An answer repeats what it was asked.
    careful = project.privacy.personal or set(forms.values()) != {"keep"}

    def cell(name: str, row: int) -> Any:
        value = _said(ours.columns[name][row])
        return redact(value) if forms[name] == "redact" and isinstance(value, str) else value

    def words(value: Any) -> Any:
        return redact(value) if careful and isinstance(value, str) else value

    return {
        "source": TEST,
        "n_rows": len(losses),
        "n_apart": int(np.count_nonzero(losses)),
        "withheld": tuple(name for name in ours.columns if name not in shown),
        "rows": tuple(
            Example(
                inputs={name: cell(name, row) for name in shown},
                candidate=words(ours.texts[row]),
                live=words(before.get(asked[row])),
                apart=float(losses[row]),
                truth=words(_said(ours.truth[row])),
            )
            for row in worst.tolist()
            if losses[row] > 0
        ),
    }
